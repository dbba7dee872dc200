//! What this machine has of things that containers ask for by number.

use std::fs;

use crate::sys;

/// CPUs and memory nodes, whatever part of them this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// How many CPUs.
    pub cpus: usize,
    /// Which, in the kernel's list format.
    pub cpu_list: String,
    /// Which memory nodes, in the same format.
    pub node_list: String,
}

impl Machine {
    /// The one that this process runs on.
    #[must_use]
    pub fn this() -> Self {
        let cpus = sys::cpus();
        let online = |what: &str| {
            let text = fs::read_to_string(format!("/sys/devices/system/{what}/online")).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        Self {
            cpus,
            cpu_list: online("cpu").unwrap_or_else(|| format!("0-{}", cpus.saturating_sub(1))),
            // A kernel without NUMA has one node and does not list it.
            node_list: online("node").unwrap_or_else(|| "0".to_owned()),
        }
    }
}

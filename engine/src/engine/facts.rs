//! What the engine is and runs on: `system info`.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::cgroup::Layout;
use crate::container::{ListFilter, Status};
use crate::sys;

use super::{Engine, Result};

/// What there is, in the words of `docker info`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "Docker's own words")]
pub struct Info {
    pub name: String,
    pub server_version: &'static str,
    pub containers: usize,
    pub containers_running: usize,
    pub containers_paused: usize,
    pub containers_stopped: usize,
    pub images: usize,
    pub driver: &'static str,
    pub logging_driver: &'static str,
    pub cgroup_driver: &'static str,
    pub cgroup_version: String,
    pub kernel_version: String,
    pub operating_system: String,
    #[serde(rename = "OSType")]
    pub os_type: &'static str,
    pub architecture: &'static str,
    #[serde(rename = "NCPU")]
    pub cpus: usize,
    pub mem_total: u64,
    pub root_dir: PathBuf,
    pub cgroup_parent: String,
    pub run_dir: PathBuf,
    pub security_options: Vec<&'static str>,
}

impl Engine {
    /// What there is.
    pub fn info(&self) -> Result<Info> {
        let containers = self.list(&ListFilter::everything())?;
        let count = |wanted: &[Status]| {
            containers
                .iter()
                .filter(|container| wanted.contains(&container.state.status))
                .count()
        };
        let uname = rustix::system::uname();
        let system = rustix::system::sysinfo();
        Ok(Info {
            name: uname.nodename().to_string_lossy().into_owned(),
            server_version: env!("CARGO_PKG_VERSION"),
            containers_running: count(&[Status::Running, Status::Restarting]),
            containers_paused: count(&[Status::Paused]),
            containers_stopped: count(&[Status::Created, Status::Exited, Status::Dead]),
            containers: containers.len(),
            images: self.images.list()?.len(),
            driver: "overlay",
            logging_driver: "json-file",
            cgroup_driver: "cgroupfs",
            cgroup_version: Layout::detect()
                .map_or_else(|error| error.to_string(), |layout| layout.name().to_owned()),
            kernel_version: uname.release().to_string_lossy().into_owned(),
            operating_system: operating_system(),
            os_type: "linux",
            architecture: std::env::consts::ARCH,
            cpus: sys::cpus(),
            mem_total: system.totalram * u64::from(system.mem_unit),
            root_dir: self.paths.root().to_owned(),

            cgroup_parent: self.paths.cgroup_parent(),
            run_dir: self.paths.run().to_owned(),
            security_options: vec!["name=seccomp,profile=builtin"],
        })
    }
}

fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "Linux".to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}

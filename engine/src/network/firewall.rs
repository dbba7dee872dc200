//! What the machine's own packet filter does to a network. Nothing here changes it: a port
//! that the administrator closed stays closed, and the user is told.

use std::fs;

use super::nft::{Hook, blockers};
use super::record::{Network, Publish};
use crate::spec::NetworkDriver;

/// Whether packets within a bridge pass the IPv4 filter too (the module br_netfilter).
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

impl Network {
    /// Why containers of this network will not reach what they should: one line with the remedy.
    /// `None` when nothing is in the way, or nothing can be seen (rules of the old iptables are
    /// not visible to nftables).
    pub fn obstacle(&self) -> Option<String> {
        if self.driver != NetworkDriver::Bridge {
            // Packets go by the parent, past the machine's filter.
            let parent = self.driver_opts.get("parent").filter(|p| !p.is_empty());
            return parent.filter(|_| self.internal).map(|parent| {
                format!(
                    "network `{}` is internal: its parent `{parent}` is not used",
                    self.name
                )
            });
        }
        if let Some(bypass) = self.bypass() {
            return Some(bypass);
        }
        let chains = blockers(Hook::Forward).ok()?;
        let filtered = fs::read_to_string(BRIDGE_FILTER).is_ok_and(|text| text.trim() == "1");
        let lost = lost(self.internal, filtered)?;
        // One chain is enough to drop, whatever the others say.
        let chain = chains.first()?;
        let (name, bridge) = (&self.name, &self.link);
        Some(format!(
            "the machine's firewall drops forwarded packets (chain `{chain}`): containers of network `{name}` cannot reach {lost}; \
             allow it with `iptables -I FORWARD -i {bridge} -j ACCEPT; iptables -I FORWARD -o {bridge} -j ACCEPT`"
        ))
    }
}

impl Network {
    /// Why ports of this network are not published by address translation although it asks for
    /// that: packets that are translated pass the machine's filter for what is forwarded instead
    /// of that for what comes in, so a port that only the latter closes would be open.
    pub(super) fn bypass(&self) -> Option<String> {
        if self.publish != Publish::Dnat || !blockers(Hook::Forward).ok()?.is_empty() {
            return None;
        }
        let chain = blockers(Hook::Input).ok()?.into_iter().next()?;
        Some(format!(
            "the machine's firewall drops incoming packets (chain `{chain}`) but not forwarded ones, which ports published by `dnat` would be: \
             ports of network `{}` are published by `relay`; drop forwarded packets too, except those that may pass",
            self.name
        ))
    }
}

/// Whom containers cannot reach when forwarded packets are dropped.
fn lost(internal: bool, filtered: bool) -> Option<&'static str> {
    match (internal, filtered) {
        (true, false) => None,
        (true, true) => Some("each other"),
        (false, false) => Some("the outside"),
        (false, true) => Some("the outside and each other"),
    }
}

//! Letting the kernel forward between a bridge and the interfaces that lead out.
//!
//! The switch is per incoming interface, so only the bridge and the uplinks get it, not the
//! whole machine; between two uplinks that were opened here the packet filter drops, so the
//! machine does not become its neighbours' router. What was changed is recorded with its former
//! value in `<root>/networks/forwarding.json`, for the doctor to restore.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::NetworkError;
use super::netlink::{Netlink, addressed, link_names, uplinks};
use super::nft;
use super::record::{Network, Publish};
use super::store::NetworkStore;
use super::veth::LOOPBACK;
use crate::state::{Durability, read_record, write_record};

const VERSION: u32 = 1;

/// The record: paths of switches with what they were before.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Switches {
    former: BTreeMap<String, String>,
}

/// Enables what `network`'s outbound traffic needs, and with published ports that are translated
/// what comes in by any interface. Returns the interfaces that are forwarded from.
pub(super) fn enable(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
) -> Result<Vec<String>, NetworkError> {
    let bridges: Vec<String> = store.records()?.into_iter().map(|n| n.link).collect();
    let ask = |netlink: &mut Netlink| {
        let mut indexes = uplinks(netlink)?;
        if network.publish == Publish::Dnat {
            indexes.extend(addressed(netlink)?);
        }
        let mut names = link_names(netlink)?;
        names.retain(|(index, name)| {
            indexes.contains(index) && *index != LOOPBACK && !bridges.contains(name)
        });
        Ok::<_, std::io::Error>(names)
    };
    let out = ask(netlink).map_err(NetworkError::kernel("list the machine's routes"))?;
    let mut changed = BTreeMap::new();
    let mut opened = Vec::new();
    if network.pool4().is_some() {
        // The bridge goes with its network, so its own switch needs no record.
        set(
            &format!("/proc/sys/net/ipv4/conf/{}/forwarding", network.link),
            &mut BTreeMap::new(),
        )?;
        for (_, name) in &out {
            if set(
                &format!("/proc/sys/net/ipv4/conf/{name}/forwarding"),
                &mut changed,
            )? {
                opened.push(name.clone());
            }
        }
    }
    if network.pool6().is_some() {
        enable6(
            network,
            out.iter().map(|(_, name)| name.as_str()),
            &mut changed,
        )?;
    }
    if !opened.is_empty() {
        nft::add_uplinks(store.paths(), &opened)?;
    }
    record(&store.forwarding_path(), changed)?;
    let mut names: Vec<String> = out.into_iter().map(|(_, name)| name).collect();
    if network.pool4().is_some() {
        let on = |name: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/{name}/forwarding");
            fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")
        };
        names.retain(|name| on(name));
    }
    Ok(names)
}

/// IPv6 has a per-interface switch only since 6.17 (`force_forwarding`). Before, the machine's
/// switch is needed, and uplinks that take their own address from router advertisements must be
/// told to go on doing so (`accept_ra` 2).
fn enable6<'a>(
    network: &Network,
    uplinks: impl Iterator<Item = &'a str>,
    changed: &mut BTreeMap<String, String>,
) -> Result<(), NetworkError> {
    let own = format!("/proc/sys/net/ipv6/conf/{}/force_forwarding", network.link);
    if Path::new(&own).exists() {
        set(&own, &mut BTreeMap::new())?;
        for name in uplinks {
            set(
                &format!("/proc/sys/net/ipv6/conf/{name}/force_forwarding"),
                changed,
            )?;
        }
        return Ok(());
    }
    for name in uplinks {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/accept_ra");
        if fs::read_to_string(&path).is_ok_and(|v| v.trim() == "1") {
            write(&path, "2")?;
            changed.insert(path, "1".to_owned());
        }
    }
    set("/proc/sys/net/ipv6/conf/all/forwarding", changed)?;
    Ok(())
}

/// Turns a switch on; says whether it was off.
fn set(path: &str, changed: &mut BTreeMap<String, String>) -> Result<bool, NetworkError> {
    match fs::read_to_string(path) {
        Ok(value) if value.trim() != "0" => Ok(false),
        Ok(value) => {
            write(path, "1")?;
            changed.insert(path.to_owned(), value.trim().to_owned());
            Ok(true)
        }
        // The interface has gone, or does not speak this family.
        Err(_) => Ok(false),
    }
}

fn write(path: &str, value: &str) -> Result<(), NetworkError> {
    fs::write(path, value).map_err(NetworkError::kernel("enable forwarding of packets"))
}

/// Adds former values to the record; the first one seen of a switch stays.
fn record(path: &Path, changed: BTreeMap<String, String>) -> Result<(), NetworkError> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut known: Switches = read_record(path, VERSION)?.unwrap_or_default();
    for (key, value) in changed {
        known.former.entry(key).or_insert(value);
    }
    Ok(write_record(path, VERSION, &known, Durability::Power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_switch_is_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("forwarding.json");
        let changed = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            pairs.collect::<BTreeMap<_, _>>()
        };
        record(&path, changed(&[])).expect("nothing to do");
        assert!(!path.exists());
        record(&path, changed(&[("a", "0")])).expect("written");
        record(&path, changed(&[("a", "1"), ("b", "2")])).expect("written again");
        let known: Switches = read_record(&path, VERSION).expect("read").expect("there");
        assert_eq!(known.former, changed(&[("a", "0"), ("b", "2")]));
    }
}

//! A record that was changed while its container runs: networks joined and left, limits, restart
//! policy, name.
//!
//! The record says what is wanted, and what the container has is made to fit it. So a change that
//! was interrupted anywhere is finished by the next one, and a supervisor that takes over
//! begins with it.

use std::fs;

use crate::cgroup::Cgroup;
use crate::container::record::Record;
use crate::container::{ContainerError, oci};
use crate::network::{self, Endpoint, NetworkStore};
use crate::runtime::RuntimeError;
use crate::spec::{EndpointSpec, NetworkMode};
use crate::state::crash_point;

use super::net::{self, Wiring};
use super::setup::host;
use super::status::Status;

/// Takes note of the record as it is now. Returns the limits that are not in force.
pub fn reload(
    status: &mut Status,
    cgroup: Option<&Cgroup>,
    wiring: &mut Wiring,
) -> Result<Vec<String>, ContainerError> {
    let Some(record) = status.store().record(&status.record.id)? else {
        return Ok(Vec::new());
    };
    let old = std::mem::replace(&mut status.record, record);
    let mut warnings = Vec::new();
    if old.spec.resources != status.record.spec.resources
        && let Some(cgroup) = cgroup
    {
        warnings = limit(&status.record, cgroup)?;
    }
    crash_point("reload.limited");
    rewire(status, wiring)?;
    if old.name != status.record.name {
        let networks = NetworkStore::open(status.store().paths());
        let name = status.record.name.as_str();
        network::rename(
            &networks,
            status.record.id.as_str(),
            name,
            &status.live.endpoints,
        )?;
    }
    Ok(warnings)
}

/// Puts the record's limits in force.
pub fn limit(record: &Record, cgroup: &Cgroup) -> Result<Vec<String>, ContainerError> {
    let limits = oci::resources(&record.spec.resources)?;
    let warnings = cgroup.update(&limits).map_err(RuntimeError::from)?;
    Ok(warnings.iter().map(ToString::to_string).collect())
}

/// Leaves networks that the record does not name, and joins those that it does.
pub fn rewire(status: &mut Status, wiring: &mut Wiring) -> Result<(), ContainerError> {
    let wanted = match &status.record.spec.network {
        NetworkMode::Networks(list) if list.is_empty() => vec![EndpointSpec::default_network()],
        NetworkMode::Networks(list) => list.clone(),
        NetworkMode::None => Vec::new(),
        NetworkMode::Host | NetworkMode::Container(_) => return Ok(()),
    };
    let Some(netns) = &wiring.netns else {
        return Ok(());
    };
    let store = status.store().clone();
    let networks = NetworkStore::open(store.paths());
    let mut named = Vec::new();
    for spec in wanted {
        named.push((networks.get(&spec.network)?.id, spec));
    }
    let before = status.live.endpoints.clone();
    let owner = status.record.id.to_string();
    for gone in &before {
        if named.iter().any(|(id, _)| *id == gone.network_id) {
            continue;
        }
        let mut rest = status.live.endpoints.clone();
        rest.retain(|endpoint| endpoint.network_id != gone.network_id);
        network::disconnect_running(&networks, &owner, netns, gone, &rest)?;
        crash_point("reload.left");
        status.live.endpoints = rest;
        status.save()?;
    }
    for (id, spec) in named {
        if before.iter().any(|endpoint| endpoint.network_id == id) {
            continue;
        }
        let alive = |owner: &str| super::setup::is_alive(&store, owner);
        let request = net::request(&status.record, std::slice::from_ref(&spec), &alive);
        let joined = network::connect_running(&networks, &request, netns, &status.live.endpoints)?;
        crash_point("reload.joined");
        status.live.endpoints.extend(joined);
        status.save()?;
    }
    wiring.update(&store, &status.record, &status.live.endpoints)?;
    if before != status.live.endpoints {
        correct_files(status, &before)?;
    }
    Ok(())
}

/// The container sees these files by their inodes, so they are written in place; what it has
/// written into them itself stays.
fn correct_files(status: &Status, before: &[Endpoint]) -> Result<(), ContainerError> {
    let (record, after) = (&status.record, &status.live.endpoints);
    let files = &status.files;
    let pairs = [
        (
            files.hosts(),
            net::hosts(record, before),
            net::hosts(record, after),
        ),
        (
            files.resolv_conf(),
            net::resolv_conf(record, before),
            net::resolv_conf(record, after),
        ),
    ];
    for (path, old, new) in pairs {
        let failed = |source| host("write", path.display().to_string())(source);
        let present = fs::read_to_string(&path).map_err(failed)?;
        let text = replace_lines(&present, &old, &new);
        if text != present {
            fs::write(&path, text).map_err(failed)?;
        }
    }
    Ok(())
}

/// `present` without the lines that only `old` has, and with those that only `new` has.
fn replace_lines(present: &str, old: &str, new: &str) -> String {
    if present == old {
        return new.to_owned();
    }
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    let kept = present
        .lines()
        .filter(|line| !has(old, line) || has(new, line));
    let added = new
        .lines()
        .filter(|line| !has(old, line) && !has(present, line));
    kept.chain(added).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::replace_lines;

    #[test]
    fn what_the_container_wrote_stays() {
        assert_eq!(replace_lines("a\nb\n", "a\nb\n", "a\nc\n"), "a\nc\n");
        assert_eq!(
            replace_lines("a\nmine\nb\n", "a\nb\n", "a\nc\n"),
            "a\nmine\nc\n"
        );
        assert_eq!(replace_lines("mine\n", "a\n", "a\nc\n"), "mine\nc\n");
    }
}

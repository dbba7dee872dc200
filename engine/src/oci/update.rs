//! Limits of a container that is there already.

use std::io::Read as _;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use crate::cgroup::LimitWarning;
use crate::state::crash_point;

use super::store::Record;
use super::{OciError, Status, Store};

/// The limits that a file describes, in the specification's format; `-` is standard input.
pub fn read_resources(path: &Path) -> Result<LinuxResources, OciError> {
    if path != Path::new("-") {
        return super::bundle::read_json(path);
    }
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|source| OciError::File {
            action: "read",
            path: "standard input".into(),
            source,
        })?;
    serde_json::from_slice(&text).map_err(|source| OciError::Syntax {
        path: "standard input".into(),
        source,
    })
}

/// Changes limits; what `changed` does not name stays. Device rules stay in any case, as with runc. Where one of them cannot
/// be in force, the container has its former ones.
pub fn update(store: &Store, id: &str, changed: &LinuxResources) -> Result<(), OciError> {
    let held = store.hold(id)?;
    let (mut record, status) = store.look(id)?;
    if matches!(status, Status::Creating | Status::Stopped) {
        return Err(OciError::Status {
            action: "update",
            id: id.to_owned(),
            status,
        });
    }
    let old = resources_of(&record);
    let mut changed = changed.clone();
    changed.set_devices(None);
    let new = merged(&old, &changed)?;
    if let Err(error) = put(&record, &new) {
        // The first failure is what the caller must read.
        let _ = put(&record, &old);
        return Err(error);
    }
    crash_point("oci.update.applied");
    if let Some(linux) = record.spec.linux_mut() {
        linux.set_resources(Some(new));
    }
    held.write(&record)
}

fn resources_of(record: &Record) -> LinuxResources {
    let linux = record.spec.linux().as_ref();
    linux
        .and_then(|linux| linux.resources().clone())
        .unwrap_or_default()
}

fn put(record: &Record, limits: &LinuxResources) -> Result<(), OciError> {
    let mut limits = limits.clone();
    limits.set_devices(None);
    match record.open_cgroup()?.update(&limits)?.into_iter().next() {
        None => Ok(()),
        Some(LimitWarning { limit, reason }) => Err(OciError::Limit { limit, reason }),
    }
}

/// The old limits with the new ones over them, member by member: a quota means something only with its period.
fn merged(old: &LinuxResources, new: &LinuxResources) -> Result<LinuxResources, OciError> {
    let invalid = |error: serde_json::Error| OciError::Invalid(error.to_string());
    let mut value = serde_json::to_value(old).map_err(invalid)?;
    overlay(&mut value, serde_json::to_value(new).map_err(invalid)?);
    serde_json::from_value(value).map_err(invalid)
}

fn overlay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let parse = |text| serde_json::from_str::<LinuxResources>(text).expect("limits");
        let old = parse(r#"{"cpu":{"quota":5000,"period":10000},"pids":{"limit":7}}"#);
        let new = parse(r#"{"cpu":{"period":20000},"memory":{"limit":9}}"#);
        let merged = merged(&old, &new).expect("limits");
        let cpu = merged.cpu().as_ref().expect("there");
        assert_eq!((cpu.quota(), cpu.period()), (Some(5000), Some(20000)));
        assert_eq!(merged.memory().as_ref().and_then(|m| m.limit()), Some(9));
        assert_eq!(merged.pids().as_ref().map(|p| p.limit()), Some(7));
    }
}

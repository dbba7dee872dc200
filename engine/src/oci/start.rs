//! Letting a container run.

use oci_spec::runtime::ContainerState;

use crate::runtime::hook::{self, HookPoint};
use crate::runtime::release_waiting;
use crate::state::crash_point;

use super::store::START;
use super::{OciError, Status, Store};

/// Starts a created container; says what its `poststart` hooks complain about, which stops nothing.
pub fn start(store: &Store, id: &str) -> Result<Vec<String>, OciError> {
    let held = store.hold(id)?;
    let (record, status) = store.look(id)?;
    if status != Status::Created {
        return Err(OciError::Status {
            action: "start",
            id: id.to_owned(),
            status,
        });
    }
    if record.spec.process().is_none() {
        return Err(OciError::Invalid(format!(
            "cannot start container `{id}`: its `config.json` had no `process`"
        )));
    }
    release_waiting(&held.dir, START)?;
    crash_point("oci.start.released");
    let pid = record.init.map(|init| init.pid);
    let state = record.state(ContainerState::Running, pid);
    let hooks = HookPoint::Poststart.of(record.spec.hooks().as_ref());
    let failures = hooks
        .iter()
        .filter_map(|one| hook::run(HookPoint::Poststart, one, &state, &[]).err());
    Ok(failures.map(|error| error.to_string()).collect())
}

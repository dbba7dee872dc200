//! What the role `__exec` is told to run, and where.

use std::time::Duration;

use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use crate::container::ids::IdRange;
use crate::container::record::{ProcessRef, Record};
use crate::container::store::ContainerStore;
use crate::container::{ContainerError, oci};
use crate::runtime::foreign::Foreign;
use crate::spec::{SeccompSpec, SecuritySpec};

use super::{Attendance, ExecSpec, Journal, Place};

/// What the role is given.
#[derive(Serialize, Deserialize)]
pub(super) struct Assignment {
    pub init: ProcessRef,
    pub ids: Option<IdRange>,
    pub cgroup: String,
    pub process: Process,
    pub user: String,
    pub groups: Vec<String>,
    pub seccomp: SeccompSpec,
    pub timeout: Option<Duration>,
    pub detach: bool,
    pub size: Option<(u16, u16)>,
    pub journal: Option<Journal>,
    pub id: String,
    pub foreign: Option<Foreign>,
}

pub(super) fn assignment(
    store: &ContainerStore,
    record: &Record,
    spec: &ExecSpec,
    place: &Place<'_>,
) -> Result<Assignment, ContainerError> {
    if spec.argv.is_empty() {
        return Err(ContainerError::Invalid("no command to run".to_owned()));
    }
    let refused = |reason: &str| ContainerError::State {
        action: "run a command in",
        name: record.name.to_string(),
        reason: reason.to_owned(),
    };
    let live = store
        .live(&record.id)?
        .filter(|live| live.boot_id == crate::state::boot_id())
        .ok_or_else(|| refused("it is not running"))?;
    match live.phase {
        crate::container::record::Phase::Running => {}
        crate::container::record::Phase::Paused => {
            return Err(refused("it is paused; unpause it first"));
        }
        crate::container::record::Phase::Restarting => {
            return Err(refused("it is restarting; wait until it runs"));
        }
        _ => return Err(refused("it is not running")),
    }
    let init = live
        .init
        .filter(|init| init.exists())
        .ok_or_else(|| refused("it is not running"))?;
    let mut env: indexmap::IndexMap<String, String> = record
        .resolved
        .env
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if spec.tty {
        env.entry("TERM".to_owned())
            .or_insert_with(|| "xterm".to_owned());
    }
    for (name, value) in &spec.env {
        match value {
            Some(value) => {
                env.insert(name.clone(), value.clone());
            }
            None => {
                env.shift_remove(name);
            }
        }
    }
    let security = &record.spec.security;
    let privileged = SecuritySpec {
        privileged: true,
        ..security.clone()
    };
    let working_dir = spec
        .working_dir
        .as_deref()
        .unwrap_or(&record.resolved.working_dir);
    let security = if spec.privileged {
        &privileged
    } else {
        security
    };
    let env = env.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut process = oci::any_process(&record.spec, security, spec.argv.clone(), env)?;
    process
        .set_terminal(Some(spec.tty))
        .set_cwd(working_dir.into());
    Ok(Assignment {
        init,
        ids: record.ids,
        cgroup: record.cgroup.clone(),
        process,
        user: spec
            .user
            .clone()
            .unwrap_or_else(|| record.resolved.user.clone()),
        groups: record.spec.group_add.clone(),
        seccomp: if spec.privileged || security.privileged {
            SeccompSpec::Unconfined
        } else {
            security.seccomp.clone()
        },
        timeout: place.timeout,
        detach: place.attendance == Attendance::Leave,
        size: place.size,
        journal: place.journal.cloned(),
        id: record.id.to_string(),
        foreign: oci::foreign(record, &store.files(&record.id)),
    })
}

//! A further process in a container.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};

use crate::runtime::seccomp::Seccomp;
use crate::runtime::{self, ExecTarget};

use super::create::{Attachment, Created, streams, write_pid};
use super::store::living;
use super::{OciError, Status, Store, bundle};

/// What is run.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// Its container.
    pub id: String,
    /// A file that describes the process; everything else but its terminal is for when there is none.
    pub process: Option<PathBuf>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Instead of the container's.
    pub cwd: Option<PathBuf>,
    /// Beside the container's, `NAME=value`.
    pub env: Vec<String>,
    /// Number of the user, and of the group if there is one.
    pub user: Option<(u32, Option<u32>)>,
    /// Numbers of further groups.
    pub groups: Vec<u32>,
    /// Beside the container's.
    pub capabilities: Vec<Capability>,
    /// Whether it has a terminal, if that was said.
    pub terminal: Option<bool>,
    /// Set no_new_privs.
    pub no_new_privileges: bool,
    /// Instead of the container's profile.
    pub apparmor: Option<String>,
    /// How many descriptors after the standard ones it gets.
    pub preserved: u32,
    /// Where its pid is written.
    pub pid_file: Option<PathBuf>,
    /// Begin even though it will wait until the container is resumed.
    pub ignore_paused: bool,
}

/// Runs it. Its handle has the same members as that of a container.
pub fn exec(
    store: &Store,
    options: &ExecOptions,
    attachment: &Attachment,
) -> Result<Created, OciError> {
    let (record, status) = store.look(&options.id)?;
    let refused = || OciError::Status {
        action: "execute something in",
        id: options.id.clone(),
        status,
    };
    match status {
        Status::Created | Status::Running => {}
        Status::Paused if options.ignore_paused => {}
        Status::Creating | Status::Paused | Status::Stopped => return Err(refused()),
    }
    let init: OwnedFd = record.init.and_then(living).ok_or_else(refused)?;
    let process = process_of(options, record.spec.process().as_ref())?;
    bundle::check_process(&process).map_err(OciError::Invalid)?;
    let (stdio, console) = streams(&process, attachment)?;
    let filter = record
        .spec
        .linux()
        .as_ref()
        .and_then(|l| l.seccomp().as_ref());
    let profile = bundle::seccomp(filter)?;
    let cgroup = record.open_cgroup()?;
    let mut started = runtime::exec(runtime::Exec {
        target: ExecTarget {
            init: init.as_fd(),
            userns: record.userns,
            cgroup: Some(&cgroup),
        },
        process: &process,
        stdio,
        seccomp: profile
            .as_ref()
            .map_or(Seccomp::Unconfined, Seccomp::Profile),
        user: None,
        groups: &[],
        preserved: options.preserved,
    })?;
    let mut terminal = started.terminal.take();
    if let (Some(console), Some(master)) = (&console, &terminal) {
        console.give(master.as_fd())?;
        terminal = None;
    }
    if let Some(path) = &options.pid_file {
        write_pid(path, started.pid.as_raw_pid())?;
    }
    Ok(Created {
        pidfd: started.pidfd,
        terminal,
        warnings: started.warnings.iter().map(ToString::to_string).collect(),
    })
}

/// The process of the file, or that of the container with changes.
fn process_of(options: &ExecOptions, of_container: Option<&Process>) -> Result<Process, OciError> {
    let mut process = match (&options.process, of_container) {
        (Some(path), _) => bundle::read_json(path)?,
        (None, Some(process)) => {
            let mut process = process.clone();
            change(&mut process, options);
            process
        }
        (None, None) => {
            return Err(OciError::Invalid(
                "the container's `config.json` had no `process` to begin with: use --process"
                    .to_owned(),
            ));
        }
    };
    if let Some(terminal) = options.terminal {
        process.set_terminal(Some(terminal));
    }
    Ok(process)
}

fn change(process: &mut Process, options: &ExecOptions) {
    process
        .set_args(Some(options.args.clone()))
        .set_terminal(Some(false))
        // For the container's start, not for every process in it.
        .set_oom_score_adj(None);
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    let user = process.user_mut();
    if let Some((uid, gid)) = options.user {
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(0));
    }
    if !options.groups.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&options.groups);
        user.set_additional_gids(Some(groups));
    }
    if options.no_new_privileges {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if !options.capabilities.is_empty() {
        let present = process.capabilities().clone().unwrap_or_else(none);
        process.set_capabilities(Some(with(present, &options.capabilities)));
    }
}

fn none() -> LinuxCapabilities {
    runtime::defaults::capability_sets(&HashSet::new())
}

/// These capabilities in every set that a program of root's gets them from.
fn with(mut sets: LinuxCapabilities, more: &[Capability]) -> LinuxCapabilities {
    let add = |set: &Option<HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(more);
        Some(set)
    };
    let (bounding, effective, permitted) = (
        add(sets.bounding()),
        add(sets.effective()),
        add(sets.permitted()),
    );
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    sets
}

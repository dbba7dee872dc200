//! A further process in a running container.
//!
//! The caller's process enters only the container's pid namespace, and that only for its next child; the child enters
//! the rest by the pidfd of the container's first process, so a reused pid cannot mislead it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::thread::ThreadNameSpaceType;

use crate::cgroup::{Cgroup, TaskFile};
use crate::mount::{Below, open_root};
use crate::sys::process::{Fork, Forked, NoReturn};
use crate::sys::{namespace, user_namespace};

use super::child::{
    adjust_oom_score, be_invisible, give_streams, join_cgroup, set_lsm_label, take_streams,
};
use super::error::parent;
use super::launch::{Init, NsRoot, Started, Stdio, cannot_clone, park};
use super::parking::{Ready, fail};
use super::plan::{PidNamespace, refuse_process};
use super::process::{Payload, raise_limits};
use super::report::{Failure, Line};
use super::seccomp::Seccomp;
use super::terminal::Terminal;
use super::{RuntimeError, Stage};

/// A running container, as the target of [`exec`].
#[derive(Clone, Copy, Debug)]
pub struct ExecTarget<'a> {
    /// Its first process.
    pub init: BorrowedFd<'a>,
    /// What the root of its user namespace is for us; `None` if it is in ours.
    pub userns: Option<NsRoot>,
    /// Its cgroup; `None` stays in ours.
    pub cgroup: Option<&'a Cgroup>,
}

/// A further process for a running container.
pub struct Exec<'a> {
    /// Where.
    pub target: ExecTarget<'a>,
    /// Arguments, environment, ids, capabilities (all of them for a privileged exec), working directory.
    pub process: &'a Process,
    /// The first three descriptors.
    pub stdio: Stdio,
    /// The system call filter; that of the container unless privileged.
    pub seccomp: Seccomp<'a>,
    /// As [`super::Launch::user`].
    pub user: Option<&'a str>,
    /// As [`super::Launch::groups`].
    pub groups: &'a [String],
    /// As [`super::Launch::preserved`].
    pub preserved: u32,
}

/// Runs a further process in a running container.
pub fn exec(exec: Exec<'_>) -> Result<Started, RuntimeError> {
    refuse_process(exec.process)?;
    let entry = exec.target.cgroup.map(Cgroup::entry).transpose()?;
    let tasks = entry.as_ref().map_or(&[][..], |entry| &entry.tasks);
    let (line, childs_line) =
        Line::pair().map_err(|source| parent("make a socket pair", source))?;
    let fork = Fork {
        cgroup: entry
            .as_ref()
            .and_then(|entry| entry.directory.as_ref().map(AsFd::as_fd)),
        ..Fork::default()
    };
    let _pids = PidNamespace::of_process(exec.target.init)?;
    match fork.run().map_err(cannot_clone)? {
        Forked::Child => {
            let _never_back = NoReturn;
            let line = Line::from_fd(childs_line.into_fd());
            match set_up(&exec, tasks) {
                Ok((payload, terminal, warnings)) => {
                    let ready = Ready {
                        payload,
                        master: terminal.map(|t| t.master),
                        warnings,
                        init: Init::Payload,
                        preserved: exec.preserved,
                        hooks: None,
                    };
                    ready.park(line)
                }
                Err(failure) => fail(&line, failure),
            }
        }
        Forked::Parent { pid, pidfd } => {
            drop(childs_line);
            let filter = exec.seccomp.compile(exec.process.capabilities().as_ref());
            park(pid, pidfd, line, filter, |_| Ok(()))?.release()
        }
    }
}

type SetUp<'a> = (Payload<'a>, Option<Terminal>, Vec<super::Warning>);

/// The steps of the child, in order.
fn set_up<'a>(exec: &'a Exec<'_>, tasks: &[TaskFile]) -> Result<SetUp<'a>, Failure> {
    let mut warnings = Vec::new();
    be_invisible()?;
    join_cgroup(tasks)?;
    adjust_oom_score(exec.process, &mut warnings)?;
    set_lsm_label(exec.process, &mut warnings)?;
    enter(exec)?;
    let terminal = match exec.stdio {
        // The descriptor of the root goes again: a working directory could be named by it.
        Stdio::Terminal { size } => {
            let root = open_root(Path::new("/"))
                .map_err(|error| Failure::new(Stage::Namespace, "/", error))?;
            Some(Terminal::open(Below::new(root.as_fd()), size)?)
        }
        _ => None,
    };
    let filtered = exec.seccomp.is_some();
    let payload = Payload::resolve(exec.process, exec.user, exec.groups, filtered)?;
    take_streams(&exec.stdio, terminal.as_ref(), payload.uid())?;
    payload.limit(&mut warnings)?;
    payload.become_user("exec", &mut warnings)?;
    Ok((payload, terminal, warnings))
}

fn enter(exec: &Exec<'_>) -> Result<(), Failure> {
    let failed = |error| Failure::new(Stage::Namespace, "container", error);
    let mut namespaces = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::CONTROL_GROUP;
    let Some(root) = exec.target.userns else {
        return namespace::enter_process(exec.target.init, namespaces).map_err(failed);
    };
    raise_limits(exec.process)?;
    give_streams(&exec.stdio, root);
    namespaces |= ThreadNameSpaceType::USER;
    namespace::enter_process(exec.target.init, namespaces)
        .and_then(|()| user_namespace::become_root())
        .map_err(failed)?;
    // The change of ids has undone it.
    be_invisible()
}

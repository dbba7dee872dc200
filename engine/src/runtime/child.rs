//! What the first process of a container does between clone and execve.
//!
//! [`Child::run`] is the list of steps; each reports its own name, the path it worked on
//! and the errno. The process is a copy of its parent with one thread, so it may allocate;
//! it never returns to the parent's code.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec, State};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::DumpableBehavior;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::cgroup::TaskFile;
use crate::mount::{Below, CgroupView, RootMount, Trees, open_root};
use crate::sys::process::{Fork, Forked, exit_now};
use crate::sys::{namespace, signal, user_namespace};

use super::launch::{Init, Lookup, NetNs, NsRoot, Stdio, UserNs};
use super::parking::{Ready, fail};
use super::process::{Payload, raise_limits};
use super::report::{Failure, Line, Message};
use super::rootfs::HostTrees;
use super::terminal::{self, Terminal};
use super::{Stage, Warning};

/// Everything the first process needs, borrowed from the parent's frames it was copied with.
pub(super) struct Child<'a> {
    pub(super) id: &'a str,
    pub(super) spec: &'a Spec,
    pub(super) process: &'a Process,
    pub(super) root: &'a RootMount,
    pub(super) made: &'a Trees,
    pub(super) netns: NetNs<'a>,
    pub(super) userns: Option<UserNs<'a>>,
    pub(super) joins: &'a [(OwnedFd, LinkNameSpaceType)],
    pub(super) new_cgroup_namespace: bool,
    pub(super) tasks: &'a [TaskFile],
    pub(super) cgroups: &'a CgroupView,
    pub(super) stdio: &'a Stdio,
    pub(super) init: Init,
    pub(super) user: Option<&'a str>,
    pub(super) groups: &'a [String],
    pub(super) filtered: bool,
    pub(super) preserved: u32,
    pub(super) lookup: Lookup,
    pub(super) state: Option<&'a State>,
}

impl Child<'_> {
    /// Sets up, waits for the word, becomes the program. Ends the process in any case.
    pub(super) fn run(&self, line: Line) -> ! {
        let set_up = || {
            let mut warnings = Vec::new();
            let trees = self.prepare(&mut warnings)?;
            self.set_up(&line, &trees, warnings)
        };
        match set_up() {
            Ok(ready) => ready.park(line),
            Err(failure) => fail(&line, failure),
        }
    }

    /// Makes the process that [`Self::run`] is about in a user namespace, where it is a child of our parent and
    /// has what only we could prepare. Ends this process.
    pub(super) fn send_another(&self, line: Line, userns: UserNs<'_>, namespaces: u64) -> ! {
        let mut warnings = Vec::new();
        let prepared = self.prepare(&mut warnings).and_then(|trees| {
            raise_limits(self.process)?;
            give_streams(self.stdio, userns.root);
            user_namespace::enter(userns.fd)
                .and_then(|()| user_namespace::become_root())
                .map_err(|error| Failure::new(Stage::Namespace, "user", error))?;
            Ok(trees)
        });
        let trees = match prepared {
            Ok(trees) => trees,
            Err(failure) => fail(&line, failure),
        };
        // What the new process says comes after our word of it.
        let (told_first, untold) = match rustix::pipe::pipe_with(PipeFlags::CLOEXEC) {
            Ok(pipe) => pipe,
            Err(error) => fail(&line, Failure::new(Stage::Namespace, "new", error)),
        };
        let fork = Fork {
            namespaces,
            sibling: true,
            ..Fork::default()
        };
        match fork.run() {
            Err(error) => fail(&line, Failure::new(Stage::Namespace, "new", error)),
            Ok(Forked::Child) => {
                drop(untold);
                let _ = rustix::io::retry_on_intr(|| rustix::io::read(&told_first, &mut [0; 1]));
                drop(told_first);
                // The change of ids has undone it.
                let set_up = be_invisible().and_then(|()| self.set_up(&line, &trees, warnings));
                match set_up {
                    Ok(ready) => ready.park(line),
                    Err(failure) => fail(&line, failure),
                }
            }
            Ok(Forked::Parent { pidfd, .. }) => {
                let told = line.send(&Message::Sent, Some(pidfd.as_fd()));
                exit_now(if told.is_ok() { 0 } else { 125 })
            }
        }
    }

    /// The steps that need the rights of who launches, in a mount namespace that is not the host's.
    fn prepare(&self, warnings: &mut Vec<Warning>) -> Result<HostTrees, Failure> {
        be_invisible()?;
        join_cgroup(self.tasks)?;
        self.join_namespaces()?;
        adjust_oom_score(self.process, warnings)?;
        self.host_trees()
    }

    /// The steps from there to the parking place, in order.
    fn set_up(
        &self,
        line: &Line,
        trees: &HostTrees,
        mut warnings: Vec<Warning>,
    ) -> Result<Ready<'_>, Failure> {
        self.make_namespaces()?;
        set_lsm_label(self.process, &mut warnings)?;
        let terminal = self.build_root(line, trees)?;
        self.name_host()?;
        let payload = Payload::resolve(self.process, self.user, self.groups, self.filtered)?;
        take_streams(self.stdio, terminal.as_ref(), payload.uid())?;
        payload.limit(&mut warnings)?;
        self.make_working_directory()?;
        payload.become_user(self.id, &mut warnings)?;
        if self.lookup == Lookup::Early {
            payload.find_program()?;
        }
        Ok(Ready {
            payload,
            master: terminal.map(|t| t.master),
            warnings,
            init: self.init,
            preserved: self.preserved,
            hooks: self.state.map(|state| (self.spec.hooks().as_ref(), state)),
        })
    }

    pub(super) fn linux(&self) -> Option<&Linux> {
        self.spec.linux().as_ref()
    }

    fn join_namespaces(&self) -> Result<(), Failure> {
        for (fd, kind) in self.joins {
            namespace::enter(fd.as_fd(), *kind)
                .map_err(|error| no_namespace(&format!("{kind:?}").to_lowercase(), error))?;
        }
        if let NetNs::Join(fd) = self.netns {
            namespace::enter(fd, LinkNameSpaceType::Network)
                .map_err(|error| no_namespace("network", error))?;
        }
        Ok(())
    }

    fn make_namespaces(&self) -> Result<(), Failure> {
        if let NetNs::New = self.netns {
            // Made by clone3; its loopback device is down.
            namespace::bring_up_loopback().map_err(|error| no_namespace("lo", error))?;
        }
        if self.new_cgroup_namespace {
            // Only now: the new namespace's root is the cgroup its creator is in.
            namespace::unshare(UnshareFlags::NEWCGROUP)
                .map_err(|error| no_namespace("cgroup", error))?;
        }
        Ok(())
    }

    fn name_host(&self) -> Result<(), Failure> {
        if let Some(name) = self.spec.hostname() {
            rustix::system::sethostname(name.as_bytes())
                .map_err(|error| Failure::new(Stage::Hostname, name.as_str(), error))?;
        }
        if let Some(name) = self.spec.domainname() {
            rustix::system::setdomainname(name.as_bytes())
                .map_err(|error| Failure::new(Stage::Hostname, name.as_str(), error))?;
        }
        Ok(())
    }

    /// Docker makes a missing working directory, for root.
    fn make_working_directory(&self) -> Result<(), Failure> {
        let root = open_root(Path::new("/"))
            .map_err(|error| Failure::new(Stage::WorkingDir, "/", error))?;
        self.make_working_directory_below(Below::new(root.as_fd()))
    }

    pub(super) fn make_working_directory_below(&self, below: Below<'_>) -> Result<(), Failure> {
        let directory = self.process.cwd();
        match below.directory(directory) {
            // Only our own look at it is refused; entering it decides.
            Ok(_) | Err(Errno::ROFS | Errno::ACCESS | Errno::LOOP | Errno::XDEV) => Ok(()),
            Err(error) => Err(Failure::new(
                Stage::WorkingDir,
                directory.display().to_string(),
                error,
            )),
        }
    }
}

fn no_namespace(what: &str, error: io::Error) -> Failure {
    Failure::new(Stage::Namespace, what, error)
}

/// Gives pipes among the streams to the root of a user namespace, who then may give them to the user: both ids of
/// a file must be known there for that.
pub(super) fn give_streams(stdio: &Stdio, root: NsRoot) {
    let Stdio::Fds {
        stdin,
        stdout,
        stderr,
    } = stdio
    else {
        return;
    };
    for stream in [stdin, stdout, stderr] {
        terminal::give(stream.as_fd(), root.uid, Some(root.gid));
    }
}

/// From the first moment on nobody in a shared pid namespace can look into us.
pub(super) fn be_invisible() -> Result<(), Failure> {
    signal::reset_all();
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Failure::new(Stage::Privileges, "dumpable", error))
}

/// Moves us into the v1 cgroups. A thread that moves only itself needs no grace period of RCU.
pub(super) fn join_cgroup(tasks: &[TaskFile]) -> Result<(), Failure> {
    for task in tasks {
        task.join()
            .map_err(|error| Failure::new(Stage::Cgroup, task.path(), error))?;
    }
    Ok(())
}

/// How soon the kernel ends the process for lack of memory.
pub(super) fn adjust_oom_score(
    process: &Process,
    warnings: &mut Vec<Warning>,
) -> Result<(), Failure> {
    let Some(score) = process.oom_score_adj() else {
        return Ok(());
    };
    match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            warnings.push(Warning {
                what: format!("oom_score_adj {score}"),
                why: "lowering it needs CAP_SYS_RESOURCE".to_owned(),
            });
            Ok(())
        }
        other => other.map_err(|error| Failure::new(Stage::Limits, "oom_score_adj", error)),
    }
}

/// The AppArmor profile of the next execve; the host's /proc is still in place, so nobody in the
/// container can have redirected the file.
pub(super) fn set_lsm_label(process: &Process, warnings: &mut Vec<Warning>) -> Result<(), Failure> {
    let Some(profile) = process.apparmor_profile().as_deref() else {
        return Ok(());
    };
    if profile.is_empty() || profile == "unconfined" {
        return Ok(());
    }
    let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
    if !enabled.is_ok_and(|text| text.first() == Some(&b'Y')) {
        warnings.push(Warning {
            what: format!("AppArmor profile {profile}"),
            why: "AppArmor is not enabled on this machine".to_owned(),
        });
        return Ok(());
    }
    let own = Path::new("/proc/self/attr/apparmor/exec");
    let shared = Path::new("/proc/self/attr/exec");
    let file = if own.exists() { own } else { shared };
    std::fs::write(file, format!("exec {profile}")).map_err(|error| {
        Failure::new(
            Stage::Privileges,
            format!("AppArmor profile {profile}"),
            error,
        )
    })
}

/// Opens a session of our own and puts the streams in place.
pub(super) fn take_streams(
    stdio: &Stdio,
    terminal: Option<&Terminal>,
    uid: u32,
) -> Result<(), Failure> {
    // Fails only for a group leader, which a process just forked is not, except as PID 1 of an
    // older kernel; then it leads a session already.
    let _ = rustix::process::setsid();
    match (stdio, terminal) {
        (Stdio::Terminal { .. }, Some(terminal)) => {
            terminal.control()?;
            let slave = terminal.slave.as_fd();
            terminal::connect([slave, slave, slave])?;
        }
        (
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            },
            _,
        ) => terminal::connect([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?,
        (Stdio::Null | Stdio::Terminal { .. }, _) => {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            // The container's own: a change of its mode through the descriptor must not reach the host's node.
            let failed = |error: Errno| Failure::new(Stage::Stdio, "/dev/null", error);
            let null = rustix::fs::open("/dev/null", flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(failed)?;
            if rustix::fs::fstat(&null).map_err(failed)?.st_rdev != rustix::fs::makedev(1, 3) {
                return Err(failed(Errno::NODEV));
            }
            terminal::connect([null.as_fd(), null.as_fd(), null.as_fd()])?;
        }
    }
    if uid != 0 {
        terminal::give_streams_to(uid);
    }
    Ok(())
}

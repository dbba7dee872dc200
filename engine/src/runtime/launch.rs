//! The interface of the runtime: what to launch, and the handles that come back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{ContainerState, Spec, State};
use rustix::net::SocketType;
use rustix::process::{Pid, Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::mount::{RootMount, Trees};
use crate::sys::process::{Fork, Forked, NoReturn};
use crate::sys::seccomp::Instruction;
use crate::sys::wire;

use super::child::Child;
use super::error::{invalid, parent};
use super::hook::{self, HookPoint};
use super::plan;
use super::report::{Failure, Line, Message};
use super::seccomp::{Seccomp, SeccompError};
use super::{Exit, RuntimeError, Stage, Warning};

/// One container to launch.
pub struct Launch<'a> {
    /// Full container id: names the session keyring and appears in messages.
    pub id: &'a str,
    /// Process, mounts (in order; binds by host path), namespaces, devices, masks, sysctls …
    /// A namespace with a path is joined, one without is new, one not listed is the host's;
    /// `network` is ignored in favour of [`Launch::netns`], `user` and the mappings of `linux` in favour of
    /// [`Launch::userns`], `resources` and `cgroupsPath` in favour of [`Launch::cgroup`], `linux.seccomp` in favour of
    /// [`Launch::seccomp`].
    pub spec: &'a Spec,
    /// The root file system.
    pub root: &'a RootMount,
    /// The network namespace.
    pub netns: NetNs<'a>,
    /// The user namespace; `None` stays in ours.
    pub userns: Option<UserNs<'a>>,
    /// The cgroup its processes live in; `None` stays in ours.
    pub cgroup: Option<&'a Cgroup>,
    /// The first three descriptors.
    pub stdio: Stdio,
    /// The system call filter.
    pub seccomp: Seccomp<'a>,
    /// What PID 1 is.
    pub init: Init,
    /// `user[:group]` as the image or the user wrote it, looked up in the container's own
    /// files once its root is mounted; overrides `spec.process.user`'s ids.
    /// `additionalGids` of the specification are kept. HOME is set when the environment lacks it.
    pub user: Option<&'a str>,
    /// Further groups, names or numbers (`group_add`).
    pub groups: &'a [String],
    /// How many descriptors after the standard ones, from 3 on, the program gets as they are.
    pub preserved: u32,
    /// When the program is looked for.
    pub lookup: Lookup,
    /// What hooks of the specification are told; without it, a specification with hooks is refused.
    pub state: Option<&'a State>,
}

/// Which network namespace a container gets.
#[derive(Clone, Copy, Debug)]
pub enum NetNs<'a> {
    /// Ours.
    Host,
    /// A new one with a loopback device that is up, and nothing else.
    New,
    /// This one.
    Join(BorrowedFd<'a>),
}

/// A user namespace of a container's own, which has all other new namespaces too.
#[derive(Clone, Copy, Debug)]
pub struct UserNs<'a> {
    /// It.
    pub fd: BorrowedFd<'a>,
    /// What its root is for us.
    pub root: NsRoot,
    /// Whether the root's layers hold the ids inside, and not ours.
    pub maps_root: bool,
}

/// What the root of a user namespace is for the namespace around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NsRoot {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// When a container's program is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// At its start only: until then others may put it into a volume.
    AtStart,
    /// When it is prepared too, and a missing one is an error then.
    Early,
}

/// What PID 1 of a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The program itself.
    Payload,
    /// Our small init: forwards signals, reaps, ends with the program's exit code.
    Reaper,
}

/// Where the first three descriptors of a process lead.
#[derive(Debug)]
pub enum Stdio {
    /// `/dev/null`, all three.
    Null,
    /// These.
    Fds {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A new terminal of the container's own devpts; its master comes back to the caller.
    Terminal {
        /// First size.
        size: Option<WindowSize>,
    },
}

/// Size of a terminal window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// A process that is set up and waits to execute its program. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Parked {
    process: Option<Started>,
    line: Line,
    filter: Vec<Instruction>,
}

impl Parked {
    /// Its pid in our namespace.
    pub fn pid(&self) -> Pid {
        self.process().pid
    }

    /// A descriptor that names the process for ever.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process().pidfd.as_fd()
    }

    /// The master side, if [`Stdio::Terminal`] was asked for; only once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.process.as_mut().and_then(|p| p.terminal.take())
    }

    /// What could not be done and was left out.
    pub fn warnings(&self) -> &[Warning] {
        &self.process().warnings
    }

    fn process(&self) -> &Started {
        self.process
            .as_ref()
            .expect("only release takes it, and release takes self")
    }

    /// Lets it execute its program. Returns once execve has succeeded or failed.
    pub fn release(mut self) -> Result<Started, RuntimeError> {
        let vanished = |exit| RuntimeError::Vanished { exit };
        if self.line.go(&self.filter).is_err() {
            return Err(vanished(self.end()?));
        }
        match self
            .line
            .receive()
            .map_err(|error| parent("hear from the container's process", error))?
        {
            // The line has closed: by execve, or because someone killed the process, whose end
            // the caller then sees as that of the program.
            None => self.process.take().ok_or_else(|| vanished(Exit::Code(125))),
            Some((Message::Failed(failure), _)) => Err(failure.into()),
            Some(_) => Err(vanished(self.end()?)),
        }
    }

    /// Leaves it to whoever connects to this listening socket: see [`release_waiting`]. It goes on waiting
    /// when we end.
    pub fn hand_over(mut self, listener: BorrowedFd<'_>) -> Result<Started, RuntimeError> {
        match self.line.listen(&self.filter, listener) {
            Ok(()) => self.process.take().ok_or(RuntimeError::Vanished {
                exit: Exit::Code(125),
            }),
            Err(_) => Err(RuntimeError::Vanished { exit: self.end()? }),
        }
    }

    /// Runs the hooks that belong outside, when the child has mounted everything.
    fn run_hooks(&self, spec: &Spec, state: Option<&State>) -> Result<(), RuntimeError> {
        if let Some(state) = state {
            let mut state = state.clone();
            state.set_pid(Some(self.pid().as_raw_pid()));
            // The first ones, deprecated, are hooks of the start: to them the container is made (runtime-tools checks it).
            for (point, status) in [
                (HookPoint::Prestart, ContainerState::Created),
                (HookPoint::CreateRuntime, ContainerState::Creating),
            ] {
                state.set_status(status);
                hook::run_all(point, spec.hooks().as_ref(), &state)?;
            }
        }
        self.line
            .go(&[])
            .map_err(|error| parent("talk to the container's process", error))
    }

    /// Kills it and says how it ended.
    fn end(&mut self) -> Result<Exit, RuntimeError> {
        let Some(process) = self.process.take() else {
            return Ok(Exit::Code(125));
        };
        let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
        process.wait()
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Whether a process that was handed over waits at this socket.
pub fn is_waiting(directory: &Path, socket: &str) -> bool {
    wire::connect(directory, socket, SocketType::SEQPACKET).is_ok()
}

/// Lets a process that was handed over execute its program. Returns once execve has succeeded or failed.
pub fn release_waiting(directory: &Path, socket: &str) -> Result<(), RuntimeError> {
    let failed = |error| parent("reach the container's process", error);
    let connection = wire::connect(directory, socket, SocketType::SEQPACKET).map_err(failed)?;
    let line = Line::from_fd(connection);
    line.go(&[]).map_err(failed)?;
    match line.receive().map_err(failed)? {
        Some((Message::Failed(failure), _)) => Err(failure.into()),
        _ => Ok(()),
    }
}

/// A process that runs its program. It is a child of the calling process; dropping the handle
/// lets it run on.
#[derive(Debug)]
pub struct Started {
    /// Its pid in our namespace.
    pub pid: Pid,
    /// A descriptor that names it for ever.
    pub pidfd: OwnedFd,
    /// The master side, if [`Stdio::Terminal`] was asked for and nobody took it before.
    pub terminal: Option<OwnedFd>,
    /// What could not be done and was left out.
    pub warnings: Vec<Warning>,
}

impl Started {
    /// Waits for its end and reaps it.
    pub fn wait(&self) -> Result<Exit, RuntimeError> {
        crate::sys::process::wait(self.pidfd.as_fd())
            .map_err(|source| parent("wait for the process", source))
    }
}

/// Clones and sets up a container's first process, up to the moment before execve.
pub fn prepare(launch: Launch<'_>) -> Result<Parked, RuntimeError> {
    let plan = plan::Plan::of(launch.spec, launch.netns)?;
    if launch.state.is_none() && launch.spec.hooks().is_some() {
        return Err(invalid(
            "`hooks` of the specification are not supported here",
        ));
    }
    let process = plan.process;
    let entry = launch.cgroup.map(Cgroup::entry).transpose()?;
    let tasks = entry.as_ref().map_or(&[][..], |entry| &entry.tasks);
    let cgroups = plan.cgroup_view(launch.cgroup)?;
    let (line, childs_line) =
        Line::pair().map_err(|source| parent("make a socket pair", source))?;
    let mounts = launch.spec.mounts().as_deref().unwrap_or_default();
    let made = Trees::of_engine(mounts, launch.userns.map(|userns| userns.fd))
        .map_err(|error| Failure::mount(Stage::Mount, error))?;
    let child = Child {
        id: launch.id,
        spec: launch.spec,
        process,
        root: launch.root,
        made: &made,
        netns: launch.netns,
        userns: launch.userns,
        joins: &plan.joins,
        new_cgroup_namespace: plan.new_cgroup_namespace,
        tasks,
        cgroups: &cgroups,
        stdio: &launch.stdio,
        init: launch.init,
        user: launch.user,
        groups: launch.groups,
        filtered: launch.seccomp.is_some(),
        preserved: launch.preserved,
        lookup: launch.lookup,
        state: launch.state,
    };
    let _pids = plan.enter_pid_namespace()?;
    let fork = Fork {
        // What belongs to a user namespace is made in it, by the process that the child makes there.
        namespaces: match launch.userns {
            Some(_) => libc::CLONE_NEWNS as u64,
            None => plan.new_namespaces,
        },
        cgroup: entry
            .as_ref()
            .and_then(|entry| entry.directory.as_ref().map(AsFd::as_fd)),
        ..Fork::default()
    };
    match fork.run().map_err(cannot_clone)? {
        Forked::Child => {
            let _never_back = NoReturn;
            let line = Line::from_fd(childs_line.into_fd());
            match launch.userns {
                Some(userns) => child.send_another(line, userns, plan.new_namespaces),
                None => child.run(line),
            }
        }
        Forked::Parent { pid, pidfd } => {
            drop(childs_line);
            // Compiled here, while the child mounts on another CPU.
            let filter = launch.seccomp.compile(process.capabilities().as_ref());
            let (pid, pidfd) = match launch.userns {
                Some(_) => sent(pidfd, &line)?,
                None => (pid, pidfd),
            };
            park(pid, pidfd, line, filter, |parked| {
                parked.run_hooks(launch.spec, launch.state)
            })
        }
    }
}

/// The process in a user namespace, in place of the one that has made it and ends.
fn sent(messenger: OwnedFd, line: &Line) -> Result<(Pid, OwnedFd), RuntimeError> {
    let heard = line.receive();
    let exit = crate::sys::process::wait(messenger.as_fd())
        .map_err(|source| parent("wait for the process", source))?;
    match heard.map_err(|error| parent("hear from the container's process", error))? {
        Some((Message::Sent, Some(pidfd))) => {
            let pid = crate::sys::process::pid_of(pidfd.as_fd())
                .map_err(|error| parent("look at the container's process", error))?;
            Ok((pid, pidfd))
        }
        Some((Message::Failed(failure), _)) => Err(failure.into()),
        _ => Err(RuntimeError::Vanished { exit }),
    }
}

/// Waits until the child is ready, or says why it is not.
pub(super) fn park(
    pid: Pid,
    pidfd: OwnedFd,
    line: Line,
    filter: Result<Vec<Instruction>, SeccompError>,
    mounted: impl FnOnce(&Parked) -> Result<(), RuntimeError>,
) -> Result<Parked, RuntimeError> {
    let mut parked = Parked {
        process: Some(Started {
            pid,
            pidfd,
            terminal: None,
            warnings: Vec::new(),
        }),
        line,
        filter: Vec::new(),
    };
    parked.filter = filter?;
    let hear = |parked: &Parked| {
        let heard = parked.line.receive();
        heard.map_err(|error| parent("hear from the container's process", error))
    };
    let mut heard = hear(&parked)?;
    if let Some((Message::Mounted, _)) = heard {
        mounted(&parked)?;
        heard = hear(&parked)?;
    }
    match heard {
        Some((Message::Ready { warnings }, terminal)) => {
            if let Some(process) = &mut parked.process {
                process.warnings = warnings;
                process.terminal = terminal;
            }
            Ok(parked)
        }
        Some((Message::Failed(failure), _)) => Err(failure.into()),
        Some((Message::Mounted | Message::Sent, _)) | None => Err(RuntimeError::Vanished {
            exit: parked.end()?,
        }),
    }
}

/// Puts the usual reasons of a refused clone3 into words.
pub(super) fn cannot_clone(source: io::Error) -> RuntimeError {
    let what = match source.raw_os_error() {
        Some(libc::EDEADLK) => {
            "clone the container's process: this process has more than one thread"
        }
        Some(libc::EPERM) => "clone the container's process; new namespaces need root",
        Some(libc::EAGAIN) => {
            "clone the container's process: a limit on processes (pids.max, RLIMIT_NPROC) is reached"
        }
        Some(libc::ENOSPC) => "clone the container's process: a limit in /proc/sys/user is reached",
        _ => "clone the container's process",
    };
    parent(what, source)
}

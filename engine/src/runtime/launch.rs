//! The interface of the runtime: what to launch, and the handles that come back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{Process, Spec};
use rustix::process::Pid;

use crate::cgroup::Cgroup;
use crate::mount::RootMount;

use super::seccomp::Seccomp;
use super::{Exit, RuntimeError, Warning};

/// One container to launch.
pub struct Launch<'a> {
    /// Full container id: names the session keyring and appears in messages.
    pub id: &'a str,
    /// Process, mounts (in order; binds by host path), namespaces, devices, masks, sysctls …
    /// A namespace with a path is joined, one without is new, one not listed is the host's;
    /// `network` is ignored in favour of [`Launch::netns`], `resources` and `cgroupsPath` in favour of [`Launch::cgroup`],
    /// `linux.seccomp` in favour of [`Launch::seccomp`].
    pub spec: &'a Spec,
    /// The root file system.
    pub root: &'a RootMount,
    /// The network namespace.
    pub netns: NetNs<'a>,
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
    _private: (),
}

impl Parked {
    /// Its pid in our namespace.
    pub fn pid(&self) -> Pid {
        unreachable!("nothing constructs it yet")
    }

    /// A descriptor that names the process for ever.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        unreachable!("nothing constructs it yet")
    }

    /// The master side, if [`Stdio::Terminal`] was asked for; only once.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        unreachable!("nothing constructs it yet")
    }

    /// What could not be done and was left out.
    pub fn warnings(&self) -> &[Warning] {
        unreachable!("nothing constructs it yet")
    }

    /// Lets it execute its program. Returns once execve has succeeded or failed.
    pub fn release(self) -> Result<Started, RuntimeError> {
        unreachable!("nothing constructs it yet")
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
            .map_err(|source| super::error::parent("wait for the process", source))
    }
}

/// A running container, as the target of [`exec`].
#[derive(Clone, Copy, Debug)]
pub struct ExecTarget<'a> {
    /// Its first process.
    pub init: BorrowedFd<'a>,
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
    /// As [`Launch::user`].
    pub user: Option<&'a str>,
    /// As [`Launch::groups`].
    pub groups: &'a [String],
}

/// Clones and sets up a container's first process, up to the moment before execve.
pub fn prepare(launch: Launch<'_>) -> Result<Parked, RuntimeError> {
    let _ = launch;
    Err(super::error::invalid("launching is not built yet"))
}

/// Runs a further process in a running container.
pub fn exec(exec: Exec<'_>) -> Result<Started, RuntimeError> {
    let _ = exec;
    Err(super::error::invalid("exec is not built yet"))
}

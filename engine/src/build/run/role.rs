//! The role `__build-run`: one command of a build in a container of its own.
//!
//! Single-threaded. Descriptor 3 holds a [`RunSpec`], 0 is a socket: the [`Outcome`] goes out there, and
//! when the other side closes it the command is killed. Mounts made here live in a mount namespace of
//! this process and vanish with it.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use oci_spec::runtime::Mount;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::MountPropagationFlags;

use super::document::{Outcome, RunSpec};
use super::network::Connected;
use super::{attach, oci};
use crate::cgroup::{Cgroup, Layout};
use crate::error::{Classify, ErrorKind, with_causes};
use crate::mount::{Overlay, RootMount};
use crate::runtime::seccomp::Seccomp;
use crate::runtime::{self, Init, Launch, Lookup, NetNs, RuntimeError, Stdio};

/// The memory file with the specification.
const DOCUMENT: &str = "/proc/self/fd/3";

/// Why the command could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("cannot {0}: {1}")]
    Io(&'static str, std::io::Error),
    #[error("cannot read the specification: {0}")]
    Spec(serde_json::Error),
    #[error("cannot describe the container: {0}")]
    Oci(oci_spec::OciSpecError),
    #[error("{}", with_causes(.0))]
    Runtime(RuntimeError),
    #[error("{}", with_causes(.0))]
    Network(crate::network::NetworkError),
    #[error("{}", with_causes(.0))]
    Cgroup(crate::cgroup::CgroupError),
    #[error("unknown resource limit `{0}`")]
    Ulimit(String),
}

impl RunError {
    fn outcome(&self) -> Outcome {
        let (kind, exit_code) = match self {
            Self::Runtime(error) => (
                error.kind(),
                Some(error.exit_code().into()).filter(|code| *code != 125),
            ),
            Self::Network(error) => (Classify::kind(error), None),
            Self::Cgroup(error) => (error.kind(), None),
            Self::Ulimit(_) => (ErrorKind::Invalid, None),
            _ => (ErrorKind::Internal, None),
        };
        Outcome::Failed {
            kind: kind.into(),
            message: self.to_string(),
            exit_code,
        }
    }
}

/// An error of a system call.
pub(super) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |error| RunError::Io(action, error)
}

/// The same for calls that give the number alone.
pub(super) fn errno(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> RunError {
    move |error| RunError::Io(action, error.into())
}

/// Runs the role; gives the exit code of the process.
pub fn run_role() -> i32 {
    let Ok(answer) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return 2;
    };
    let mut answer = UnixStream::from(answer);
    let outcome = match run(&answer) {
        Ok(code) => Outcome::Exited(code),
        Err(error) => error.outcome(),
    };
    let text = serde_json::to_vec(&outcome).unwrap_or_default();
    i32::from(answer.write_all(&text).is_err())
}

fn run(answer: &UnixStream) -> Result<i32, RunError> {
    let text = std::fs::read(DOCUMENT).map_err(io("read the specification"))?;
    let spec: RunSpec = serde_json::from_slice(&text).map_err(RunError::Spec)?;
    own_mounts()?;
    let mounts = attach::mounts(&spec)?;

    let network = Connected::new(&spec).map_err(RunError::Network)?;
    let result = launch(&spec, mounts, &network, answer);
    let released = network.release().map_err(RunError::Network);
    // The command's own failure is the better message.
    result.and_then(|code| released.map(|()| code))
}

/// Mounts made from here on are nobody else's.
fn own_mounts() -> Result<(), RunError> {
    crate::sys::namespace::unshare(rustix::thread::UnshareFlags::NEWNS)
        .map_err(io("make a mount namespace"))?;
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .map_err(errno("make mounts private"))
}

fn launch(
    spec: &RunSpec,
    mounts: Vec<Mount>,
    network: &Connected,
    answer: &UnixStream,
) -> Result<i32, RunError> {
    let described = oci::describe(spec, mounts, network)?;
    let root = RootMount::Overlay(Overlay {
        lower: spec.lower.clone(),
        upper: Some(spec.upper.clone()),
        work: Some(spec.work.clone()),
        volatile: true,
    });
    let cgroup = cgroup(spec)?;
    let seccomp = if spec.insecure {
        Seccomp::Unconfined
    } else {
        Seccomp::Default
    };
    let launched = runtime::prepare(Launch {
        id: &spec.id,
        spec: &described,
        root: &root,
        netns: network.netns().map_or(NetNs::Host, NetNs::Join),
        userns: None,
        cgroup: cgroup.as_ref(),
        stdio: stdio()?,
        seccomp,
        init: Init::Payload,
        user: spec.user.as_deref(),
        groups: &[],
        preserved: 0,
        lookup: Lookup::AtStart,
        state: None,
    })
    .and_then(runtime::Parked::release)
    .map_err(RunError::Runtime)
    .and_then(|started| wait(&started, answer));
    if let Some(cgroup) = cgroup {
        // Everything in it died with its first process.
        let _ = cgroup.remove();
    }
    launched
}

/// A cgroup of the step's own, when the build was given a parent for it.
fn cgroup(spec: &RunSpec) -> Result<Option<Cgroup>, RunError> {
    let Some(parent) = &spec.cgroup_parent else {
        return Ok(None);
    };
    let layout = Layout::detect().map_err(RunError::Cgroup)?;
    let path = format!("{}/build-{}", parent.trim_matches('/'), &spec.id[..12]);
    let (cgroup, _) =
        Cgroup::create(&layout, &path, &Default::default()).map_err(RunError::Cgroup)?;
    Ok(Some(cgroup))
}

/// No input; the output is that of this process.
fn stdio() -> Result<Stdio, RunError> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(io("copy a descriptor"));
    let null = std::fs::File::open("/dev/null").map_err(io("open /dev/null"))?;
    Ok(Stdio::Fds {
        stdin: null.into(),
        stdout: copy(std::io::stdout().as_fd())?,
        stderr: copy(std::io::stderr().as_fd())?,
    })
}

/// Waits for the command; kills it when the build is over.
fn wait(started: &runtime::Started, answer: &UnixStream) -> Result<i32, RunError> {
    loop {
        let mut fds = [
            PollFd::new(&started.pidfd, PollFlags::IN),
            PollFd::new(answer, PollFlags::IN | PollFlags::RDHUP),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(RunError::Io("wait for the command", error.into())),
        }
        if !fds[1].revents().is_empty() {
            // Its first process is PID 1 of its namespace: all others go with it.
            let _ =
                rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
            break;
        }
        if !fds[0].revents().is_empty() {
            break;
        }
    }
    started
        .wait()
        .map(|exit| i32::from(exit.code()))
        .map_err(RunError::Runtime)
}

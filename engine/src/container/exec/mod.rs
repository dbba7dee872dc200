//! A further process in a running container.
//!
//! The supervisor has no part in it: our executable is started again in the role `__exec`, with the
//! caller's own streams, enters the container and waits there. So an exec costs no copy of its output, and a
//! hundred of them do not slow the container's supervision.

mod assignment;
mod attend;
mod role;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::rootless;
use crate::state::Paths;
use crate::sys::wire;
use crate::sys::{Executable, RoleChild, spawn_role};

use super::events::{Action, Event};
use super::record::Record;
use super::store::ContainerStore;
use super::{ContainerError, Failure, terminal};

use assignment::assignment;

pub use attend::{Shield, attend};
pub use role::main;

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables over the container's; `None` removes one.
    pub env: Vec<(String, Option<String>)>,
    /// Instead of the container's user.
    pub user: Option<String>,
    /// Instead of the container's working directory.
    pub working_dir: Option<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// All capabilities, no system call filter.
    pub privileged: bool,
    /// Keys that leave its terminal, instead of ctrl-p ctrl-q.
    pub detach_keys: Option<String>,
}

/// The caller's ends of the standard streams; `None` is `/dev/null`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams<'a> {
    /// Input.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Output.
    pub stdout: Option<BorrowedFd<'a>>,
    /// Errors.
    pub stderr: Option<BorrowedFd<'a>>,
}

impl Streams<'static> {
    /// Those of this process, which stay open to its end.
    pub fn of_process() -> Self {
        Self {
            stdin: Some(rustix::stdio::stdin()),
            stdout: Some(rustix::stdio::stdout()),
            stderr: Some(rustix::stdio::stderr()),
        }
    }
}

impl Streams<'_> {
    /// Lines and columns of the first of them that is a terminal.
    pub fn size(&self) -> Option<(u16, u16)> {
        terminal::size(self)
    }
}

/// What the role says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Started,
    Failed(Failure),
}

/// What the role is told by whoever leaves a terminal and wants the process to live on. Without
/// this word the terminal ends with its user, and the process is hung up.
#[derive(Debug, Serialize, Deserialize)]
struct Left;

/// A process that runs in a container.
#[derive(Debug)]
pub struct ExecSession {
    child: RoleChild,
    /// The role's ear.
    line: OwnedFd,
    terminal: Option<OwnedFd>,
}

/// What tells those who listen of one further process.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Journal {
    event: Event,
    paths: Paths,
}

impl Journal {
    fn new(store: &ContainerStore, record: &Record) -> Self {
        // Without, two processes are told apart by time alone.
        let id = crate::sys::random::<32>().unwrap_or_default();
        let id = base16ct::lower::encode_string(&id);
        Self {
            event: Event::container(record, Action::Attach).with("execID", &id),
            paths: store.paths().clone(),
        }
    }

    fn tell(&self, action: Action) {
        let event = Event {
            time: jiff::Timestamp::now(),
            action,
            ..self.event.clone()
        };
        // The journal is a courtesy.
        let _ = event.append(&self.paths);
    }
}

impl ExecSession {
    /// The terminal's master side, where it has one.
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// The role, which lives as long as the process.
    pub(super) fn into_role(self) -> RoleChild {
        self.child
    }

    /// Becomes readable when the process has ended.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Waits for its end; its exit code, 128 plus the number for a signal.
    pub fn wait(&self) -> io::Result<u8> {
        Ok(crate::sys::process::wait(self.child.pidfd.as_fd())?.code())
    }
}

/// Whether to stay until the process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// Stay, and learn its exit code.
    Stay,
    /// Leave as soon as it runs. Its role stays, for its terminal and the news of its end.
    Leave,
}

/// Runs it.
pub fn start(
    store: &ContainerStore,
    record: &Record,
    executable: &Executable,
    spec: &ExecSpec,
    streams: Streams<'_>,
    attendance: Attendance,
) -> Result<ExecSession, ContainerError> {
    let failed = failed(record);
    if let Some(keys) = &spec.detach_keys {
        terminal::DetachKeys::parse(keys)?;
    }
    let size = streams.size().filter(|_| spec.tty);
    // A process with a terminal of its own has no use for the caller's.
    let streams = if spec.tty {
        Streams::default()
    } else {
        streams
    };
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| failed(error.into()))?;
    let journal = Journal::new(store, record);
    journal.tell(Action::ExecCreate {
        command: spec.argv.join(" "),
    });
    let child = spawn(
        store,
        record,
        executable,
        spec,
        Place {
            streams,
            words: Some(theirs.as_fd()),
            timeout: None,
            journal: Some(&journal),
            attendance,
            size,
        },
    )?;
    drop(theirs);
    match wire::receive::<Word>(ours.as_fd()).map_err(&failed)? {
        Some((Word::Started, terminal)) => Ok(ExecSession {
            child,
            line: ours,
            terminal,
        }),
        Some((Word::Failed(failure), _)) => {
            let _ = crate::sys::process::wait(child.pidfd.as_fd());
            Err(failure.into())
        }
        None => {
            let _ = crate::sys::process::wait(child.pidfd.as_fd());
            Err(ContainerError::Lost(record.name.to_string()))
        }
    }
}

/// Runs a health probe, whose output goes to `output` and whose exit code is the role's.
pub fn spawn_probe(
    store: &ContainerStore,
    record: &Record,
    executable: &Executable,
    spec: &ExecSpec,
    timeout: Duration,
    output: BorrowedFd<'_>,
) -> Result<RoleChild, ContainerError> {
    spawn(
        store,
        record,
        executable,
        spec,
        Place {
            streams: Streams {
                stdin: None,
                stdout: Some(output),
                stderr: Some(output),
            },
            words: None,
            timeout: Some(timeout),
            journal: None,
            attendance: Attendance::Stay,
            size: None,
        },
    )
}

struct Place<'a> {
    streams: Streams<'a>,
    words: Option<BorrowedFd<'a>>,
    timeout: Option<Duration>,
    /// Where its end is told; a probe's is not.
    journal: Option<&'a Journal>,
    attendance: Attendance,
    /// Lines and columns of its terminal at the beginning.
    size: Option<(u16, u16)>,
}

fn failed(record: &Record) -> impl Fn(io::Error) -> ContainerError + use<> {
    let name = record.name.to_string();
    move |source| ContainerError::Host {
        action: "run a command in",
        path: name.clone(),
        source,
    }
}

fn spawn(
    store: &ContainerStore,
    record: &Record,
    executable: &Executable,
    spec: &ExecSpec,
    place: Place<'_>,
) -> Result<RoleChild, ContainerError> {
    let failed = failed(record);
    let assignment = assignment(store, record, spec, &place)?;
    let mut file = File::from(
        rustix::fs::memfd_create("exec", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?,
    );
    let text = serde_json::to_vec(&assignment).map_err(|error| failed(error.into()))?;
    file.write_all(&text).map_err(&failed)?;
    file.rewind().map_err(&failed)?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(&failed)?;
    let fds = [
        place.streams.stdin.unwrap_or(null.as_fd()),
        place.streams.stdout.unwrap_or(null.as_fd()),
        place.streams.stderr.unwrap_or(null.as_fd()),
        file.as_fd(),
        place.words.unwrap_or(null.as_fd()),
    ];
    rootless::join_scope();
    spawn_role(
        executable,
        &[OsStr::new("gantry"), OsStr::new(crate::role::EXEC)],
        &fds,
    )
    .map_err(&failed)
}

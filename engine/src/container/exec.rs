//! A further process in a running container.
//!
//! The supervisor has no part in it: our executable is started again in the role `__exec`, with the
//! caller's own streams, enters the container and waits there. So an exec costs no copy of its output, and a
//! hundred of them do not slow the container's supervision.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use oci_spec::runtime::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Cgroup, Layout};
use crate::role;
use crate::rootless;
use crate::runtime::foreign::{Foreign, ForeignExec};
use crate::runtime::seccomp::{Profile, Seccomp};
use crate::runtime::{Exec, ExecTarget, RuntimeError, Stdio};
use crate::spec::{SeccompSpec, SecuritySpec};
use crate::state::Paths;
use crate::sys::wire;
use crate::sys::{Executable, RoleChild, spawn_role};

use super::events::{Action, Event};
use super::ids::IdRange;
use super::record::{ProcessRef, Record};
use super::store::ContainerStore;
use super::{ContainerError, Failure, oci};

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

/// What the role is given.
#[derive(Serialize, Deserialize)]
struct Assignment {
    init: ProcessRef,
    ids: Option<IdRange>,
    cgroup: String,
    process: Process,
    user: String,
    groups: Vec<String>,
    seccomp: SeccompSpec,
    timeout: Option<Duration>,
    detach: bool,
    id: String,
    foreign: Option<Foreign>,
}

/// What the role says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Started { pid: i32 },
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
    /// Its pid in our namespace.
    pub pid: i32,
    journal: Journal,
}

/// What tells those who listen of one further process.
#[derive(Debug)]
struct Journal {
    event: Event,
    paths: Paths,
}

impl Journal {
    fn new(store: &ContainerStore, record: &Record) -> Self {
        let mut id = [0; 32];
        // Without, two processes are told apart by time alone.
        let _ = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
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

    /// Becomes readable when the process has ended.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Waits for its end; its exit code, 128 plus the number for a signal.
    pub fn wait(&self) -> io::Result<u8> {
        let exit_code = crate::sys::process::wait(self.child.pidfd.as_fd())?.code();
        self.journal.tell(Action::ExecDie { exit_code });
        Ok(exit_code)
    }
}

/// Whether to stay until the process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// Stay, and learn its exit code.
    Stay,
    /// Leave as soon as it runs.
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
        super::terminal::DetachKeys::parse(keys)?;
    }
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
    let command = spec.argv.join(" ");
    journal.tell(Action::ExecCreate {
        command: command.clone(),
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
            attendance,
        },
    )?;
    drop(theirs);
    match wire::receive::<Word>(ours.as_fd()).map_err(&failed)? {
        Some((Word::Started { pid }, terminal)) => {
            journal.tell(Action::ExecStart { command });
            if attendance == Attendance::Leave {
                // It ends at once and is to be reaped by somebody: by us.
                let _ = crate::sys::process::wait(child.pidfd.as_fd());
            }
            Ok(ExecSession {
                child,
                line: ours,
                terminal,
                pid,
                journal,
            })
        }
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
            attendance: Attendance::Stay,
        },
    )
}

struct Place<'a> {
    streams: Streams<'a>,
    words: Option<BorrowedFd<'a>>,
    timeout: Option<Duration>,
    attendance: Attendance,
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
        &[OsStr::new("gantry"), OsStr::new(role::EXEC)],
        &fds,
    )
    .map_err(&failed)
}

fn assignment(
    store: &ContainerStore,
    record: &Record,
    spec: &ExecSpec,
    place: &Place<'_>,
) -> Result<Assignment, ContainerError> {
    if spec.argv.first().is_none_or(String::is_empty) {
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
        super::record::Phase::Running => {}
        super::record::Phase::Paused => return Err(refused("it is paused; unpause it first")),
        super::record::Phase::Restarting => {
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
        id: record.id.to_string(),
        foreign: oci::foreign(record, &store.files(&record.id)),
    })
}

/// Keeps the caller's terminal out of the container: a process there with a descriptor of it could
/// read what is typed and write what it likes for as long as it lives. Whatever is a terminal is
/// replaced by a pipe that we copy; files, pipes and sockets go in as they are.
#[derive(Debug, Default)]
pub struct Shield {
    stdin: Option<(OwnedFd, OwnedFd)>,
    stdout: Option<(OwnedFd, OwnedFd)>,
    stderr: Option<(OwnedFd, OwnedFd)>,
}

impl Shield {
    /// For these streams. A process with a terminal of its own needs none.
    pub fn new(streams: Streams<'_>, tty: bool) -> io::Result<Self> {
        let pipe = |fd: Option<BorrowedFd<'_>>| -> io::Result<Option<(OwnedFd, OwnedFd)>> {
            match fd {
                Some(fd) if !tty && rustix::termios::isatty(fd) => Ok(Some(
                    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?,
                )),
                _ => Ok(None),
            }
        };
        Ok(Self {
            stdin: pipe(streams.stdin)?,
            stdout: pipe(streams.stdout)?,
            stderr: pipe(streams.stderr)?,
        })
    }

    /// What the process gets.
    pub fn inner<'a>(&'a self, streams: &Streams<'a>) -> Streams<'a> {
        let choose = |pipe: &'a Option<(OwnedFd, OwnedFd)>, ours, input: bool| match pipe {
            Some((reader, writer)) => Some(if input {
                reader.as_fd()
            } else {
                writer.as_fd()
            }),
            None => ours,
        };
        Streams {
            stdin: choose(&self.stdin, streams.stdin, true),
            stdout: choose(&self.stdout, streams.stdout, false),
            stderr: choose(&self.stderr, streams.stderr, false),
        }
    }
}

/// Stays with a process until its end, copying what the shield keeps apart; its exit code, or 0
/// when the user leaves it.
pub fn attend(
    session: &ExecSession,
    streams: Streams<'_>,
    shield: Shield,
    keys: Option<&str>,
    name: &str,
) -> Result<u8, ContainerError> {
    let keys = keys.map_or_else(
        || Ok(super::terminal::DetachKeys::default()),
        super::terminal::DetachKeys::parse,
    )?;
    let attended = if let Some(terminal) = session.terminal() {
        match super::terminal::converse(terminal, session.ended(), streams, Some(keys)) {
            Ok(super::terminal::SessionEnd::Ended) => session.wait(),
            Ok(super::terminal::SessionEnd::Detached) => {
                wire::send(session.line.as_fd(), &Left, None).map(|()| 0)
            }
            Err(error) => Err(error),
        }
    } else {
        relay(session, streams, shield)
    };
    attended.map_err(|source| ContainerError::Host {
        action: "attend a command in",
        path: name.to_owned(),
        source,
    })
}

fn relay(session: &ExecSession, streams: Streams<'_>, shield: Shield) -> io::Result<u8> {
    // The ends that the process has must not be held open by us.
    let mut input = shield.stdin.map(|(_, writer)| writer);
    let mut outputs: Vec<(OwnedFd, Option<BorrowedFd<'_>>)> = [
        shield.stdout.map(|(reader, _)| (reader, streams.stdout)),
        shield.stderr.map(|(reader, _)| (reader, streams.stderr)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut bytes = vec![0u8; 16 << 10];
    while input.is_some() || !outputs.is_empty() {
        let mut fds = vec![PollFd::from_borrowed_fd(session.ended(), PollFlags::IN)];
        fds.extend(outputs.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::IN)));
        if let (Some(_), Some(stdin)) = (&input, streams.stdin) {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if input.is_some() && ready.len() > outputs.len() + 1 && ready.last() == Some(&true) {
            let read = streams
                .stdin
                .map_or(Ok(0), |stdin| rustix::io::read(stdin, bytes.as_mut_slice()));
            let sent = match (read, &input) {
                (Ok(count), Some(input)) if count > 0 => {
                    super::terminal::write_all(input.as_fd(), &bytes[..count]).is_ok()
                }
                _ => false,
            };
            if !sent {
                input = None;
            }
        }
        let mut silent = Vec::new();
        for (index, (from, to)) in outputs.iter().enumerate() {
            if !ready[index + 1] {
                continue;
            }
            match rustix::io::read(from, bytes.as_mut_slice()) {
                Ok(0) | Err(_) => silent.push(index),
                Ok(count) => {
                    if let Some(to) = to {
                        super::terminal::write_all(*to, &bytes[..count])?;
                    }
                }
            }
        }
        for index in silent.into_iter().rev() {
            outputs.remove(index);
        }
        // Nobody reads input any more; output may still be held open by a child of the process.
        if ready[0] && !ready[1..].contains(&true) {
            break;
        }
        if ready[0] {
            input = None;
        }
    }
    session.wait()
}

/// The role's main: descriptors 0 to 2 are the process's, 3 is the assignment, 4 takes our words.
pub fn main() -> i32 {
    let (Some(assignment), Some(words)) = (
        crate::sys::spawn::inherited(3),
        crate::sys::spawn::inherited(4),
    ) else {
        return 125;
    };
    // The process takes 2 with it; a probe that cannot begin is still to say why.
    let complaints = io::stderr().as_fd().try_clone_to_owned();
    match serve(assignment, &words) {
        Ok(code) => i32::from(code),
        Err(error) => {
            let failure = Failure::from(&error);
            if wire::send(words.as_fd(), &Word::Failed(failure.clone()), None).is_err() {
                // A probe: what went wrong is its output. Nothing can be done when that fails.
                let text = format!("{}\n", failure.line());
                let _ = complaints.map(|out| File::from(out).write_all(text.as_bytes()));
            }
            i32::from(failure.exit_code)
        }
    }
}

fn serve(assignment: OwnedFd, words: &OwnedFd) -> Result<u8, ContainerError> {
    let host = |action: &'static str| {
        move |source: io::Error| ContainerError::Host {
            action,
            path: "the container".to_owned(),
            source,
        }
    };
    let assignment: Assignment = serde_json::from_reader(File::from(assignment))
        .map_err(|error| host("understand what to run in")(error.into()))?;
    let gone = || ContainerError::State {
        action: "run a command in",
        name: "it".to_owned(),
        reason: "it has just ended".to_owned(),
    };
    let init = assignment.init.open().ok_or_else(gone)?;
    let layout = Layout::detect().map_err(RuntimeError::from)?;
    let cgroup = Cgroup::open(&layout, &assignment.cgroup).map_err(RuntimeError::from)?;
    let tty = assignment.process.terminal().unwrap_or(false);
    let stdio = if tty {
        Stdio::Terminal { size: None }
    } else {
        let take = |number| {
            crate::sys::spawn::inherited(number)
                .ok_or_else(|| host("find the streams for")(io::ErrorKind::NotFound.into()))
        };
        Stdio::Fds {
            stdin: take(0)?,
            stdout: take(1)?,
            stderr: take(2)?,
        }
    };
    let profile = match &assignment.seccomp {
        SeccompSpec::File(path) => Some(Profile::read(path).map_err(RuntimeError::from)?),
        SeccompSpec::Default | SeccompSpec::Unconfined => None,
    };
    let user = Some(assignment.user.as_str()).filter(|user| !user.is_empty());
    let mut started = match &assignment.foreign {
        Some(foreign) => foreign.exec(ForeignExec {
            id: &assignment.id,
            init: assignment.init.pid,
            process: &assignment.process,
            stdio,
            user,
            groups: &assignment.groups,
        })?,
        None => crate::runtime::exec(Exec {
            target: ExecTarget {
                init: init.as_fd(),
                userns: assignment.ids.map(IdRange::root),
                cgroup: Some(&cgroup),
            },
            process: &assignment.process,
            stdio,
            seccomp: match (&profile, &assignment.seccomp) {
                (Some(profile), _) => Seccomp::Profile(profile),
                (None, SeccompSpec::Unconfined) => Seccomp::Unconfined,
                (None, _) => Seccomp::Default,
            },
            user,
            groups: &assignment.groups,
            preserved: 0,
        })?,
    };
    // A probe has nobody who listens; that its words go nowhere is no failure.
    let _ = wire::send(
        words.as_fd(),
        &Word::Started {
            pid: started.pid.as_raw_pid(),
        },
        started.terminal.as_ref().map(AsFd::as_fd),
    );
    if assignment.detach {
        return Ok(0);
    }
    if let Some(timeout) = assignment.timeout
        && !ends_within(started.pidfd.as_fd(), timeout).map_err(host("wait in"))?
    {
        // It leads a session and so a group, in which the programs are that it started.
        let _ = rustix::process::kill_process_group(started.pid, rustix::process::Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&started.pidfd, rustix::process::Signal::KILL);
        started.wait()?;
        return Ok(crate::supervisor::role::PROBE_TIMED_OUT);
    }
    if let Some(terminal) = started.terminal.take() {
        keep(terminal, words.as_fd(), started.pidfd.as_fd()).map_err(host("keep a terminal in"))?;
    }
    Ok(started.wait()?.code())
}

/// Holds a terminal for a user who has it too, until the process ends or the user does. Who left
/// it with [`Left`] has it read on his behalf, or the process would stop when it is full.
fn keep(terminal: OwnedFd, user: BorrowedFd<'_>, process: BorrowedFd<'_>) -> io::Result<()> {
    let mut left = false;
    let mut bytes = [0u8; 4096];
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(process, PollFlags::IN),
            PollFd::from_borrowed_fd(if left { terminal.as_fd() } else { user }, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        if left {
            match rustix::io::read(&terminal, &mut bytes) {
                Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                // Nobody has its other side any more.
                Err(_) => return Ok(()),
            }
        } else if wire::receive::<Left>(user)?.is_some() {
            left = true;
        } else {
            return Ok(());
        }
    }
}

fn ends_within(pidfd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

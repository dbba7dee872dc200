//! Hooks of the specification: programs that are run at certain points of a container's life.
//!
//! A hook gets the container's state on its standard input, its own environment and nothing else of ours; one that
//! ends with a failure, or not in time, is an error that quotes what it said.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{Hook, Hooks, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::sys::process::{
    CloseRange, Exit, Fork, Forked, NoReturn, close_from, exit_now, wait as reap,
};
use crate::sys::program::{Program, Vector};
use crate::sys::seccomp::Instruction;
use crate::sys::signal;

use super::process::load;
use super::terminal;

/// How much of a hook's output an error quotes.
const QUOTED: u64 = 1024;

/// A point of a container's life at which hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookPoint {
    /// The namespaces are there; in the runtime's own.
    Prestart,
    /// As [`HookPoint::Prestart`], under its newer name.
    CreateRuntime,
    /// Everything is mounted; in the container's namespaces, before its root is.
    CreateContainer,
    /// Before the program, inside.
    StartContainer,
    /// The program runs.
    Poststart,
    /// All is undone.
    Poststop,
}

impl HookPoint {
    /// Every point, in order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The hooks of this point.
    pub fn of(self, hooks: Option<&Hooks>) -> &[Hook] {
        let list = hooks.and_then(|hooks| match self {
            Self::Prestart => hooks.prestart().as_ref(),
            Self::CreateRuntime => hooks.create_runtime().as_ref(),
            Self::CreateContainer => hooks.create_container().as_ref(),
            Self::StartContainer => hooks.start_container().as_ref(),
            Self::Poststart => hooks.poststart().as_ref(),
            Self::Poststop => hooks.poststop().as_ref(),
        });
        list.map_or(&[], Vec::as_slice)
    }
}

/// A hook failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the {} hook `{path}` {reason}", point.name())]
pub struct HookError {
    /// When it was run.
    pub point: HookPoint,
    /// Its program.
    pub path: String,
    /// What happened.
    pub reason: String,
}

/// Runs the hooks of a point in their order, up to the first that fails.
pub fn run_all(point: HookPoint, hooks: Option<&Hooks>, state: &State) -> Result<(), HookError> {
    run_filtered(point, hooks, state, &[])
}

/// As [`run_all`], under a system call filter: for programs of the container's own files.
pub(super) fn run_filtered(
    point: HookPoint,
    hooks: Option<&Hooks>,
    state: &State,
    filter: &[Instruction],
) -> Result<(), HookError> {
    point
        .of(hooks)
        .iter()
        .try_for_each(|hook| run(point, hook, state, filter))
}

/// Runs one hook and waits for its end.
pub fn run(
    point: HookPoint,
    hook: &Hook,
    state: &State,
    filter: &[Instruction],
) -> Result<(), HookError> {
    let failed = |reason: String| HookError {
        point,
        path: hook.path().display().to_string(),
        reason,
    };
    let unable = |error: io::Error| failed(format!("cannot be run: {error}"));
    let text = serde_json::to_vec(state).map_err(|error| unable(error.into()))?;
    let input = memory(&text).map_err(unable)?;
    let mut output = memory(b"").map_err(unable)?;
    let (pid, pidfd) = match Fork::default().run().map_err(unable)? {
        Forked::Child => {
            let _never_back = NoReturn;
            become_hook(hook, &input, &output, filter)
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    let exit = await_end(pid, &pidfd, hook.timeout()).map_err(unable)?;
    match exit {
        Some(Exit::Code(0)) => Ok(()),
        Some(exit) => Err(failed(format!(
            "failed ({exit}){}",
            quote(&mut output).map_err(unable)?
        ))),
        None => Err(failed(format!(
            "did not end within {} s",
            hook.timeout().unwrap_or_default()
        ))),
    }
}

/// A file in memory, to be read from its beginning: no pipe that somebody would have to serve.
fn memory(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(
        c"gantry-hook",
        MemfdFlags::CLOEXEC,
    )?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}

/// In the hook's process: becomes the program, or says why not and ends.
fn become_hook(hook: &Hook, input: &File, output: &File, filter: &[Instruction]) -> ! {
    let Err(error) = try_become_hook(hook, input, output, filter);
    let _ = writeln!(&*output, "{error}");
    exit_now(127)
}

fn try_become_hook(
    hook: &Hook,
    input: &File,
    output: &File,
    filter: &[Instruction],
) -> io::Result<std::convert::Infallible> {
    let path = CString::new(hook.path().as_os_str().as_encoded_bytes())?;
    let name = hook.path().display().to_string();
    let arguments = match hook.args() {
        Some(arguments) => Vector::new(arguments.iter().map(String::as_str))?,
        None => Vector::new([name.as_str()])?,
    };
    let environment = Vector::new(hook.env().iter().flatten().map(String::as_str))?;
    let program = Program::new(&path, &arguments, &environment);
    signal::reset_all();
    signal::unblock_all()?;
    // So that a hook that takes too long goes with all that it has started.
    let _ = rustix::process::setsid();
    let busy = |_| io::Error::from_raw_os_error(libc::EBADF);
    terminal::connect([input.as_fd(), output.as_fd(), output.as_fd()]).map_err(busy)?;
    close_from(3, CloseRange::OnExec)?;
    load(filter).map_err(|_| io::Error::other("the system call filter cannot be loaded"))?;
    Err(program.execute())
}

/// Its end; `None` when it took longer than its seconds, and was killed.
fn await_end(pid: Pid, pidfd: &OwnedFd, seconds: Option<i64>) -> io::Result<Option<Exit>> {
    let limit = seconds.map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 });
    if ends_within(pidfd.as_fd(), limit)? {
        return reap(pidfd.as_fd()).map(Some);
    }
    let _ = kill_process_group(pid, Signal::KILL);
    // It may not have come so far as to lead a group.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    reap(pidfd.as_fd())?;
    Ok(None)
}

fn ends_within(pidfd: BorrowedFd<'_>, limit: Option<Timespec>) -> io::Result<bool> {
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], limit.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The end of what it said.
fn quote(output: &mut File) -> io::Result<String> {
    let length = output.metadata()?.len();
    output.seek(io::SeekFrom::Start(length.saturating_sub(QUOTED)))?;
    let mut text = Vec::new();
    output.take(QUOTED).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(match text.trim() {
        "" => String::new(),
        said => format!(": {said}"),
    })
}

//! One call of the program.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Standard};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, SocketType, accept_with};

use crate::runtime::RuntimeError;
use crate::runtime::error::parent;
use crate::runtime::launch::Stdio;
use crate::sys::wire;

use super::Foreign;

/// How long a terminal may take to arrive once the call has succeeded.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// An operation with its arguments.
pub(super) struct Call<'a> {
    foreign: &'a Foreign,
    operation: &'static str,
    command: Command,
    log: PathBuf,
}

/// Where a terminal arrives.
pub(super) struct Console {
    listener: OwnedFd,
    path: PathBuf,
    /// Part of the address that the program was told.
    _directory: File,
}

impl<'a> Call<'a> {
    pub(super) fn new(foreign: &'a Foreign, operation: &'static str) -> Result<Self, RuntimeError> {
        let log = foreign.dir.join(format!("log-{}", std::process::id()));
        let state = foreign.dir.join("state");
        std::fs::create_dir_all(&state)
            .map_err(|error| parent(format!("make `{}`", state.display()), error))?;
        let mut command = Command::new(&foreign.program);
        command.arg("--root").arg(state);
        command.arg("--log").arg(&log);
        command.args(["--log-format", "json", operation]);
        Ok(Self {
            foreign,
            operation,
            command,
            log,
        })
    }

    pub(super) fn flag(&mut self, flag: &str) -> &mut Self {
        self.command.arg(flag);
        self
    }

    pub(super) fn path(&mut self, flag: &str, path: &Path) -> &mut Self {
        self.command.arg(flag).arg(path);
        self
    }

    pub(super) fn argument(&mut self, argument: &str) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// Asks for the terminal.
    pub(super) fn console(&mut self) -> Result<Console, RuntimeError> {
        let name = format!("console-{}", std::process::id());
        let listener = wire::listen(&self.foreign.dir, &name, SocketType::STREAM)
            .map_err(|error| parent("listen for a terminal", error))?;
        let path = self.foreign.dir.join(&name);
        let directory = File::open(&self.foreign.dir)
            .map_err(|error| parent("listen for a terminal", error))?;
        // The address of a socket holds 107 bytes only.
        let short = format!(
            "/proc/{}/fd/{}/{name}",
            std::process::id(),
            directory.as_raw_fd()
        );
        self.path("--console-socket", Path::new(&short));
        Ok(Console {
            listener,
            path,
            _directory: directory,
        })
    }

    /// Runs it to its end. With streams of the container's, what the program itself says is in its log only.
    pub(super) fn run(mut self, stdio: Stdio) -> Result<(), RuntimeError> {
        let mut said = None;
        match stdio {
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            } => {
                self.command.stdin(stdin).stdout(stdout).stderr(stderr);
            }
            Stdio::Null | Stdio::Terminal { .. } => {
                let file = rustix::fs::memfd_create(c"said", rustix::fs::MemfdFlags::CLOEXEC)
                    .map_err(|error| parent("make a file in memory", error))?;
                let copy = file
                    .try_clone()
                    .map_err(|error| parent("make a file in memory", error))?;
                said = Some(File::from(file));
                self.command
                    .stdin(Standard::null())
                    .stdout(Standard::null())
                    .stderr(copy);
            }
        }
        let program = self.foreign.program.display().to_string();
        let status = self
            .command
            .status()
            .map_err(|error| parent(format!("run `{program}`"), error))?;
        let message = self.message(said);
        let _ = std::fs::remove_file(&self.log);
        if status.success() {
            return Ok(());
        }
        Err(RuntimeError::Foreign {
            program,
            operation: self.operation,
            message: message.unwrap_or_else(|| status.to_string()),
        })
    }

    /// Its last error: of the log, else of its standard error.
    fn message(&self, said: Option<File>) -> Option<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let logged = log.lines().rev().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["level"] == "error").then(|| line["msg"].as_str().map(str::to_owned))?
        });
        logged.or_else(|| {
            use std::io::{Read as _, Seek as _};
            let mut file = said?;
            file.rewind().ok()?;
            let mut text = String::new();
            file.take(4096).read_to_string(&mut text).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        })
    }
}

impl Console {
    /// The terminal's master, which was sent before the call ended.
    pub(super) fn receive(&self) -> Result<OwnedFd, RuntimeError> {
        let failed = |error: io::Error| parent("take the terminal over", error);
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
        if poll(&mut fds, Some(&PATIENCE)).map_err(|error| failed(error.into()))? == 0 {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        let connection = accept_with(&self.listener, SocketFlags::CLOEXEC)
            .map_err(|error| failed(error.into()))?;
        wire::receive_fd(connection.as_fd())
            .map_err(failed)?
            .ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

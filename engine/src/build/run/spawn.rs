//! The process that does a `RUN`: starting it, passing its output on, and its answer.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::MemfdFlags;

use super::document::{Outcome, RunSpec};
use super::execute::Runner;
use crate::build::error::BuildError;
use crate::build::progress::{BuildProgress, LogStream, StepId};
use crate::rootless;
use crate::sys::{self, Executable};

/// Lines of output kept for the error.
const KEPT_LINES: usize = 20;
/// A longer line of output is told in pieces.
const LINE_LIMIT: u64 = 16 * 1024;

/// The process, and our ends of what it was given.
struct Process {
    child: sys::RoleChild,
    answer: UnixStream,
    outputs: [(OwnedFd, LogStream); 2],
}

impl Process {
    /// Starts the role.
    fn start(spec: &RunSpec) -> io::Result<Self> {
        let mut document = File::from(rustix::fs::memfd_create("build-run", MemfdFlags::CLOEXEC)?);
        document.write_all(&serde_json::to_vec(spec)?)?;
        document.rewind()?;
        let (answer, theirs) = UnixStream::pair()?;
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        rootless::join_scope();
        let child = sys::spawn_role(
            &Executable::current()?,
            &[OsStr::new("gantry"), OsStr::new(crate::role::BUILD_RUN)],
            &[
                theirs.as_fd(),
                out_write.as_fd(),
                err_write.as_fd(),
                document.as_fd(),
            ],
        )?;
        Ok(Self {
            child,
            answer,
            outputs: [(out_read, LogStream::Stdout), (err_read, LogStream::Stderr)],
        })
    }
}

impl Runner<'_, '_, '_> {
    /// Starts the role, passes its output on, and waits for its answer; gives the last lines of output too.
    pub(super) fn spawn(
        &self,
        step: StepId,
        spec: &RunSpec,
    ) -> Result<(Outcome, Vec<String>), BuildError> {
        let failed = self.internal("start the step's process");
        let Process {
            child,
            answer,
            outputs,
        } = Process::start(spec).map_err(failed)?;
        let kept = Mutex::new(VecDeque::new());
        let text = std::thread::scope(|scope| {
            for (fd, stream) in outputs {
                let kept = &kept;
                scope.spawn(move || {
                    pass_on(fd, &mut |line| {
                        keep(kept, line.clone());
                        let log = BuildProgress::Log { step, stream, line };
                        self.stage.solver.tell(log);
                    });
                });
            }
            self.await_answer(answer)
        });
        let exit = sys::process::wait(child.pidfd.as_fd());
        let output = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        match serde_json::from_slice(&text) {
            Ok(outcome) => Ok((outcome, output.into())),
            Err(_) => {
                let message = format!("the step's process ended without an answer ({exit:?})");
                Err(self.error(crate::error::ErrorKind::Internal, message, None))
            }
        }
    }

    /// Reads the answer to its end; a build that is over asks for it.
    fn await_answer(&self, mut answer: UnixStream) -> Vec<u8> {
        // Short waits, so that a build that is over does not sit out its commands.
        let _ = answer.set_read_timeout(Some(Duration::from_millis(50)));
        let mut text = Vec::new();
        let mut buffer = [0u8; 4096];
        loop {
            match answer.read(&mut buffer) {
                Ok(0) => return text,
                Ok(count) => text.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        if self.stage.solver.is_stopped() {
                            // The role sees this and kills the command.
                            let _ = answer.shutdown(std::net::Shutdown::Write);
                        }
                    }
                    ErrorKind::Interrupted => {}
                    _ => return text,
                },
            }
        }
    }
}

fn keep(lines: &Mutex<VecDeque<String>>, line: String) {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == KEPT_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Splits output into lines.
fn pass_on(fd: OwnedFd, tell: &mut dyn FnMut(String)) {
    let mut reader = BufReader::new(File::from(fd));
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => tell(
                String::from_utf8_lossy(&line)
                    .trim_end_matches(['\n', '\r'])
                    .to_owned(),
            ),
        }
    }
}

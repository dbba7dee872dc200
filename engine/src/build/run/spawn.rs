//! The process that does a `RUN`: starting it, passing its output on, and its answer.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use super::error::BuildError;
use super::progress::{BuildProgress, LogStream, StepId};
use super::run_role::{Outcome, RunSpec};
use crate::error::ErrorKind;

use super::run_step::Runner;

/// Lines of output kept for the error.
const KEPT_LINES: usize = 20;
/// A longer line of output is told in pieces.
const LINE_LIMIT: u64 = 16 * 1024;

impl Runner<'_, '_, '_> {
    /// Starts the role, passes its output on, and waits for its answer.
    pub(super) fn spawn(
        &self,
        step: StepId,
        spec: &RunSpec,
    ) -> Result<(Outcome, Vec<String>), BuildError> {
        let solver = self.stage.solver;
        let failed = self.internal("start the step's process");
        let document = serde_json::to_vec(spec).map_err(|error| failed(error.into()))?;
        let memory = rustix::fs::memfd_create("build-run", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|e| failed(e.into()))?;
        let mut memory = std::fs::File::from(memory);
        memory
            .write_all(&document)
            .and_then(|()| std::io::Seek::rewind(&mut memory))
            .map_err(&failed)?;
        let (mut answer, theirs) = UnixStream::pair().map_err(&failed)?;
        let (out_read, out_write) = pipe().map_err(&failed)?;
        let (err_read, err_write) = pipe().map_err(&failed)?;
        let executable = crate::sys::Executable::current().map_err(&failed)?;
        let child = crate::sys::spawn_role(
            &executable,
            &[OsStr::new("gantry"), OsStr::new(crate::role::BUILD_RUN)],
            &[
                theirs.as_fd(),
                out_write.as_fd(),
                err_write.as_fd(),
                memory.as_fd(),
            ],
        )
        .map_err(&failed)?;
        drop((out_write, err_write, theirs, memory));

        let kept = Mutex::new(VecDeque::new());
        let mut text = Vec::new();
        std::thread::scope(|scope| {
            for (fd, stream) in [(out_read, LogStream::Stdout), (err_read, LogStream::Stderr)] {
                let kept = &kept;
                scope.spawn(move || {
                    pass_on(fd, &mut |line| {
                        let mut kept = kept
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner);
                        if kept.len() == KEPT_LINES {
                            kept.pop_front();
                        }
                        kept.push_back(line.clone());
                        drop(kept);
                        solver.tell(BuildProgress::Log { step, stream, line });
                    });
                });
            }
            // Short waits, so that a build that is over does not sit out its commands.
            let _ = answer.set_read_timeout(Some(std::time::Duration::from_millis(50)));
            let mut buffer = [0u8; 4096];
            loop {
                match answer.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => text.extend_from_slice(&buffer[..count]),
                    Err(error)
                        if matches!(
                            error.kind(),
                            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                        ) =>
                    {
                        if solver.is_stopped() {
                            // The role sees this and kills the command.
                            let _ = answer.shutdown(std::net::Shutdown::Write);
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        let exit = crate::sys::process::wait(child.pidfd.as_fd());
        let output = kept
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .into();
        match serde_json::from_slice(&text) {
            Ok(outcome) => Ok((outcome, output)),
            Err(_) => {
                let message = format!("the step's process ended without an answer ({exit:?})");
                Err(self.error(ErrorKind::Internal, message, None))
            }
        }
    }
}

fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// Splits output into lines.
fn pass_on(fd: OwnedFd, tell: &mut dyn FnMut(String)) {
    let mut reader = BufReader::new(std::fs::File::from(fd));
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

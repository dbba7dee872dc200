//! Our small init: PID 1 of a container that asked for one.
//!
//! It is forked in place, never executed, so no file of ours is ever visible in the container. It forwards every
//! signal to the program, reaps whatever is orphaned in the container, and ends with the program's own code.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, WaitOptions};

use crate::sys::process::{CloseRange, Exit, Fork, Forked, close_from, exit_now, set_title};
use crate::sys::signal;

use super::Stage;
use super::report::Failure;

/// Which of the two processes returns.
pub(super) enum Role {
    /// The one that will be the program.
    Program,
    /// The one that looks after it.
    Init(Children),
}

/// The program's process, seen from init.
pub(super) struct Children {
    program: Pid,
    _pidfd: OwnedFd,
}

/// Forks the program's process off.
pub(super) fn split() -> Result<Role, Failure> {
    let failed = |error: std::io::Error| Failure::new(Stage::Init, "fork", error);
    // Signals wait until somebody takes them: one that arrives now is for the program.
    signal::reset_all();
    signal::block_all().map_err(failed)?;
    match Fork::default().run().map_err(failed)? {
        Forked::Parent { pid, pidfd } => Ok(Role::Init(Children {
            program: pid,
            _pidfd: pidfd,
        })),
        Forked::Child => {
            // A group of its own, in front of the terminal if there is one: Ctrl-C is for the program.
            let _ = rustix::process::setpgid(None, None);
            let stdin = rustix::stdio::stdin();
            if rustix::termios::isatty(stdin) {
                let _ = rustix::termios::tcsetpgrp(stdin.as_fd(), rustix::process::getpid());
            }
            Ok(Role::Program)
        }
    }
}

impl Children {
    /// Forwards and reaps until the program ends; then ends the container with its code.
    pub(super) fn look_after(self) -> ! {
        let program = self.program;
        // The line to the parent and everything else closes: the program alone reports.
        std::mem::forget(self);
        let _ = close_from(3, CloseRange::Now);
        let _ = rustix::process::chdir("/");
        // What `ps` shows inside: not the command line of the process we were forked from.
        let _ = rustix::thread::set_name(c"gantry-init");
        let _ = set_title("gantry-init");
        loop {
            let Ok(signal) = signal::wait_any() else {
                exit_now(125)
            };
            match signal {
                libc::SIGCHLD => {
                    if let Some(exit) = reap(program) {
                        exit_now(exit.code());
                    }
                }
                // Job control of the terminal; stopping init would stop all reaping.
                libc::SIGTTIN | libc::SIGTTOU => {}
                other => {
                    let _ = signal::send(program, other);
                }
            }
        }
    }
}

/// Reaps all that have ended; the answer is the program's end, if it was among them.
fn reap(program: Pid) -> Option<Exit> {
    let mut end = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == program {
            end = Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code as u8),
                (None, signal) => Exit::Signal {
                    signal: signal.unwrap_or(0) as u8,
                    core_dumped: false,
                },
            });
        }
    }
    end
}

//! clone3, waiting, namespaces, process attributes.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::process::{WaitId, WaitIdOptions};

/// Waits for the end of a child and reaps it.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<Exit> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code as u8),
                    (None, signal) => Exit::Signal {
                        signal: signal.unwrap_or(0) as u8,
                        core_dumped: status.dumped(),
                    },
                });
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        signal: u8,
        /// A core was dumped.
        core_dumped: bool,
    },
}

impl Exit {
    /// The code a shell would show: 128 plus the signal's number.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal { signal, .. } => 128u8.wrapping_add(signal),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { signal, .. } => write!(f, "signal {signal}"),
        }
    }
}

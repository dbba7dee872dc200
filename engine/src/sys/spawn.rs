//! Running our own executable again, in a role, from a process with threads.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::Pid;

/// Our own executable as something a container can never write to: a read-only clone of its
/// mount, or a sealed copy in memory where that is not allowed.
#[derive(Debug)]
pub struct Executable {
    file: OwnedFd,
}

impl Executable {
    /// Of this process.
    pub fn current() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A role process just made. It is a child of ours until it ends or we do.
#[derive(Debug)]
pub struct RoleChild {
    /// Its pid.
    pub pid: Pid,
    /// A descriptor that names it for ever.
    pub pidfd: OwnedFd,
}

/// Runs `executable` with `arguments` (the first is the process's name, the second the role) and our environment
/// in a session of its own, with exactly these descriptors: `fds[i]` becomes descriptor `i`. All others are closed;
/// signal dispositions and mask are the default ones. Safe from a process with threads.
pub fn spawn_role(
    executable: &Executable,
    arguments: &[&OsStr],
    fds: &[BorrowedFd<'_>],
) -> io::Result<RoleChild> {
    let _ = (&executable.file, arguments, fds);
    Err(io::ErrorKind::Unsupported.into())
}

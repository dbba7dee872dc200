//! Waiting for a descriptor in a tokio loop.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime that is current.
pub fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor belongs to the returned object, which takes it out of the runtime's
    // set before it closes it; an `OwnedFd` always names the same open file.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

//! Network namespaces by descriptor, and momentary visits of the calling thread.
//!
//! A namespace belongs to a thread, and a socket stays in the namespace it was made in. So
//! whoever needs a socket in a container's namespace goes in, makes it, and comes back, in one
//! synchronous call ([`NetNs::visit`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace, kept alive by this descriptor.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for NetNs {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<NetNs> for OwnedFd {
    fn from(ns: NetNs) -> Self {
        ns.0
    }
}

impl NetNs {
    /// That of the calling thread.
    pub fn current() -> io::Result<Self> {
        // `thread-self`: `self` would be that of the process's first thread.
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// That of a process. The caller makes sure (by a pidfd) that the process is the one meant.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Ok(Self(File::open(format!("/proc/{pid}/ns/net"))?.into()))
    }

    /// Another descriptor of the same namespace.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Runs `f` with the calling thread in this namespace.
    ///
    /// Aborts the process when the thread cannot return: every later socket would be made in
    /// the container's namespace, on its terms.
    pub fn visit<T>(&self, f: impl FnOnce() -> T) -> io::Result<T> {
        let home = Home::here()?;
        enter(self.as_fd())?;
        let out = f();
        drop(home);
        Ok(out)
    }

    /// Makes a namespace, runs `f` in it with its descriptor, and returns to the present one.
    pub(super) fn create<T>(f: impl FnOnce(&NetNs) -> T) -> io::Result<(NetNs, T)> {
        let home = Home::here()?;
        // A namespace of the calling thread alone; nothing else of it is shared away.
        unshare(CloneFlags::CLONE_NEWNET)?;
        let ns = NetNs::current();
        let out = ns.map(|ns| {
            let out = f(&ns);
            (ns, out)
        });
        drop(home);
        out
    }
}

fn enter(ns: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(
        ns,
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Brings the thread back where it was, also when a panic unwinds.
struct Home(NetNs);

impl Home {
    fn here() -> io::Result<Self> {
        NetNs::current().map(Self)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = enter(self.0.as_fd()) {
            tracing::error!(%error, "cannot return to the host's network namespace");
            std::process::abort();
        }
    }
}

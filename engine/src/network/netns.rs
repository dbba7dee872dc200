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

use crate::sys::user_namespace;

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
    pub fn visit<T: Send>(&self, f: impl FnOnce() -> T + Send) -> io::Result<T> {
        away(|| {
            enter(self.as_fd())?;
            Ok(f())
        })
    }

    /// Makes a namespace, runs `f` in it with its descriptor, and returns to the present one. It belongs to the given
    /// user namespace, or to ours.
    pub(super) fn create<T: Send>(
        userns: Option<BorrowedFd<'_>>,
        f: impl FnOnce(&NetNs) -> T + Send,
    ) -> io::Result<(NetNs, T)> {
        if let Some(userns) = userns {
            let ns = Self(user_namespace::network_of(userns)?);
            let out = ns.visit(|| f(&ns))?;
            return Ok((ns, out));
        }
        away(|| {
            // A namespace of this thread alone; nothing else of it is shared away.
            unshare(CloneFlags::CLONE_NEWNET)?;
            let ns = NetNs::current()?;
            let out = f(&ns);
            Ok((ns, out))
        })
    }
}

/// Runs what leaves the present namespace, after which the calling thread is where it was.
fn away<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if user_namespace::is_initial() {
        let home = Home::here()?;
        let out = f();
        drop(home);
        return out;
    }
    // For an ordinary user no way leads back into the machine's namespace: a thread goes, and ends.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, f)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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

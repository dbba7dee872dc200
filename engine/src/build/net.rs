//! The network of a `RUN` step: a namespace, and the two files that go with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::run_role::{Network, RunSpec};

/// A step's network; given back by [`Connected::release`].
pub(super) struct Connected {
    netns: Option<OwnedFd>,
}

impl Connected {
    /// Connects. The caller is single-threaded.
    pub(super) fn new(spec: &RunSpec) -> io::Result<Self> {
        if spec.network == Network::Host {
            return Ok(Self { netns: None });
        }
        let host = std::fs::File::open("/proc/self/ns/net")?;
        crate::sys::namespace::unshare(UnshareFlags::NEWNET)?;
        crate::sys::namespace::bring_up_loopback()?;
        let new = std::fs::File::open("/proc/self/ns/net")?;
        crate::sys::namespace::enter(host.as_fd(), LinkNameSpaceType::Network)?;
        Ok(Self {
            netns: Some(new.into()),
        })
    }

    /// The namespace; `None` is the machine's.
    pub(super) fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.netns.as_ref().map(AsFd::as_fd)
    }

    /// `/etc/resolv.conf` and `/etc/hosts`.
    pub(super) fn files(&self, spec: &RunSpec) -> [(&'static str, String); 2] {
        let resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let mut hosts =
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
        for extra in &spec.extra_hosts {
            let address = extra
                .address
                .unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
            hosts += &format!("{address}\t{}\n", extra.name);
        }
        [("resolv.conf", resolv), ("hosts", hosts)]
    }

    /// Gives leases and names back.
    pub(super) fn release(self) -> io::Result<()> {
        Ok(())
    }
}

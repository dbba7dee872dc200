//! The future that serves a container's published ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::task::JoinSet;

use super::{Listener, tcp, udp};
use crate::network::{Endpoint, NetNs};
use crate::spec::Protocol;

/// Serves listeners until it is dropped; then every connection ends too.
#[derive(Debug)]
pub struct Forwarder {
    listeners: Vec<Listener>,
    target: Arc<Target>,
}

/// Where connections go.
#[derive(Debug)]
pub(super) struct Target {
    netns: NetNs,
    addresses: Mutex<Addresses>,
}

/// The container's own addresses, on its first network that has one of a family.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
}

impl Addresses {
    fn of(endpoints: &[Endpoint]) -> Self {
        let ipv4 = endpoints.iter().find_map(|e| e.ipv4);
        let ipv6 = endpoints.iter().find_map(|e| e.ipv6);
        Self {
            ipv4: ipv4.map(|(a, _)| IpAddr::V4(a)),
            ipv6: ipv6.map(|(a, _)| IpAddr::V6(a)),
        }
    }
}

/// Changes a forwarder that runs.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Target>);

impl Handle {
    /// After a network was connected or disconnected: where new connections go.
    pub fn update(&self, endpoints: &[Endpoint]) {
        // Never held across an await, and nothing panics under it.
        let mut addresses = self
            .0
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *addresses = Addresses::of(endpoints);
    }
}

impl Forwarder {
    /// A forwarder into `netns`. Connections go to the container's own address on its first
    /// network, to its loopback when it has none.
    pub fn new(
        listeners: Vec<Listener>,
        netns: &NetNs,
        endpoints: &[Endpoint],
    ) -> io::Result<Self> {
        Ok(Self {
            listeners,
            target: Arc::new(Target {
                netns: netns.try_clone()?,
                addresses: Mutex::new(Addresses::of(endpoints)),
            }),
        })
    }

    /// A handle to change it by.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.target))
    }

    /// Serves; never returns while there is a listener.
    pub async fn run(self) {
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let target = Arc::clone(&self.target);
            loops.spawn(async move {
                let published = listener.published();
                let end = match published.protocol {
                    Protocol::Udp => udp::serve(&listener, &target).await,
                    Protocol::Tcp | Protocol::Sctp => tcp::serve(&listener, target).await,
                };
                if let Err(error) = end {
                    tracing::error!(%error, ?published, "a published port is no longer served");
                }
            });
        }
        while loops.join_next().await.is_some() {}
    }
}

impl Target {
    /// The container's address for a client, of the client's own family when it has one.
    pub(super) fn address(&self, client: SocketAddr, port: u16) -> SocketAddr {
        let known = *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (same, other) = if client.is_ipv4() {
            (known.ipv4, known.ipv6)
        } else {
            (known.ipv6, known.ipv4)
        };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        SocketAddr::new(same.or(other).unwrap_or(loopback), port)
    }

    /// A socket in the container's namespace. The thread is there only for this call: there is
    /// no await in it.
    pub(super) fn socket(&self, address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = self
            .netns
            .visit(|| rustix::net::socket_with(family, kind, flags, None))?;
        Ok(socket?)
    }
}

//! Published ports: real listening sockets on the machine, forwarded into the container.
//!
//! A real socket finds conflicts, obeys the machine's firewall, and is seen by whatever looks
//! for listeners. [`bind`] makes the sockets in the caller's namespace; a [`Forwarder`] accepts
//! on them and connects to the container's own address from a socket inside its namespace,
//! so it needs no route, no packet filter and no forwarding, and works on internal networks.
//! The container sees its own address as the client's, unless its network asks for [`translate`].
//!
//! Refused by name: SCTP.

mod forward;
mod holder;
mod tcp;
pub(super) mod translate;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use serde::{Deserialize, Serialize};

pub use forward::{Forwarder, Handle};
pub use holder::Holder;
pub use translate::translate;

use crate::error::{Classify, ErrorKind};
use crate::spec::{PortSpec, Protocol};

/// How often an ephemeral port that is free for IPv4 but not for IPv6 is drawn again.
const DRAWS: usize = 16;
const BACKLOG: i32 = 1024;

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the message of each variant is its documentation"
)]
pub enum PublishError {
    #[error(
        "{address}/{protocol} is taken{}",
        holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default()
    )]
    Conflict {
        address: SocketAddr,
        protocol: Protocol,
        holder: Option<Holder>,
        source: io::Error,
    },
    #[error("cannot publish on {address}/{protocol}")]
    Bind {
        address: SocketAddr,
        protocol: Protocol,
        source: io::Error,
    },
    #[error("port {0}/sctp cannot be published: only tcp and udp can be forwarded")]
    Sctp(u16),
    #[error("host ports {0}-{1} are no range")]
    Range(u16, u16),
}

impl PublishError {
    /// With the holder's name for the user, where `name` knows one by the process's command line.
    #[must_use]
    pub fn naming(mut self, name: impl FnOnce(&str) -> Option<String>) -> Self {
        if let Self::Conflict {
            holder: Some(holder),
            ..
        } = &mut self
        {
            holder.known_as = name(&holder.command);
        }
        self
    }
}

impl Classify for PublishError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Bind { source, .. } => Classify::kind(source),
            Self::Sctp(_) => ErrorKind::Unsupported,
            Self::Range(..) => ErrorKind::Invalid,
        }
    }
}

/// A port as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Published {
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Address on the machine; unspecified means all of its family.
    pub host_ip: IpAddr,
    /// Port on the machine.
    pub host_port: u16,
}

/// A socket of a published port. Clones share the socket, so a listener outlives the restart
/// of its container.
#[derive(Clone, Debug)]
pub struct Listener {
    published: Published,
    socket: Arc<OwnedFd>,
}

impl Listener {
    /// What it publishes.
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

/// Binds every port, or none.
pub fn bind(ports: &[PortSpec]) -> Result<Vec<Listener>, PublishError> {
    let mut listeners = Vec::new();
    for port in ports {
        listeners.extend(bind_one(port)?);
    }
    Ok(listeners)
}

/// How long a supervisor that was killed may take to let go of its sockets, on a machine that is
/// very busy.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Tries again while an address is taken: a process that is killed gives up its locks and its
/// sockets one after the other, so its successor may be there before the last is free.
pub fn patiently<T>(bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_for(LETTING_GO, bind)
}

/// [`patiently`], for what may take longer to be let go of.
pub fn patiently_for<T>(
    patience: Duration,
    mut take: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match take() {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

/// Binds what was published before, exactly, for a supervisor that takes over; and tells what
/// somebody else has meanwhile.
pub fn rebind(published: &[Published]) -> (Vec<Listener>, Vec<PublishError>) {
    let mut listeners = Vec::new();
    let mut lost = Vec::new();
    for p in published {
        let address = SocketAddr::new(p.host_ip, p.host_port);
        match patiently(|| open(address, p.protocol)) {
            Ok(socket) => listeners.push(Listener {
                published: p.clone(),
                socket: Arc::new(socket),
            }),
            Err(e) => lost.push(failed(address, p.protocol, e)),
        }
    }
    (listeners, lost)
}

fn bind_one(port: &PortSpec) -> Result<Vec<Listener>, PublishError> {
    if port.protocol == Protocol::Sctp {
        return Err(PublishError::Sctp(port.container_port));
    }
    let addresses: &[IpAddr] = match &port.host_ip {
        Some(address) => std::slice::from_ref(address),
        None => &[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
    };
    let mut first_failure = None;
    let candidates: Box<dyn Iterator<Item = u16>> = match port.host_ports {
        Some((first, last)) if first == 0 || last < first => {
            return Err(PublishError::Range(first, last));
        }
        Some((first, last)) => Box::new(first..=last),
        None => Box::new(std::iter::repeat_n(0, DRAWS)),
    };
    for candidate in candidates {
        match bind_all(port, addresses, candidate) {
            Ok(listeners) => return Ok(listeners),
            Err((address, e)) if e.kind() == io::ErrorKind::AddrInUse => {
                first_failure.get_or_insert((address, e));
            }
            Err((address, e)) => return Err(failed(address, port.protocol, e)),
        }
    }
    // The range is not empty, so there was a failure.
    let (address, error) = first_failure.ok_or(PublishError::Range(0, 0))?;
    Err(failed(address, port.protocol, error))
}

/// One port on all addresses, or none of them.
fn bind_all(
    port: &PortSpec,
    addresses: &[IpAddr],
    host_port: u16,
) -> Result<Vec<Listener>, (SocketAddr, io::Error)> {
    let mut chosen = host_port;
    let mut listeners = Vec::with_capacity(addresses.len());
    for host_ip in addresses {
        let address = SocketAddr::new(*host_ip, chosen);
        let socket = match open(address, port.protocol) {
            Ok(socket) => socket,
            // A machine without IPv6 publishes on IPv4 alone, unless IPv6 was asked for.
            Err(e) if port.host_ip.is_none() && host_ip.is_ipv6() && no_family(&e) => continue,
            Err(e) => return Err((address, e)),
        };
        if chosen == 0 {
            chosen = local_port(&socket).map_err(|e| (address, e))?;
        }
        listeners.push(Listener {
            published: Published {
                container_port: port.container_port,
                protocol: port.protocol,
                host_ip: *host_ip,
                host_port: chosen,
            },
            socket: Arc::new(socket),
        });
    }
    Ok(listeners)
}

fn no_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn open(address: SocketAddr, protocol: Protocol) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (kind, transport) = match protocol {
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Tcp | Protocol::Sctp => (SocketType::STREAM, ipproto::TCP),
    };
    let socket = rustix::net::socket_with(family, kind, flags, Some(transport))?;
    if address.is_ipv6() {
        // IPv4 has its own socket.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Udp {
        udp::ask_for_destinations(&socket, address.is_ipv6())?;
    } else {
        // Connections of the last run that linger in TIME_WAIT do not hold the port.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if protocol != Protocol::Udp {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

fn local_port(socket: &OwnedFd) -> io::Result<u16> {
    SocketAddr::try_from(rustix::net::getsockname(socket)?)
        .map(|a| a.port())
        .map_err(io::Error::from)
}

fn failed(address: SocketAddr, protocol: Protocol, source: io::Error) -> PublishError {
    if source.kind() == io::ErrorKind::AddrInUse {
        let holder = Holder::find(address, protocol);
        PublishError::Conflict {
            address,
            protocol,
            holder,
            source,
        }
    } else {
        PublishError::Bind {
            address,
            protocol,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ports: Option<(u16, u16)>, protocol: Protocol) -> PortSpec {
        PortSpec {
            container_port: 80,
            host_ports,
            host_ip: Some(Ipv4Addr::LOCALHOST.into()),
            protocol,
        }
    }

    #[test]
    fn an_ephemeral_port_is_one_for_both_families() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let spec = PortSpec {
                host_ip: None,
                ..port(None, protocol)
            };
            let listeners = bind(&[spec]).unwrap();
            let ports: Vec<_> = listeners.iter().map(|l| l.published().host_port).collect();
            assert!(ports.iter().all(|p| *p != 0 && *p == ports[0]), "{ports:?}");
            assert_eq!(ports.len(), 2);
        }
    }

    #[test]
    fn a_taken_port_names_its_holder_and_a_range_goes_on() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let first = bind(&[port(None, protocol)]).unwrap();
            let taken = first[0].published().host_port;
            let error = bind(&[port(Some((taken, taken)), protocol)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!(
                    "127.0.0.1:{taken}/{protocol} is taken by process "
                )),
                "{text}"
            );
            assert!(
                text.contains(&format!("(pid {})", std::process::id())),
                "{text}"
            );
            let next = bind(&[port(Some((taken, taken.saturating_add(20))), protocol)]).unwrap();
            assert!(next[0].published().host_port > taken);
            // The port is free as soon as its listener is gone, and can be bound again exactly.
            let published = first[0].published();
            drop(first);
            assert_eq!(
                rebind(std::slice::from_ref(&published)).0[0].published(),
                published
            );
        }
    }

    #[test]
    fn a_predecessor_may_let_go_a_little_later() {
        let first = bind(&[port(None, Protocol::Tcp)]).unwrap();
        let published: Vec<Published> = first.iter().map(Listener::published).collect();
        let dying = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
        });
        let (listeners, lost) = rebind(&published);
        dying.join().unwrap();
        assert_eq!((listeners.len(), lost.len()), (published.len(), 0));
    }

    #[test]
    fn sctp_and_empty_ranges_are_refused() {
        assert_eq!(
            bind(&[port(None, Protocol::Sctp)]).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
        for range in [(9, 8), (0, 5)] {
            assert!(matches!(
                bind(&[port(Some(range), Protocol::Tcp)]),
                Err(PublishError::Range(..))
            ));
        }
    }
}

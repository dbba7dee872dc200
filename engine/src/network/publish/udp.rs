//! UDP: a socket in the container for each client, and answers that leave from the address
//! the client wrote to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use rustix::net::SocketType;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Listener;
use super::forward::Target;

/// A session without a datagram either way for this long is over, as docker-proxy's.
const IDLE: Duration = Duration::from_secs(90);
/// Sessions of one port at once; datagrams of more clients are dropped until one is over.
const MOST_SESSIONS: usize = 4096;
/// Datagrams handled before others get their turn.
const BURST: usize = 64;
/// The largest datagram.
const DATAGRAM: usize = 65_535;

thread_local! {
    /// One buffer for all ports and sessions of the thread: filled and emptied without an await
    /// between. Made with the first datagram, so an idle supervisor has none.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn with_buffer<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(DATAGRAM, 0);
        f(buffer)
    })
}

/// Has the kernel tell which of the machine's addresses a datagram was sent to.
pub(super) fn ask_for_destinations(socket: &OwnedFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Two ends of a conversation on the machine's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Client {
    address: SocketAddr,
    /// The machine's address and interface that the client wrote to.
    local: Option<(IpAddr, u32)>,
}

pub(super) async fn serve(listener: &Listener, target: &Target) -> io::Result<()> {
    let port = listener.published().container_port;
    let socket = Arc::new(UdpSocket::from_std(std::net::UdpSocket::from(
        listener.socket()?,
    ))?);
    let mut sessions: HashMap<Client, Arc<UdpSocket>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let (ended, mut ends) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            ready = socket.readable() => {
                ready?;
                for _ in 0..BURST {
                    let received = socket.try_io(Interest::READABLE, || with_buffer(|buffer| {
                        let (client, length) = receive(&socket, buffer)?;
                        if let Some(session) = sessions.get(&client) {
                            hand_over(session, &buffer[..length]);
                        } else if sessions.len() < MOST_SESSIONS {
                            let session = Arc::new(open(target, target.address(client.address, port))?);
                            hand_over(&session, &buffer[..length]);
                            sessions.insert(client, Arc::clone(&session));
                            tasks.spawn(answer(session, Arc::clone(&socket), client, ended.clone()));
                        }
                        Ok(())
                    }));
                    match received {
                        Ok(()) => {}
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                        Err(e) => {
                            tracing::debug!(error = %e, "a datagram was lost");
                            break;
                        }
                    }
                }
                tokio::task::yield_now().await;
            }
            Some(client) = ends.recv() => {
                sessions.remove(&client);
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Like the network, a full or refusing socket loses the datagram. Not tokio's `try_send`: that
/// refuses until its driver has seen the socket once, and would lose every client's first.
fn hand_over(session: &UdpSocket, datagram: &[u8]) {
    let _ = rustix::net::send(session, datagram, rustix::net::SendFlags::DONTWAIT);
}

fn open(target: &Target, address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = target.socket(address, SocketType::DGRAM)?;
    rustix::net::connect(&socket, &address)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

/// Takes the container's answers back to one client until both were silent for [`IDLE`].
async fn answer(
    session: Arc<UdpSocket>,
    out: Arc<UdpSocket>,
    client: Client,
    ended: mpsc::UnboundedSender<Client>,
) {
    while let Ok(Ok(())) = timeout(IDLE, session.readable()).await {
        loop {
            let moved = session.try_io(Interest::READABLE, || {
                with_buffer(|buffer| {
                    let length = rustix::net::recv(
                        &*session,
                        &mut *buffer,
                        rustix::net::RecvFlags::DONTWAIT,
                    )?
                    .1;
                    let _ = send(&out, &buffer[..length], client);
                    Ok(())
                })
            });
            match moved {
                Ok(()) => {}
                // `ConnectionRefused` says that nobody listens now; it may later.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => break,
            }
        }
    }
    let _ = ended.send(client);
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(Client, usize)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let local = message.cmsgs()?.find_map(|c| match c {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some((
            IpAddr::from(u32::from_be(info.ipi_spec_dst.s_addr).to_be_bytes()),
            // The route decides for IPv4.
            0,
        )),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some((
            IpAddr::from(info.ipi6_addr.s6_addr),
            // A link-local address means one only with its interface.
            info.ipi6_ifindex,
        )),
        _ => None,
    });
    let address = message
        .address
        .as_ref()
        .and_then(socket_address)
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((Client { address, local }, message.bytes))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|a| SocketAddr::V4((*a).into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|a| SocketAddr::V6((*a).into()))
    })
}

fn send(socket: &UdpSocket, datagram: &[u8], client: Client) -> io::Result<()> {
    let v4;
    let v6;
    let control = match client.local {
        Some((IpAddr::V4(local), _)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from(local).to_be(),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some((IpAddr::V6(local), interface)) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: local.octets(),
                },
                ipi6_ifindex: interface,
            };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(datagram)],
        control.as_slice(),
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrStorage::from(client.address)),
    )?;
    Ok(())
}

//! Asking others: the question goes on as it came, the answer comes back as it is.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::packet::{self, Code, Query};
use crate::network::NetNs;

/// How long one server may take, as Docker's responder lets it.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a question came, and so how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Servers to ask, in order.
pub(super) struct Upstreams {
    netns: NetNs,
    servers: Vec<SocketAddr>,
}

impl Upstreams {
    pub(super) fn new(netns: &NetNs, servers: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Self {
            netns: netns.try_clone()?,
            servers,
        })
    }

    /// The first good answer; a failure when there is none. `message` is `query` in wire form.
    pub(super) async fn ask(
        &self,
        mut message: Vec<u8>,
        query: &Query,
        transport: Transport,
    ) -> Vec<u8> {
        let mut failure = None;
        for server in &self.servers {
            // A fresh id and a fresh port for each: a guesser has to hit both.
            let Ok(random) = crate::sys::random() else {
                break;
            };
            message[..2].copy_from_slice(&random);
            let id = u16::from_be_bytes(random);
            let answer = timeout(PATIENCE, async {
                match transport {
                    Transport::Udp => self.by_udp(*server, &message, id, query).await,
                    Transport::Tcp => self.by_tcp(*server, &message, id, query).await,
                }
            });
            if let Ok(Ok(mut reply)) = answer.await {
                reply[..2].copy_from_slice(&query.id.to_be_bytes());
                if !packet::is_failure(&reply) {
                    return reply;
                }
                failure = Some(reply);
            }
        }
        failure.unwrap_or_else(|| query.answer(Code::Failure, &[], 0, query.limit))
    }

    /// A socket where the server can be reached: in the container's namespace, but for servers
    /// on the machine's own loopback (systemd-resolved), which that does not have.
    fn socket(&self, server: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
        let family = if server.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = || rustix::net::socket_with(family, kind, flags, None);
        let socket = if server.ip().is_loopback() {
            make()
        } else {
            self.netns.visit(make)?
        };
        Ok(socket?)
    }

    async fn by_udp(
        &self,
        server: SocketAddr,
        message: &[u8],
        id: u16,
        query: &Query,
    ) -> io::Result<Vec<u8>> {
        let socket = self.socket(server, SocketType::DGRAM)?;
        // Connected: only this server's datagrams arrive, and its refusals are errors at once.
        rustix::net::connect(&socket, &server)?;
        let socket = UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
        socket.send(message).await?;
        let mut reply = vec![0; query.limit + 1];
        loop {
            let length = socket.recv(&mut reply).await?;
            if packet::answers(&reply[..length], id, &query.question) {
                if length > query.limit {
                    // Longer than the client takes: it shall ask by TCP.
                    reply = query.answer(Code::Fine, &[], 0, query.limit);
                    reply[2] |= 0x02;
                } else {
                    reply.truncate(length);
                }
                return Ok(reply);
            }
        }
    }

    async fn by_tcp(
        &self,
        server: SocketAddr,
        message: &[u8],
        id: u16,
        query: &Query,
    ) -> io::Result<Vec<u8>> {
        let socket = self.socket(server, SocketType::STREAM)?;
        let mut stream = TcpSocket::from_std_stream(std::net::TcpStream::from(socket))
            .connect(server)
            .await?;
        let mut framed = (message.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        stream.write_all(&framed).await?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).await?;
        if packet::answers(&reply, id, &query.question) {
            Ok(reply)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

//! The name server of a container, at 127.0.0.11 port 53 in its own namespace.
//!
//! It answers names of the container's networks from their files of members, and passes every
//! other question on to the upstream servers, from inside the namespace, so that the question
//! goes where the container itself may go. A container on internal networks alone has no way
//! out, and so no upstream: its other questions fail.
//!
//! Answers live [`TTL`] seconds. Docker says 600, for which clients that obey keep an address
//! that was replaced or scaled away; asking again costs microseconds here.

pub(super) mod packet;
mod upstream;
mod zone;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cidr::Cidr;
use super::error::NetworkError;
use super::netns::NetNs;
use super::nft;
use super::publish::patiently;
use super::resolv::EMBEDDED;
use super::sandbox::Endpoint;
use super::store::NetworkStore;
use crate::spec::Link;
use packet::{A, AAAA, Code, IN, PTR, Query, Record};
use upstream::{Transport, Upstreams};
use zone::{Reverse, Zone};

/// Seconds that answers of our own may be kept.
pub const TTL: u32 = 5;
/// Where names are asked for.
const PORT: u16 = 53;
/// Questions that wait for upstream at once, and connections; more are refused.
const MOST: usize = 256;
/// A TCP client that asks nothing for this long is let go.
const IDLE: Duration = Duration::from_secs(10);

/// What a responder knows and whom it asks.
#[derive(Debug)]
pub struct Config {
    zones: Vec<Zone>,
    /// Names of this container's own for members, in lower case.
    links: HashMap<String, String>,
    upstreams: Vec<SocketAddr>,
}

impl Config {
    /// For a container with these endpoints.
    pub fn new(
        store: &NetworkStore,
        endpoints: &[Endpoint],
        links: &[Link],
        upstreams: Vec<SocketAddr>,
    ) -> Self {
        let zones = endpoints.iter().map(|e| {
            let v4 = e.ipv4.and_then(|(a, p)| Cidr::containing(a.into(), p));
            let v6 = e.ipv6.and_then(|(a, p)| Cidr::containing(a.into(), p));
            let subnets = v4.into_iter().chain(v6).collect();
            Zone::new(
                e.network.clone(),
                store.members_path(&e.network_id),
                subnets,
            )
        });
        let way_out = endpoints.iter().any(|e| !e.internal);
        Self {
            zones: zones.collect(),
            links: links
                .iter()
                .map(|link| {
                    (
                        link.alias.to_ascii_lowercase(),
                        link.target.to_ascii_lowercase(),
                    )
                })
                .collect(),
            upstreams: if way_out { upstreams } else { Vec::new() },
        }
    }
}

/// A name server whose sockets are bound.
#[derive(Debug)]
pub struct Responder {
    udp: OwnedFd,
    tcp: OwnedFd,
    netns: NetNs,
    config: Arc<Mutex<Config>>,
}

/// Changes a responder that runs.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Mutex<Config>>);

impl Handle {
    /// Replaces what it knows: after a network was connected or disconnected.
    pub fn update(&self, config: Config) {
        *lock(&self.0) = config;
    }
}

/// Never held across an await; a panic under it leaves a table that the next query reads anew.
fn lock(config: &Mutex<Config>) -> MutexGuard<'_, Config> {
    config.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Responder {
    /// Makes the sockets in `netns`. With `yields`, port 53 is left to the container's own program,
    /// and questions to ours are led to other ports where the kernel can do that.
    pub fn bind(netns: &NetNs, config: Config, yields: bool) -> Result<Self, NetworkError> {
        let failed = NetworkError::kernel("open the name server's sockets in the container");
        let sockets = netns.visit(|| match yields.then(beside).transpose() {
            Ok(Some(sockets)) => Ok(sockets),
            Ok(None) => at_port(PORT),
            Err(error) => {
                tracing::warn!(%error, "port 53 of the container is ours: its questions cannot be led elsewhere");
                at_port(PORT)
            }
        });
        let made = sockets.and_then(|result: io::Result<_>| Ok((result?, netns.try_clone()?)));
        match made {
            Ok(((udp, tcp), netns)) => Ok(Self {
                udp,
                tcp,
                netns,
                config: Arc::new(Mutex::new(config)),
            }),
            Err(e) => Err(failed(e)),
        }
    }

    /// A handle to change it by.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.config))
    }

    /// Serves until dropped.
    pub async fn run(self) {
        let server = Arc::new(Server {
            netns: self.netns,
            config: self.config,
        });
        let end = tokio::try_join!(
            serve_udp(self.udp, Arc::clone(&server)),
            serve_tcp(self.tcp, server)
        );
        if let Err(error) = end {
            tracing::error!(%error, "the container's name server has ended");
        }
    }
}

/// Sockets at ports of the kernel's choice, and questions led there.
fn beside() -> io::Result<(OwnedFd, OwnedFd)> {
    let (udp, tcp) = at_port(0)?;
    let port = |socket: &OwnedFd| {
        let address = SocketAddr::try_from(rustix::net::getsockname(socket)?)?;
        Ok::<_, io::Error>(address.port())
    };
    nft::redirect_names(EMBEDDED, port(&udp)?, port(&tcp)?)?;
    Ok((udp, tcp))
}

fn at_port(port: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok((
        open(SocketType::DGRAM, port)?,
        open(SocketType::STREAM, port)?,
    ))
}

fn open(kind: SocketType, port: u16) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
    // Lets a container's own name server have the wildcard address (it must set this as well),
    // and a responder take over from one that died with connections open.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // One that died may hold its own for a moment.
    patiently(|| {
        rustix::net::bind(&socket, &SocketAddr::new(IpAddr::V4(EMBEDDED), port))?;
        if kind == SocketType::STREAM {
            rustix::net::listen(&socket, 128)?;
        }
        Ok(())
    })?;
    Ok(socket)
}

struct Server {
    netns: NetNs,
    config: Arc<Mutex<Config>>,
}

/// What to do with a message.
enum Step {
    Nothing,
    Send(Vec<u8>),
    Ask(Query, Upstreams),
}

impl Server {
    /// Decides without waiting. `limit` is the transport's; `None` takes the client's for UDP.
    fn decide(&self, message: &[u8], limit: Option<usize>) -> Step {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(unfit) => return unfit.answer().map_or(Step::Nothing, Step::Send),
        };
        let limit = limit.unwrap_or(query.limit);
        let mut config = lock(&self.config);
        if let Some((code, records)) = known(&mut config, &query) {
            return Step::Send(query.answer(code, &records, TTL, limit));
        }
        if config.upstreams.is_empty() {
            return Step::Send(query.answer(Code::Failure, &[], 0, limit));
        }
        match Upstreams::new(&self.netns, config.upstreams.clone()) {
            Ok(upstreams) => Step::Ask(query, upstreams),
            Err(_) => Step::Send(query.answer(Code::Failure, &[], 0, limit)),
        }
    }
}

/// Our own answer; `None` when the question is for others.
fn known(config: &mut Config, query: &Query) -> Option<(Code, Vec<Record>)> {
    let name = query.name.as_deref().filter(|_| query.class == IN)?;
    let zones = config.zones.as_mut_slice();
    if let Some(address) = packet::reverse_address(name) {
        return match zone::reverse(zones, address) {
            Reverse::Name(name) if query.kind == PTR => {
                Some((Code::Fine, vec![Record::Pointer(name)]))
            }
            Reverse::Name(_) => Some((Code::Fine, Vec::new())),
            Reverse::Nobody => Some((Code::NoSuchName, Vec::new())),
            Reverse::Elsewhere => None,
        };
    }
    let linked = config.links.get(name.strip_suffix('.').unwrap_or(name));
    let mut found = zone::addresses(zones, linked.map_or(name, String::as_str))?;
    // A known name without a record of this type has no data; it is not for others to say.
    found.retain(|a| query.kind == if a.is_ipv4() { A } else { AAAA });
    shuffle(&mut found, query.id);
    Some((Code::Fine, found.into_iter().map(Record::Address).collect()))
}

/// Spreads clients over replicas. The client's random id is randomness enough for that.
fn shuffle(addresses: &mut [IpAddr], seed: u16) {
    let mut state = u32::from(seed) | 0x9e37_0001;
    for i in (1..addresses.len()).rev() {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        addresses.swap(i, state as usize % (i + 1));
    }
}

async fn serve_udp(socket: OwnedFd, server: Arc<Server>) -> io::Result<()> {
    let socket = Arc::new(UdpSocket::from_std(std::net::UdpSocket::from(socket))?);
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            ready = socket.readable() => {
                ready?;
                // Questions are short; longer ones are cut and found malformed.
                let mut buffer = [0; 1500];
                let Ok((length, client)) = socket.try_recv_from(&mut buffer) else {
                    continue;
                };
                match server.decide(&buffer[..length], None) {
                    Step::Nothing => {}
                    Step::Send(answer) => {
                        let _ = socket.try_send_to(&answer, client);
                    }
                    Step::Ask(query, _) if asking.len() >= MOST => {
                        let answer = query.answer(Code::Failure, &[], 0, query.limit);
                        let _ = socket.try_send_to(&answer, client);
                    }
                    Step::Ask(query, upstreams) => {
                        let message = buffer[..length].to_vec();
                        let socket = Arc::clone(&socket);
                        asking.spawn(async move {
                            let answer = upstreams.ask(message, &query, Transport::Udp).await;
                            let _ = socket.send_to(&answer, client).await;
                        });
                    }
                }
            }
            Some(_) = asking.join_next() => {}
        }
    }
}

async fn serve_tcp(socket: OwnedFd, server: Arc<Server>) -> io::Result<()> {
    let listener = TcpListener::from_std(std::net::TcpListener::from(socket))?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => {
                match accepted {
                    Ok((stream, _)) => {
                        let server = Arc::clone(&server);
                        connections.spawn(async move {
                            // How a client leaves is its own business.
                            let _ = serve_connection(stream, &server).await;
                        });
                    }
                    // Out of descriptors, most likely.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        timeout(IDLE, stream.read_exact(&mut length)).await??;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        timeout(IDLE, stream.read_exact(&mut message)).await??;
        let answer = match server.decide(&message, Some(usize::from(u16::MAX))) {
            Step::Nothing => return Ok(()),
            Step::Send(answer) => answer,
            Step::Ask(query, upstreams) => upstreams.ask(message, &query, Transport::Tcp).await,
        };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

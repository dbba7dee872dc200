//! A machine for a test, and what tests do in containers.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use super::super::store::tests::spec;
use super::super::*;
use crate::network::netlink::{Batch, Netlink};
use crate::spec::{EndpointSpec, NetworkSpec};
use crate::state::Paths;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for a packet on one machine, short enough to wait for one that must not come.
pub(super) const MOMENT: Duration = Duration::from_millis(300);

/// Runs a test on a thread whose network namespace is empty but for `lo`.
pub(super) fn on_a_machine(test: impl FnOnce(&Machine) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: making a network namespace needs root");
        return;
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        // A new namespace takes the real machine's IPv4 switches over.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        let mut batch = Batch::default();
        batch.up(1);
        Netlink::route().unwrap().send(&batch).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = NetworkStore::open(&Paths::below(dir.path()));
        test(&Machine { store, _dir: dir });
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

pub(super) struct Machine {
    pub(super) store: NetworkStore,
    _dir: tempfile::TempDir,
}

pub(super) fn on(network: &str) -> EndpointSpec {
    EndpointSpec {
        network: network.into(),
        ..EndpointSpec::default()
    }
}

/// An id that begins with `name`, padded as container ids are long.
pub(super) fn id(name: &str) -> String {
    format!("{name:a<64}")
}

impl Machine {
    pub(super) fn network(&self, name: &str) -> Network {
        self.store.create(&spec(name)).unwrap()
    }

    pub(super) fn network_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut NetworkSpec),
    ) -> Network {
        let mut spec = spec(name);
        change(&mut spec);
        self.store.create(&spec).unwrap()
    }

    pub(super) fn try_container(
        &self,
        name: &str,
        endpoints: &[EndpointSpec],
    ) -> Result<Sandbox, NetworkError> {
        let owner = id(name);
        let request = Request {
            userns: None,
            owner: &owner,
            process: None,
            name,
            hostname: name,
            mac_address: None,
            endpoints,
            alive: &|_| true,
        };
        connect(&self.store, &request)
    }

    /// Puts the running container `a` on more networks.
    pub(super) fn connect_running(
        &self,
        sandbox: &Sandbox,
        endpoints: &[EndpointSpec],
    ) -> Result<Vec<Endpoint>, NetworkError> {
        let request = Request {
            userns: None,
            owner: &id("a"),
            process: None,
            name: "a",
            hostname: "a",
            mac_address: None,
            endpoints,
            alive: &|_| true,
        };
        connect_running(&self.store, &request, &sandbox.netns, &sandbox.endpoints)
    }

    pub(super) fn container(&self, name: &str, endpoints: &[EndpointSpec]) -> Sandbox {
        self.try_container(name, endpoints).unwrap()
    }

    /// Joins the machine to a namespace of its own that stands for the world outside.
    /// The machine is 203.0.113.2 and fd99::2, the outside is `.1` and its default gateway.
    pub(super) fn outside(&self) -> NetNs {
        use netlink_packet_route::link::{
            InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
        };
        use std::os::fd::{AsFd, AsRawFd};
        let mut host = Netlink::route().unwrap();
        let (ns, ()) = NetNs::create(None, |ns| {
            let mut peer = LinkMessage::default();
            peer.attributes = vec![
                LinkAttribute::IfName("out0".into()),
                LinkAttribute::NetNsFd(ns.as_fd().as_raw_fd()),
            ];
            let mut link = LinkMessage::default();
            link.header.flags = LinkFlags::Up;
            link.header.change_mask = LinkFlags::Up;
            link.attributes = vec![
                LinkAttribute::IfName("uplink0".into()),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
                ]),
            ];
            let mut batch = Batch::default();
            batch.new_link(link);
            host.send(&batch).unwrap();
            let mut batch = Batch::default();
            let mut inside = Netlink::route().unwrap();
            let (index, _) = inside.link("out0").unwrap().unwrap();
            batch
                .up(1)
                .up(index)
                .address(index, ip("203.0.113.1"), 24)
                .address(index, ip("fd99::1"), 64);
            inside.send(&batch).unwrap();
        })
        .unwrap();
        let (index, _) = host.link("uplink0").unwrap().unwrap();
        let mut batch = Batch::default();
        batch
            .address(index, ip("203.0.113.2"), 24)
            .address(index, ip("fd99::2"), 64)
            .default_route(index, ip("203.0.113.1"))
            .default_route(index, ip("fd99::1"));
        host.send(&batch).unwrap();
        ns
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn v4(sandbox: &Sandbox, endpoint: usize) -> IpAddr {
    IpAddr::V4(sandbox.endpoints[endpoint].ipv4.unwrap().0)
}

/// A listener in a namespace that answers each connection with the client's address.
pub(super) fn tell_client_addresses(ns: &NetNs, port: u16, ipv6: bool) {
    let any = if ipv6 { ip("::") } else { ip("0.0.0.0") };
    let listener = ns
        .visit(|| TcpListener::bind((any, port)).unwrap())
        .unwrap();
    // Ends with the test's process; its namespace goes with it.
    std::thread::spawn(move || {
        while let Ok((mut stream, client)) = listener.accept() {
            let _ = stream.write_all(client.ip().to_string().as_bytes());
        }
    });
}

/// Connects from a namespace and reads what the other side says.
///
/// Who has a new IPv6 address hears its neighbours only once a work queue of the kernel has
/// joined the group of that address, which a busy machine puts off for seconds; a neighbour
/// that was not found is therefore looked for until the patience ends.
pub(super) fn ask(ns: &NetNs, to: IpAddr, port: u16, patience: Duration) -> io::Result<String> {
    let deadline = Instant::now() + patience;
    let connect = || loop {
        match TcpStream::connect_timeout(&SocketAddr::new(to, port), patience) {
            Err(e) if e.kind() == io::ErrorKind::HostUnreachable && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    };
    ns.visit(|| {
        let mut stream = connect()?;
        stream.set_read_timeout(Some(patience))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })?
}

/// One DNS question from inside a namespace, by UDP.
pub(super) fn dig(ns: &NetNs, message: &[u8]) -> Vec<u8> {
    ns.visit(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(message, "127.0.0.11:53").unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    })
    .unwrap()
}

/// Runs a future beside the test, on a runtime of one thread as a supervisor's, until the
/// returned guard is dropped.
pub(super) fn beside<F: Future<Output = ()> + 'static>(
    make: impl FnOnce() -> F + Send + 'static,
) -> Beside {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let future = make();
        runtime.block_on(async {
            tokio::select! {
                () = future => {}
                _ = stopped => {}
            }
        });
    });
    Beside {
        stop: Some(stop),
        thread: Some(thread),
    }
}

pub(super) struct Beside {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What a container with the right to change its routes may try: a way out through the gateway.
pub fn route_by_hand(netns: &NetNs, network: &Network) {
    netns
        .visit(|| {
            let mut inside = Netlink::route().unwrap();
            let (index, _) = inside.link("eth0").unwrap().unwrap();
            let mut batch = Batch::default();
            batch.default_route(index, network.pools[0].gateway);
            inside.send(&batch).unwrap();
        })
        .unwrap();
}

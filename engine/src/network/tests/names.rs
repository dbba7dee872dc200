//! The name server, asked from inside containers.

use std::net::{SocketAddr, UdpSocket};

use super::super::dns::packet::tests::question;
use super::super::*;
use super::machine::*;
use crate::network::dns::{Config, Responder};
use crate::spec::EndpointSpec;

const A: u16 = 1;
const AAAA: u16 = 28;
const PTR: u16 = 12;

fn serve(m: &Machine, sandbox: &Sandbox, upstreams: Vec<SocketAddr>) -> Beside {
    let config = Config::new(&m.store, &sandbox.endpoints, &[], upstreams);
    let responder = Responder::bind(&sandbox.netns, config, false).unwrap();
    beside(move || responder.run())
}

/// Code, number of answers, whether truncated.
fn verdict(reply: &[u8]) -> (u8, u16, bool) {
    (
        reply[3] & 15,
        u16::from_be_bytes([reply[6], reply[7]]),
        reply[2] & 2 != 0,
    )
}

#[test]
fn a_name_server_in_a_container_has_its_port_to_itself() {
    on_a_machine(|m| {
        m.network("net");
        let a = m.container("a", &[on("net")]);
        let b = m.container("b", &[on("net")]);
        let config = || Config::new(&m.store, &a.endpoints, &[], vec![]);
        // A second one takes over from a first that died.
        drop(Responder::bind(&a.netns, config(), true).unwrap());
        let responder = Responder::bind(&a.netns, config(), true).unwrap();
        let _dns = beside(move || responder.run());
        let bound = a.netns.visit(|| {
            let everywhere = (std::net::Ipv4Addr::UNSPECIFIED, 53);
            let tcp = std::net::TcpListener::bind(everywhere).unwrap();
            (UdpSocket::bind(everywhere).unwrap(), tcp)
        });
        let reply = dig(&a.netns, &question(1, "b", A, None));
        let address: [u8; 4] = reply[reply.len() - 4..].try_into().unwrap();
        assert_eq!(verdict(&reply), (0, 1, false));
        assert_eq!(std::net::IpAddr::from(address), v4(&b, 0));
        drop(bound);
    });
}

#[test]
fn names_lead_to_containers() {
    on_a_machine(|m| {
        m.network("net");
        let alias = |name: &str| EndpointSpec {
            aliases: vec![name.into()],
            ..on("net")
        };
        let a = m.container("a", &[on("net")]);
        let _dns = serve(m, &a, vec![]);
        // Joined after the server began: no restart, no signal.
        let b = m.container("shop-web-1", &[alias("web")]);
        let reply = dig(&a.netns, &question(1, "WEB", A, None));
        assert_eq!(verdict(&reply), (0, 1, false));
        let address: [u8; 4] = reply[reply.len() - 4..].try_into().unwrap();
        assert_eq!(std::net::IpAddr::from(address), v4(&b, 0));
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, address.into(), 80, PATIENCE).unwrap();
        // Known, but without an IPv6 address: no data, rather than no such name.
        assert_eq!(
            verdict(&dig(&a.netns, &question(2, "web", AAAA, None))),
            (0, 0, false)
        );
        let reversed: Vec<String> = address.iter().rev().map(u8::to_string).collect();
        let name = format!("{}.in-addr.arpa", reversed.join("."));
        let reply = dig(&a.netns, &question(3, &name, PTR, None));
        assert_eq!(verdict(&reply), (0, 1, false));
        assert!(reply.windows(10).any(|w| w == b"shop-web-1"));
        disconnect(&m.store, &id("shop-web-1"), &b.endpoints).unwrap();
        // Nobody has it, and no upstream is there to ask: a failure.
        assert_eq!(verdict(&dig(&a.netns, &question(4, "web", A, None))).0, 2);
    });
}

#[test]
fn many_replicas_go_by_tcp() {
    on_a_machine(|m| {
        m.network("net");
        let a = m.container("a", &[on("net")]);
        for i in 0..40 {
            let endpoint = EndpointSpec {
                aliases: vec!["web".into()],
                ..on("net")
            };
            m.container(&format!("web{i}"), &[endpoint]);
        }
        let _dns = serve(m, &a, vec![]);
        let (code, count, truncated) = verdict(&dig(&a.netns, &question(1, "web", A, None)));
        assert!(code == 0 && truncated && count < 40, "{code} {count}");
        let (_, count, truncated) = verdict(&dig(&a.netns, &question(1, "web", A, Some(4096))));
        assert_eq!((count, truncated), (40, false));
        let reply = a
            .netns
            .visit(|| {
                use std::io::{Read, Write};
                let mut stream = std::net::TcpStream::connect("127.0.0.11:53").unwrap();
                let message = question(9, "web", A, None);
                stream
                    .write_all(&(message.len() as u16).to_be_bytes())
                    .unwrap();
                stream.write_all(&message).unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut reply = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut reply).unwrap();
                reply
            })
            .unwrap();
        assert_eq!(verdict(&reply), (0, 40, false));
        // Different clients begin with different replicas.
        let first = |id| dig(&a.netns, &question(id, "web", A, None))[21 + 12..21 + 16].to_vec();
        let firsts: std::collections::BTreeSet<_> = (0..20).map(|i| first(i * 977)).collect();
        assert!(firsts.len() > 3, "{}", firsts.len());
    });
}

#[test]
fn other_names_go_upstream_from_inside_and_never_from_internal_networks() {
    on_a_machine(|m| {
        let outside = m.outside();
        let upstream = outside
            .visit(|| UdpSocket::bind("203.0.113.1:53").unwrap())
            .unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = upstream.recv_from(&mut buffer) {
                let mut reply = buffer[..length].to_vec();
                reply[2] |= 0x80;
                // NXDOMAIN, to be told from the failures of our own.
                reply[3] = 0x83;
                let _ = upstream.send_to(&reply, client);
            }
        });
        let servers = vec![
            SocketAddr::new(ip("203.0.113.99"), 9),
            SocketAddr::new(ip("203.0.113.1"), 53),
        ];
        m.network("net");
        m.network_with("closed", |s| s.internal = true);
        let a = m.container("a", &[on("net")]);
        let _dns = serve(m, &a, servers[1..].to_vec());
        let reply = dig(&a.netns, &question(77, "example.org", A, Some(1232)));
        assert_eq!((verdict(&reply).0, &reply[..2]), (3, &[0, 77][..]));
        let b = m.container("b", &[on("closed")]);
        let _dns = serve(m, &b, servers);
        assert_eq!(
            verdict(&dig(&b.netns, &question(77, "example.org", A, None))).0,
            2
        );
    });
}

/// A name server that answers nothing and knows whether it was asked.
struct Ear {
    udp: UdpSocket,
    tcp: std::net::TcpListener,
}

impl Ear {
    fn at(address: &str) -> Self {
        let udp = UdpSocket::bind((address, 53)).unwrap();
        let tcp = std::net::TcpListener::bind((address, 53)).unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        Self { udp, tcp }
    }

    /// Whether anything came since it was asked last, or comes in a moment.
    fn heard(&self) -> bool {
        std::thread::sleep(MOMENT);
        let mut heard = false;
        while self.udp.recv(&mut [0; 512]).is_ok() {
            heard = true;
        }
        while self.tcp.accept().is_ok() {
            heard = true;
        }
        heard
    }
}

/// A question that nobody of ours answers, by both transports; gives up soon.
fn ask_in_vain(ns: &NetNs, server: &str) {
    use std::io::Write;
    let message = question(7, "secret.example", A, None);
    let server = SocketAddr::new(ip(server), 53);
    ns.visit(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let _ = socket.send_to(&message, server);
        if let Ok(mut stream) = std::net::TcpStream::connect_timeout(&server, MOMENT) {
            let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
            let _ = stream.write_all(&framed);
            // The connection stays until the other side has had its time.
            std::thread::sleep(MOMENT);
        }
    })
    .unwrap();
}

#[test]
fn internal_networks_ask_nobody_by_no_way() {
    on_a_machine(|m| {
        let outside = m.outside();
        let far = outside.visit(|| Ear::at("203.0.113.1")).unwrap();
        let near = Ear::at("127.0.0.1");
        let heard = || (near.heard(), far.heard());
        let upstreams = || {
            vec![
                "127.0.0.1:53".parse().unwrap(),
                "203.0.113.1:53".parse().unwrap(),
            ]
        };
        m.network("open");
        let net = m.network_with("closed", |s| s.internal = true);

        let a = m.container("a", &[on("closed"), on("open")]);
        let config = Config::new(&m.store, &a.endpoints, &[], upstreams());
        let responder = Responder::bind(&a.netns, config, false).unwrap();
        let handle = responder.handle();
        let _dns = beside(move || responder.run());
        ask_in_vain(&a.netns, "127.0.0.11");
        assert!(heard().0, "with a way out the upstream is asked");
        ask_in_vain(&a.netns, "203.0.113.1");
        assert!(heard().1, "with a way out packets leave");
        // The way out is taken away.
        disconnect_running(
            &m.store,
            &id("a"),
            &a.netns,
            &a.endpoints[1],
            &a.endpoints[..1],
        )
        .unwrap();
        handle.update(Config::new(&m.store, &a.endpoints[..1], &[], upstreams()));
        // What was asked before may still be waited for.
        while heard() != (false, false) {}
        ask_in_vain(&a.netns, "127.0.0.11");
        assert_eq!(heard(), (false, false));

        let b = m.container("b", &[on("closed")]);
        let _dns = serve(m, &b, upstreams());
        ask_in_vain(&b.netns, "127.0.0.11");
        for (name, kind) in [("secret.example", AAAA), ("1.113.0.203.in-addr.arpa", PTR)] {
            assert_eq!(verdict(&dig(&b.netns, &question(8, name, kind, None))).0, 2);
        }
        assert_eq!(heard(), (false, false));
        // By hand, with a route of the container's own, on a machine that forwards everything.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        route_by_hand(&b.netns, &net);
        ask_in_vain(&b.netns, "203.0.113.1");
        assert_eq!(heard(), (false, false));
    });
}

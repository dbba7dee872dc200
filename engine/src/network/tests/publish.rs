//! Published ports, used from the machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::super::publish::{self, Forwarder};
use super::machine::*;
use crate::spec::{PortSpec, Protocol};

fn port(container_port: u16, protocol: Protocol) -> PortSpec {
    PortSpec {
        container_port,
        host_ports: None,
        host_ip: None,
        protocol,
    }
}

/// Publishes a port; gives where it listens.
fn publish(sandbox: &super::super::Sandbox, spec: PortSpec) -> (u16, Beside) {
    let listeners = publish::bind(&[spec]).unwrap();
    let host_port = listeners[0].published().host_port;
    let forwarder = Forwarder::new(listeners, &sandbox.netns, &sandbox.endpoints).unwrap();
    (host_port, beside(move || forwarder.run()))
}

#[test]
fn tcp_in_both_directions_with_half_close() {
    on_a_machine(|m| {
        m.network_with("net", |s| s.internal = true);
        let a = m.container("a", &[on("net")]);
        let listener = a
            .netns
            .visit(|| TcpListener::bind("0.0.0.0:80").unwrap())
            .unwrap();
        // Reads to the end, and only then answers: needs the half-closed connection.
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all).unwrap();
            }
        });
        let (host_port, _serving) = publish(&a, port(80, Protocol::Tcp));
        let sent: Vec<u8> = (0..8_000_000_u32).map(|i| ((i * 7) >> 3) as u8).collect();
        for address in ["127.0.0.1", "::1"] {
            let mut stream = TcpStream::connect(SocketAddr::new(ip(address), host_port)).unwrap();
            stream.write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            assert!(got == sent, "{} of {}", got.len(), sent.len());
        }
    });
}

#[test]
fn a_port_nobody_listens_on_resets() {
    on_a_machine(|m| {
        let a = m.container("a", &[]);
        let (host_port, _serving) = publish(&a, port(80, Protocol::Tcp));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, host_port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn udp_answers_come_from_where_they_were_asked() {
    on_a_machine(|m| {
        let a = m.container("a", &[]);
        let server = a
            .netns
            .visit(|| UdpSocket::bind("0.0.0.0:53").unwrap())
            .unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, client)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..length], client);
            }
        });
        let (host_port, _serving) = publish(&a, port(53, Protocol::Udp));
        for (own, to) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.3"),
            ("::1", "::1"),
        ] {
            for client in 0..3 {
                let socket = UdpSocket::bind(SocketAddr::new(ip(own), 0)).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                // A connected socket takes answers from this address only.
                socket.connect(SocketAddr::new(ip(to), host_port)).unwrap();
                for turn in 0..3_u8 {
                    socket.send(&[client, turn]).unwrap();
                    let mut got = [0; 16];
                    assert_eq!(socket.recv(&mut got).unwrap(), 2);
                    assert_eq!(got[..2], [client, turn]);
                }
            }
        }
    });
}

//! Ports that are published by address translation, used from another machine and from this one.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::super::nft::{Hook, drop_everything, ports};
use super::super::publish::{self, Forwarder, Published, translate};
use super::super::*;
use super::machine::*;
use crate::spec::{EndpointSpec, PortSpec, Protocol};

/// A network that asks for translation.
fn dnat(m: &Machine, name: &str, ipv6: bool) -> Network {
    m.network_with(name, |spec| {
        spec.ipv6 = ipv6;
        spec.driver_opts
            .insert("gantry.network.publish".into(), "dnat".into());
    })
}

struct Served {
    host_port: u16,
    published: Vec<Published>,
    _serving: Beside,
}

/// Publishes port 80 of a container, as its supervisor does.
fn serve(m: &Machine, sandbox: &Sandbox, host_ip: Option<IpAddr>, protocol: Protocol) -> Served {
    let spec = PortSpec {
        container_port: 80,
        host_ports: None,
        host_ip,
        protocol,
    };
    let listeners = publish::bind(&[spec]).unwrap();
    let published: Vec<_> = listeners.iter().map(publish::Listener::published).collect();
    translate(&m.store, &published, &sandbox.endpoints).unwrap();
    let forwarder = Forwarder::new(listeners, &sandbox.netns, &sandbox.endpoints).unwrap();
    Served {
        host_port: published[0].host_port,
        published,
        _serving: beside(move || forwarder.run()),
    }
}

fn translated(m: &Machine) -> usize {
    ports::count(m.store.paths())
}

/// A server that answers each datagram with its sender's address.
fn tell_senders(ns: &NetNs) {
    let socket = ns.visit(|| UdpSocket::bind("[::]:80").unwrap()).unwrap();
    std::thread::spawn(move || {
        while let Ok((_, client)) = socket.recv_from(&mut [0; 9]) {
            let text = client.ip().to_canonical().to_string();
            let _ = socket.send_to(text.as_bytes(), client);
        }
    });
}

fn ask_by_udp(socket: &UdpSocket, to: IpAddr, port: u16) -> io::Result<String> {
    let mut buffer = [0; 99];
    socket.set_read_timeout(Some(MOMENT))?;
    socket.send_to(b"?", SocketAddr::new(to, port))?;
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn a_server_sees_its_clients_addresses() {
    on_a_machine(|m| {
        let outside = m.outside();
        let here = NetNs::current().unwrap();
        dnat(m, "net", true);
        m.network("other");
        let a = m.container("a", &[on("net")]);
        tell_client_addresses(&a.netns, 80, true);
        let served = serve(m, &a, None, Protocol::Tcp);
        let port = served.host_port;
        let seen = |from: &NetNs, at: &str| {
            let text = ask(from, ip(at), port, PATIENCE).unwrap();
            text.parse::<IpAddr>().unwrap().to_canonical().to_string()
        };
        assert_eq!(seen(&outside, "203.0.113.2"), "203.0.113.1");
        assert_eq!(seen(&outside, "fd99::2"), "fd99::1");
        assert_eq!(seen(&here, "203.0.113.2"), "203.0.113.2");
        assert_eq!(seen(&here, "fd99::2"), "fd99::2");
        // The socket of the port serves the rest.
        seen(&here, "127.0.0.1");
        seen(&here, "::1");
        let b = m.container("b", &[on("net")]);
        let c = m.container("c", &[on("other")]);
        seen(&b.netns, "203.0.113.2");
        seen(&c.netns, "203.0.113.2");
        // Again, as after a supervisor was replaced.
        translate(&m.store, &served.published, &a.endpoints).unwrap();
        assert_eq!(translated(m), 2);
        // Not a hole in the network for what was not published.
        ask(&outside, v4(&a, 0), 80, MOMENT).unwrap_err();
        disconnect(&m.store, &id("a"), &a.endpoints).unwrap();
        assert_eq!(translated(m), 0);
    });
}

#[test]
fn a_port_of_one_address_is_at_no_other() {
    on_a_machine(|m| {
        let outside = m.outside();
        dnat(m, "net", false);
        let a = m.container("a", &[on("net")]);
        tell_client_addresses(&a.netns, 80, false);
        let at_one = serve(m, &a, Some(ip("203.0.113.2")), Protocol::Tcp);
        let seen = ask(&outside, ip("203.0.113.2"), at_one.host_port, PATIENCE).unwrap();
        assert_eq!(seen, "203.0.113.1");
        let at_home = serve(m, &a, Some(ip("127.0.0.1")), Protocol::Tcp);
        ask(&outside, ip("203.0.113.2"), at_home.host_port, MOMENT).unwrap_err();
        let here = NetNs::current().unwrap();
        ask(&here, ip("127.0.0.1"), at_home.host_port, PATIENCE).unwrap();
        assert_eq!(translated(m), 1);
    });
}

#[test]
fn datagrams_go_to_who_has_the_port_now() {
    on_a_machine(|m| {
        let outside = m.outside();
        dnat(m, "net", false);
        let a = m.container("a", &[on("net")]);
        tell_senders(&a.netns);
        let served = serve(m, &a, None, Protocol::Udp);
        let to = ip("203.0.113.2");
        let client = outside
            .visit(|| UdpSocket::bind("0.0.0.0:0").unwrap())
            .unwrap();
        let seen = ask_by_udp(&client, to, served.host_port).unwrap();
        assert_eq!(seen, "203.0.113.1");
        let port = served.host_port;
        drop(served);
        disconnect(&m.store, &id("a"), &a.endpoints).unwrap();
        ask_by_udp(&client, to, port).unwrap_err();
        // The same client goes on, to another container that has got the port.
        m.network("plain");
        let b = m.container("b", &[on("plain")]);
        tell_senders(&b.netns);
        let spec = PortSpec {
            container_port: 80,
            host_ports: Some((port, port)),
            host_ip: None,
            protocol: Protocol::Udp,
        };
        let listeners = publish::bind(&[spec]).unwrap();
        let forwarder = Forwarder::new(listeners, &b.netns, &b.endpoints).unwrap();
        let _serving = beside(move || forwarder.run());
        let seen = ask_by_udp(&client, to, port).unwrap();
        assert_eq!(seen, v4(&b, 0).to_string());
    });
}

#[test]
fn who_holds_a_port_takes_it_over_and_dead_members_lose_theirs() {
    on_a_machine(|m| {
        let outside = m.outside();
        m.network_with("small", |spec| {
            spec.driver_opts
                .insert("gantry.network.publish".into(), "dnat".into());
            spec.pools.push(crate::spec::IpamPool {
                subnet: "10.95.0.0/29".into(),
                ip_range: Some("10.95.0.4/31".into()),
                gateway: None,
                reserved: Default::default(),
            });
        });
        let a = m.container("a", &[on("small")]);
        let b = m.container("b", &[on("small")]);
        tell_client_addresses(&b.netns, 80, false);
        let served = serve(m, &a, None, Protocol::Tcp);
        let port = served.host_port;
        // The supervisor of `a` was killed, and `b` got its port.
        translate(&m.store, &served.published, &b.endpoints).unwrap();
        let seen = ask(&outside, ip("203.0.113.2"), port, PATIENCE).unwrap();
        assert_eq!((seen.as_str(), translated(m)), ("203.0.113.1", 1));
        release(&m.store, &id("a"), &a.endpoints).unwrap();
        assert_eq!(translated(m), 1);
        // Nobody has given back what `b` had; the next to need its address does.
        m.container("c", &[on("small")]);
        let endpoints: [EndpointSpec; 1] = [on("small")];
        let owner = id("d");
        let request = Request {
            userns: None,
            owner: &owner,
            process: None,
            name: "d",
            hostname: "d",
            mac_address: None,
            endpoints: &endpoints,
            alive: &|other| other != id("b"),
        };
        connect(&m.store, &request).unwrap();
        assert_eq!(translated(m), 0);
    });
}

#[test]
fn the_machines_firewall_has_its_say() {
    on_a_machine(|m| {
        let outside = m.outside();
        let net = dnat(m, "net", false);
        let a = m.container("a", &[on("net")]);
        tell_client_addresses(&a.netns, 80, false);
        let served = serve(m, &a, None, Protocol::Tcp);
        let from_outside = || {
            let port = served.host_port;
            ask(&outside, ip("203.0.113.2"), port, MOMENT)
        };
        from_outside().unwrap();
        drop_everything("forward", Hook::Forward).unwrap();
        from_outside().unwrap_err();
        let told = net.obstacle().unwrap();
        assert!(told.contains("inet forward FORWARD"), "{told}");
    });
    on_a_machine(|m| {
        let outside = m.outside();
        let net = dnat(m, "net", false);
        drop_everything("filter", Hook::Input).unwrap();
        let a = m.container("a", &[on("net")]);
        tell_client_addresses(&a.netns, 80, false);
        let served = serve(m, &a, None, Protocol::Tcp);
        ask(&outside, ip("203.0.113.2"), served.host_port, MOMENT).unwrap_err();
        assert_eq!(translated(m), 0);
        let told = net.obstacle().unwrap();
        assert!(
            told.contains("`inet filter INPUT`") && told.contains("by `relay`"),
            "{told}"
        );
    });
}

#[test]
fn only_a_way_in_that_is_the_way_out_is_translated() {
    on_a_machine(|m| {
        let _outside = m.outside();
        dnat(m, "net", false);
        m.network("plain");
        m.network_with("closed", |spec| spec.internal = true);
        // A network without a way out is not in the way of the other one.
        for (name, first, expected) in [("a", "plain", 0), ("b", "closed", 1)] {
            let sandbox = m.container(name, &[on(first), on("net")]);
            serve(m, &sandbox, None, Protocol::Tcp);
            assert_eq!(translated(m), expected, "{first}");
        }
        // What another network takes over as the way out is no longer translated.
        let before = translated(m);
        let c = m.container("a", &[on("net")]);
        let served = serve(m, &c, None, Protocol::Tcp);
        assert_eq!(translated(m), before + 1);
        let first = EndpointSpec {
            gw_priority: 1,
            ..on("plain")
        };
        let added = m.connect_running(&c, &[first]).unwrap();
        let all = [c.endpoints.clone(), added].concat();
        translate(&m.store, &served.published, &all).unwrap();
        assert_eq!(translated(m), before);
        let mut spec = store::tests::spec("both");
        spec.internal = true;
        spec.driver_opts
            .insert("gantry.network.publish".into(), "dnat".into());
        let refused = m.store.create(&spec).unwrap_err().to_string();
        assert!(
            refused.contains("gantry.network.publish: dnat"),
            "{refused}"
        );
    });
}

#[test]
fn removing_a_network_or_a_root_ends_its_translations() {
    on_a_machine(|m| {
        let _outside = m.outside();
        dnat(m, "one", false);
        dnat(m, "two", false);
        for name in ["one", "two"] {
            let sandbox = m.container(name, &[on(name)]);
            serve(m, &sandbox, None, Protocol::Tcp);
        }
        assert_eq!(translated(m), 2);
        m.store.remove("one", &|_| false).unwrap();
        assert_eq!(translated(m), 1);
        m.store.dismantle().unwrap();
        assert_eq!(translated(m), 0);
    });
}

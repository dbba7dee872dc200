//! Connecting, leases, bridges.

use super::super::*;
use super::machine::*;
use crate::network::netlink::{Batch, Netlink, link_names};
use crate::spec::EndpointSpec;

fn has_link(name: &str) -> bool {
    Netlink::route().unwrap().link(name).unwrap().is_some()
}

#[test]
fn two_containers_talk_and_leave_nothing() {
    on_a_machine(|m| {
        let net = m.network("net");
        let a = m.container("a", &[on("net")]);
        let b = m.container("b", &[on("net")]);
        tell_client_addresses(&b.netns, 80, false);
        assert_eq!(
            ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap(),
            v4(&a, 0).to_string()
        );
        assert!(has_link(&net.link));
        let refused = m.store.remove("net", &|_| true).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "network `net` is in use by container `a`, container `b`"
        );
        for (name, sandbox) in [("a", &a), ("b", &b)] {
            disconnect(&m.store, &id(name), &sandbox.endpoints).unwrap();
        }
        m.store.remove("net", &|_| true).unwrap();
        assert!(!has_link(&net.link));
    });
}

#[test]
fn the_same_owner_gets_the_same_place_again() {
    on_a_machine(|m| {
        m.network("net");
        let first = m.container("a", &[on("net")]);
        let second = m.container("a", &[on("net")]);
        assert_eq!(first.endpoints[0].ipv4, second.endpoints[0].ipv4);
        assert_eq!(first.endpoints[0].mac, second.endpoints[0].mac);
        drop(first);
        release(&m.store, &id("a"), &[]).unwrap();
        assert!(
            m.store
                .members(&m.store.get("net").unwrap())
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn a_failed_connect_gives_everything_back() {
    on_a_machine(|m| {
        m.network("one");
        let wish = EndpointSpec {
            ipv4: Some("198.51.100.1".parse().unwrap()),
            ..on("bridge")
        };
        m.try_container("a", &[on("one"), wish]).unwrap_err();
        m.try_container("a", &[on("one"), on("missing")])
            .unwrap_err();
        m.try_container("a", &[on("one"), on("one")]).unwrap_err();
        assert!(
            m.store
                .members(&m.store.get("one").unwrap())
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn leases_of_dead_containers_are_taken_back_when_needed() {
    on_a_machine(|m| {
        m.network_with("small", |s| {
            s.pools.push(crate::spec::IpamPool {
                subnet: "10.91.0.0/30".into(),
                ip_range: None,
                gateway: None,
                reserved: Default::default(),
            });
        });
        m.container("a", &[on("small")]);
        let refused = m.try_container("b", &[on("small")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "network `small` has no free address left in 10.91.0.0/30"
        );
        let endpoints = [on("small")];
        let owner = id("b");
        let request = Request {
            userns: None,
            owner: &owner,
            process: None,
            name: "b",
            hostname: "b",
            mac_address: None,
            endpoints: &endpoints,
            alive: &|other| other == id("b"),
        };
        connect(&m.store, &request).unwrap();
    });
}

#[test]
fn interfaces_are_as_asked() {
    on_a_machine(|m| {
        m.network_with("big", |s| {
            s.driver_opts
                .insert("com.docker.network.driver.mtu".into(), "1400".into());
            s.pools.push(crate::spec::IpamPool {
                subnet: "10.92.0.0/24".into(),
                ip_range: None,
                gateway: Some("10.92.0.254".parse().unwrap()),
                reserved: Default::default(),
            });
        });
        let sandbox = m.container(
            "a",
            &[
                EndpointSpec {
                    ipv4: Some("10.92.0.77".parse().unwrap()),
                    mac_address: Some("02:00:00:00:00:07".into()),
                    interface_name: Some("lan0".into()),
                    ..on("big")
                },
                on("bridge"),
            ],
        );
        let endpoint = &sandbox.endpoints[0];
        assert_eq!(
            (endpoint.interface.as_str(), endpoint.mac.as_str()),
            ("lan0", "02:00:00:00:00:07")
        );
        assert_eq!(sandbox.endpoints[1].interface, "eth0");
        let names = sandbox
            .netns
            .visit(|| link_names(&mut Netlink::route().unwrap()).unwrap())
            .unwrap();
        assert!(
            names.iter().any(|(_, n)| n == "lan0") && names.iter().any(|(_, n)| n == "eth0"),
            "{names:?}"
        );
    });
}

#[test]
fn link_local_addresses_come_besides() {
    on_a_machine(|m| {
        m.network("one");
        m.network_with("two", |spec| spec.ipv6 = true);
        let with = |network: &str, addresses: &[&str]| EndpointSpec {
            link_local: addresses.iter().map(|text| ip(text)).collect(),
            ..on(network)
        };
        let a = m.container("a", &[with("one", &["169.254.8.1", "fe80::a"])]);
        let b = m.container("b", &[with("one", &["169.254.8.2"])]);
        tell_client_addresses(&b.netns, 80, false);
        let seen = ask(&a.netns, ip("169.254.8.2"), 80, PATIENCE).unwrap();
        assert_eq!(seen, "169.254.8.1");
        let table = || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let table = a.netns.visit(table).unwrap();
        assert!(table.contains(&format!("fe80{:0>28}", "a")), "{table}");
        let added = m.connect_running(&a, &[with("two", &["169.254.9.1"])]);
        assert_eq!(added.unwrap()[0].interface, "eth1");
        let none = m.try_container("c", &[with("one", &["10.0.0.1"])]);
        assert!(matches!(none, Err(NetworkError::LinkLocal(_))));
    });
}

#[test]
fn networks_come_and_go_while_a_container_runs() {
    on_a_machine(|m| {
        m.network("one");
        m.network("two");
        let a = m.container("a", &[on("one")]);
        let b = m.container("b", &[on("two")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, v4(&b, 0), 80, MOMENT).unwrap_err();
        let endpoints = [on("two")];
        let owner = id("a");
        let request = Request {
            userns: None,
            owner: &owner,
            process: None,
            name: "a",
            hostname: "a",
            mac_address: None,
            endpoints: &endpoints,
            alive: &|_| true,
        };
        let added = connect_running(&m.store, &request, &a.netns, &a.endpoints).unwrap();
        assert_eq!(added[0].interface, "eth1");
        ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap();
        let again = connect_running(&m.store, &request, &a.netns, &added).unwrap_err();
        assert_eq!(
            again.to_string(),
            "the container is already connected to network `two`"
        );
        disconnect_running(&m.store, &owner, &a.netns, &added[0], &a.endpoints).unwrap();
        ask(&a.netns, v4(&b, 0), 80, MOMENT).unwrap_err();
        assert_eq!(
            m.store.members(&m.store.get("two").unwrap()).unwrap().len(),
            1
        );
    });
}

#[test]
fn members_of_a_network_without_icc_are_strangers() {
    on_a_machine(|m| {
        m.network_with("shy", |s| {
            s.driver_opts.insert(
                "com.docker.network.bridge.enable_icc".into(),
                "false".into(),
            );
        });
        let a = m.container("a", &[on("shy")]);
        let b = m.container("b", &[on("shy")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, v4(&b, 0), 80, MOMENT).unwrap_err();
    });
}

#[test]
fn a_subnet_that_was_taken_meanwhile_is_left_to_its_taker() {
    on_a_machine(|m| {
        let net = m.network("net");
        let mut host = Netlink::route().unwrap();
        let mut batch = Batch::default();
        batch.address(1, net.pools[0].gateway, net.pools[0].subnet.prefix());
        host.send(&batch).unwrap();
        let sandbox = m.container("a", &[on("net")]);
        let now = m.store.get("net").unwrap();
        assert!(!now.pools[0].subnet.overlaps(&net.pools[0].subnet));
        assert!(now.pools[0].subnet.contains(v4(&sandbox, 0)));
    });
}

#[test]
fn the_bridge_tells_its_state() {
    on_a_machine(|m| {
        let net = m.network("net");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(BridgeStatus::of(&net)).unwrap(), None);
        let a = m.container("a", &[on("net")]);
        let status = runtime.block_on(BridgeStatus::of(&net)).unwrap().unwrap();
        assert!(status.up);
        assert_eq!(status.ports, [a.endpoints[0].host_interface.clone()]);
    });
}

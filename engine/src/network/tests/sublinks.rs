//! Macvlan and ipvlan networks, on the interface that joins the machine to the world outside.

use super::super::store::tests::spec;
use super::super::*;
use super::machine::*;
use crate::network::netlink::{Batch, Netlink};
use crate::spec::{EndpointSpec, IpamPool, NetworkDriver, NetworkSpec};

fn has_link(name: &str) -> bool {
    Netlink::route().unwrap().link(name).unwrap().is_some()
}

/// A network on `uplink0`, with its subnet; the machine's own address is not given out.
fn lan(driver: NetworkDriver, options: &[(&str, &str)]) -> impl FnOnce(&mut NetworkSpec) {
    let options = options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = options.collect();
    move |spec| {
        spec.driver = driver;
        spec.driver_opts = options;
        spec.pools.push(IpamPool {
            subnet: "203.0.113.0/24".into(),
            ip_range: None,
            gateway: Some(ip("203.0.113.1")),
            reserved: [("machine".to_owned(), ip("203.0.113.2"))].into(),
        });
    }
}

/// Whether the kernel has the driver; says so when it has not, and that it is said to the user.
fn can(m: &Machine, driver: NetworkDriver) -> bool {
    let spec = NetworkSpec {
        driver,
        ..spec("probe")
    };
    match m.store.create(&spec) {
        Ok(_) => {
            m.store.remove("probe", &|_| false).unwrap();
            true
        }
        Err(error) => {
            assert_eq!(
                error.to_string(),
                format!(
                    "this machine's kernel has no `{}`: neither built in nor as a module",
                    driver.name()
                )
            );
            eprintln!("skipped: the kernel has no {}", driver.name());
            false
        }
    }
}

#[test]
fn members_of_a_macvlan_are_on_the_link_of_its_parent() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        let outside = m.outside();
        tell_client_addresses(&outside, 80, false);
        m.network_with("lan", lan(NetworkDriver::Macvlan, &[("parent", "uplink0")]));
        let a = m.container(
            "a",
            &[EndpointSpec {
                ipv4: Some("203.0.113.77".parse().unwrap()),
                mac_address: Some("02:00:00:00:00:77".into()),
                ..on("lan")
            }],
        );
        let b = m.container("b", &[on("lan")]);
        tell_client_addresses(&b.netns, 80, false);
        assert_eq!(a.endpoints[0].mac, "02:00:00:00:00:77");
        // The outside sees a neighbour, not the machine.
        let seen = ask(&a.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap();
        assert_eq!(seen, "203.0.113.77");
        let seen = ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap();
        assert_eq!(seen, "203.0.113.77");
        assert_eq!(
            ask(&outside, v4(&b, 0), 80, PATIENCE).unwrap(),
            "203.0.113.1"
        );
        // The machine and its containers do not see each other.
        let here = NetNs::current().unwrap();
        tell_client_addresses(&here, 81, false);
        ask(&a.netns, ip("203.0.113.2"), 81, MOMENT).unwrap_err();
        ask(&here, v4(&b, 0), 80, MOMENT).unwrap_err();
        // Another container's MAC address is free as soon as it has gone.
        let place = a.endpoints[0].clone();
        drop(a);
        let again = m.container(
            "a",
            &[EndpointSpec {
                ipv4: place.ipv4.map(|(address, _)| address),
                mac_address: Some(place.mac),
                ..on("lan")
            }],
        );
        ask(&again.netns, v4(&b, 0), 80, PATIENCE).unwrap();
        // What was there before stays.
        m.store.remove("lan", &|_| false).unwrap();
        assert!(has_link("uplink0"));
    });
}

#[test]
fn a_private_macvlan_keeps_its_members_apart() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        let outside = m.outside();
        tell_client_addresses(&outside, 80, false);
        let options = [("parent", "uplink0"), ("macvlan_mode", "private")];
        m.network_with("lan", lan(NetworkDriver::Macvlan, &options));
        let a = m.container("a", &[on("lan")]);
        let b = m.container("b", &[on("lan")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap();
        ask(&a.netns, v4(&b, 0), 80, MOMENT).unwrap_err();
    });
}

#[test]
fn a_macvlan_that_passes_through_has_one_member_and_the_parents_address() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        let outside = m.outside();
        tell_client_addresses(&outside, 80, false);
        let options = [("parent", "uplink0"), ("macvlan_mode", "passthru")];
        m.network_with("lan", lan(NetworkDriver::Macvlan, &options));
        let own = EndpointSpec {
            mac_address: Some("02:00:00:00:00:77".into()),
            ..on("lan")
        };
        let refused = m.try_container("a", &[own]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "containers on network `lan` have the MAC address of `uplink0`: none of their own can be given"
        );
        let a = m.container("a", &[on("lan")]);
        ask(&a.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap();
        let refused = m.try_container("b", &[on("lan")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "network `lan` (`macvlan_mode: passthru`) has room for one container, and `a` is on it"
        );
        disconnect(&m.store, &id("a"), &a.endpoints).unwrap();
        drop(a);
        let b = m.container("b", &[on("lan")]);
        ask(&b.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap();
        let second = lan(NetworkDriver::Macvlan, &[("parent", "uplink0")]);
        let mut spec = spec("second");
        second(&mut spec);
        let refused = m.store.create(&spec).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "interface `uplink0` is the parent of network `lan`, which does not share it"
        );
    });
}

#[test]
fn without_a_parent_members_have_only_each_other() {
    for driver in [NetworkDriver::Macvlan, NetworkDriver::Ipvlan] {
        on_a_machine(move |m| {
            if !can(m, driver) {
                return;
            }
            let outside = m.outside();
            tell_client_addresses(&outside, 80, false);
            let net = m.network_with("own", |spec| spec.driver = driver);
            assert!(net.internal && !has_link(&net.link), "{net:?}");
            let a = m.container("a", &[on("own")]);
            let b = m.container("b", &[on("own")]);
            assert!(has_link(&net.link));
            tell_client_addresses(&b.netns, 80, false);
            ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap();
            ask(&a.netns, ip("203.0.113.1"), 80, MOMENT).unwrap_err();
            // With `internal` a parent has no say.
            let closed = m.network_with("closed", |spec| {
                lan(driver, &[("parent", "uplink0")])(spec);
                spec.internal = true;
            });
            let warning = closed.obstacle().unwrap();
            assert!(warning.contains("`uplink0` is not used"), "{warning}");
            let c = m.container("c", &[on("closed")]);
            ask(&c.netns, ip("203.0.113.1"), 80, MOMENT).unwrap_err();
            m.store.dismantle().unwrap();
            assert!(!has_link(&net.link) && !has_link(&closed.link));
            assert!(has_link("uplink0"));
            // Made again by the next to come.
            m.container("d", &[on("own")]);
            m.store.remove("own", &|_| false).unwrap();
            assert!(!has_link(&net.link));
        });
    }
}

#[test]
fn ipvlan_members_share_the_parents_address() {
    for mode in ["l2", "l3", "l3s"] {
        on_a_machine(move |m| {
            if !can(m, NetworkDriver::Ipvlan) {
                return;
            }
            let outside = m.outside();
            tell_client_addresses(&outside, 80, false);
            let options = [("parent", "uplink0"), ("ipvlan_mode", mode)];
            let routed = mode != "l2";
            m.network_with("lan", |spec| {
                lan(NetworkDriver::Ipvlan, &options)(spec);
                if routed {
                    // Nobody answers for a member's address: the outside knows the way to their subnet.
                    spec.pools[0] = IpamPool {
                        subnet: "10.95.0.0/24".into(),
                        ip_range: None,
                        gateway: None,
                        reserved: Default::default(),
                    };
                    let route = || {
                        let mut inside = Netlink::route().unwrap();
                        let (index, _) = inside.link("out0").unwrap().unwrap();
                        let mut batch = Batch::default();
                        batch.default_route(index, ip("203.0.113.2"));
                        inside.send(&batch).unwrap();
                    };
                    outside.visit(route).unwrap();
                }
            });
            let a = m.container("a", &[on("lan")]);
            let b = m.container("b", &[on("lan")]);
            assert_eq!(a.endpoints[0].mac, b.endpoints[0].mac);
            assert_eq!(a.endpoints[0].gateway4.is_some(), mode == "l2");
            tell_client_addresses(&b.netns, 80, false);
            let own = v4(&a, 0).to_string();
            for server in [v4(&b, 0), ip("203.0.113.1")] {
                let told = ask(&a.netns, server, 80, PATIENCE);
                assert_eq!(told.expect(mode), own, "{mode}");
            }
            // The address is free as soon as its owner has gone.
            drop(a);
            let again = m.container("a", &[on("lan")]);
            ask(&again.netns, v4(&b, 0), 80, PATIENCE).unwrap();
        });
    }
}

#[test]
fn a_vlan_is_made_when_it_is_missing_and_goes_with_its_last_network() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        let _outside = m.outside();
        let vlan = |name: &str, subnet: &str| {
            let mut spec = spec(name);
            spec.driver = NetworkDriver::Macvlan;
            spec.driver_opts = [("parent".to_owned(), "uplink0.10".to_owned())].into();
            spec.pools.push(IpamPool {
                subnet: subnet.into(),
                ip_range: None,
                gateway: None,
                reserved: Default::default(),
            });
            spec
        };
        match m.store.create(&vlan("one", "10.94.1.0/24")) {
            Err(error) => {
                let text = error.to_string();
                assert_eq!(
                    text,
                    "this machine's kernel has no `8021q`: neither built in nor as a module"
                );
                eprintln!("skipped: {text}");
                return;
            }
            Ok(made) => assert_eq!(made.link, "uplink0.10"),
        }
        m.store.create(&vlan("two", "10.94.2.0/24")).unwrap();
        let a = m.container("a", &[on("one")]);
        let b = m.container("b", &[on("one")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap();
        m.store.remove("one", &|_| false).unwrap();
        assert!(has_link("uplink0.10"));
        m.store.remove("two", &|_| false).unwrap();
        assert!(!has_link("uplink0.10") && has_link("uplink0"));
    });
}

#[test]
fn parents_that_are_not_there_are_refused() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        for parent in ["nope0", "nope0.10", "lo.4095"] {
            let mut spec = spec("lan");
            spec.driver = NetworkDriver::Macvlan;
            spec.driver_opts = [("parent".to_owned(), parent.to_owned())].into();
            let error = m.store.create(&spec).unwrap_err().to_string();
            let begin = format!("no interface `{parent}` on this machine to be a parent; ");
            assert!(error.starts_with(&begin), "{error}");
        }
    });
}

#[test]
fn a_running_container_joins_and_leaves_a_macvlan() {
    on_a_machine(|m| {
        if !can(m, NetworkDriver::Macvlan) {
            return;
        }
        let outside = m.outside();
        tell_client_addresses(&outside, 80, false);
        m.network_with("closed", |spec| spec.internal = true);
        m.network_with("lan", lan(NetworkDriver::Macvlan, &[("parent", "uplink0")]));
        let a = m.container("a", &[on("closed")]);
        let owner = id("a");
        let endpoints = [on("lan")];
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
        let own = added[0].ipv4.unwrap().0.to_string();
        assert_eq!(ask(&a.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap(), own);
        disconnect_running(&m.store, &owner, &a.netns, &added[0], &a.endpoints).unwrap();
        ask(&a.netns, ip("203.0.113.1"), 80, MOMENT).unwrap_err();
        let net = m.store.get("lan").unwrap();
        assert!(m.store.members(&net).unwrap().is_empty());
    });
}

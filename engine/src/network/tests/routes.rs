//! Ways out, and ways that must be closed.

use super::super::*;
use super::machine::*;
use crate::network::netlink::{Batch, Netlink};
use crate::spec::EndpointSpec;

#[test]
fn containers_reach_out_under_the_machines_address() {
    on_a_machine(|m| {
        let outside = m.outside();
        m.network("net");
        let a = m.container("a", &[on("net")]);
        tell_client_addresses(&outside, 80, false);
        assert_eq!(
            ask(&a.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap(),
            "203.0.113.2"
        );
        // Not by turning the whole machine into a router.
        let forward = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!(forward.trim(), "0");
    });
}

#[test]
fn ipv6_reaches_out_too() {
    on_a_machine(|m| {
        let outside = m.outside();
        m.network_with("six", |s| s.ipv6 = true);
        let a = m.container("a", &[on("six")]);
        let b = m.container("b", &[on("six")]);
        let b6 = b.endpoints[0].ipv6.unwrap().0.into();
        tell_client_addresses(&b.netns, 81, true);
        let a6 = a.endpoints[0].ipv6.unwrap().0.to_string();
        assert_eq!(ask(&a.netns, b6, 81, PATIENCE).unwrap(), a6);
        tell_client_addresses(&outside, 80, true);
        assert_eq!(
            ask(&a.netns, ip("fd99::1"), 80, PATIENCE).unwrap(),
            "fd99::2"
        );
    });
}

#[test]
fn internal_networks_have_no_way_out_even_with_a_route() {
    on_a_machine(|m| {
        let outside = m.outside();
        tell_client_addresses(&outside, 80, false);
        m.network("open");
        let net = m.network_with("closed", |s| s.internal = true);
        let open = m.container("open1", &[on("open")]);
        ask(&open.netns, ip("203.0.113.1"), 80, PATIENCE).unwrap();
        let a = m.container("a", &[on("closed")]);
        ask(&a.netns, ip("203.0.113.1"), 80, MOMENT).unwrap_err();
        // A container with the right to change its routes gets no further.
        route_by_hand(&a.netns, &net);
        ask(&a.netns, ip("203.0.113.1"), 80, MOMENT).unwrap_err();
        let b = m.container("b", &[on("closed")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, v4(&b, 0), 80, PATIENCE).unwrap();
    });
}

#[test]
fn networks_are_isolated_from_each_other_and_from_neighbours() {
    on_a_machine(|m| {
        let outside = m.outside();
        m.network("one");
        m.network("two");
        let a = m.container("a", &[on("one")]);
        let b = m.container("b", &[on("two")]);
        tell_client_addresses(&b.netns, 80, false);
        ask(&a.netns, v4(&b, 0), 80, MOMENT).unwrap_err();
        // A neighbour that routes into our subnet by the machine.
        outside
            .visit(|| {
                let mut batch = Batch::default();
                let mut outside = Netlink::route().unwrap();
                let (index, _) = outside.link("out0").unwrap().unwrap();
                batch.default_route(index, ip("203.0.113.2"));
                outside.send(&batch).unwrap();
            })
            .unwrap();
        ask(&outside, v4(&b, 0), 80, MOMENT).unwrap_err();
        // A container on both is in neither's way.
        let both = m.container("c", &[on("one"), on("two")]);
        ask(&both.netns, v4(&b, 0), 80, PATIENCE).unwrap();
    });
}

#[test]
fn removing_a_network_forgets_its_rules() {
    on_a_machine(|m| {
        let net = m.network("net");
        let a = m.container("a", &[on("net")]);
        disconnect(&m.store, &id("a"), &a.endpoints).unwrap();
        m.store.remove("net", &|_| false).unwrap();
        // Elements that are gone cannot be removed again, which is no error.
        nft::remove(m.store.paths(), &net).unwrap();
        nft::remove_tables(m.store.paths()).unwrap();
        nft::remove_tables(m.store.paths()).unwrap();
        assert_eq!(net.obstacle(), None);
    });
}

#[test]
fn a_firewall_that_drops_is_told() {
    on_a_machine(|m| {
        let net = m.network("net");
        nft::drop_everything("filter", nft::Hook::Forward).unwrap();
        let text = net.obstacle().unwrap();
        assert!(
            text.contains("inet filter FORWARD") && text.contains(&net.link),
            "{text}"
        );
    });
}

/// The interfaces of the IPv4 and IPv6 default routes. A read of the table skips routes when the
/// kernel adds others of its own accord meanwhile, so what counts is what was read twice.
fn default_routes(netns: &NetNs) -> [Option<String>; 2] {
    let mut routes = default_routes_read(netns);
    loop {
        let again = default_routes_read(netns);
        if again == routes {
            return routes;
        }
        routes = again;
    }
}

fn default_routes_read(netns: &NetNs) -> [Option<String>; 2] {
    let table = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
    let (v4, v6) = netns
        .visit(|| (table("route"), table("ipv6_route")))
        .unwrap();
    let fields =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let v4 = v4.unwrap().lines().map(fields).find(|f| f[1] == "00000000");
    // The reject route of an empty table is one, too.
    let leads = |f: &Vec<String>| f[1] == "00" && f[4] != "0".repeat(32);
    let v6 = v6.unwrap().lines().map(fields).find(leads);
    [v4.map(|f| f[0].clone()), v6.map(|f| f[9].clone())]
}

#[test]
fn each_familys_default_route_goes_by_the_highest_priority() {
    on_a_machine(|m| {
        m.network("one");
        m.network("two");
        m.network_with("inside", |spec| spec.internal = true);
        m.network_with("six", |spec| spec.ipv6 = true);
        let of = |network: &str, gw_priority| EndpointSpec {
            gw_priority,
            ..on(network)
        };
        let routes = |endpoints: &[EndpointSpec]| {
            let routes = default_routes(&m.container("a", endpoints).netns);
            disconnect_all(m);
            routes.map(|name| name.unwrap_or_default())
        };
        assert_eq!(routes(&[of("one", 0), of("two", 0)]), ["eth0", ""]);
        assert_eq!(routes(&[of("one", -1), of("two", 0)]), ["eth1", ""]);
        assert_eq!(routes(&[of("inside", 9), of("two", 0)]), ["eth1", ""]);
        assert_eq!(routes(&[of("one", 1), of("six", 0)]), ["eth0", "eth1"]);
        assert_eq!(routes(&[of("inside", 9)]), ["", ""]);
    });
}

fn disconnect_all(m: &Machine) {
    release(&m.store, &id("a"), &[]).unwrap();
}

#[test]
fn the_default_route_follows_networks_that_come_and_go() {
    on_a_machine(|m| {
        m.network("one");
        m.network("two");
        let a = m.container("a", &[on("one")]);
        let owner = id("a");
        let low = [EndpointSpec {
            gw_priority: -1,
            ..on("two")
        }];
        let added = m.connect_running(&a, &low).unwrap();
        assert_eq!(default_routes(&a.netns)[0].as_deref(), Some("eth0"));
        disconnect_running(&m.store, &owner, &a.netns, &added[0], &a.endpoints).unwrap();
        assert_eq!(default_routes(&a.netns)[0].as_deref(), Some("eth0"));
        let high = [EndpointSpec {
            gw_priority: 1,
            ..on("two")
        }];
        let added = m.connect_running(&a, &high).unwrap();
        assert_eq!(default_routes(&a.netns)[0].as_deref(), Some("eth1"));
        disconnect_running(&m.store, &owner, &a.netns, &added[0], &a.endpoints).unwrap();
        assert_eq!(default_routes(&a.netns)[0].as_deref(), Some("eth0"));
    });
}

#[test]
fn an_interface_with_a_setting_that_is_none_is_not_left_behind() {
    on_a_machine(|m| {
        m.network("one");
        m.network("two");
        let a = m.container("a", &[on("one")]);
        let setting = |name: &str| {
            let key = format!("net.ipv4.conf.IFNAME.{name}");
            let sysctls = [(key, "1".to_owned())].into();
            [EndpointSpec {
                sysctls,
                ..on("two")
            }]
        };
        let try_it = |endpoints: &[EndpointSpec]| m.connect_running(&a, endpoints);
        let eth1 = "/proc/sys/net/ipv4/conf/eth1";
        let error = try_it(&setting("nothing")).unwrap_err();
        assert!(
            matches!(error, NetworkError::InterfaceSetting { .. }),
            "{error}"
        );
        assert!(
            !a.netns
                .visit(|| std::path::Path::new(eth1).exists())
                .unwrap()
        );
        try_it(&setting("log_martians")).unwrap();
        let value = || std::fs::read_to_string(format!("{eth1}/log_martians")).unwrap();
        assert_eq!(a.netns.visit(value).unwrap(), "1\n");
    });
}

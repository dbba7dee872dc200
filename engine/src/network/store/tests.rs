use std::collections::BTreeMap;

use super::*;
use crate::network::{Cidr, Pool, Publish};
use crate::spec::IpamPool;
use crate::sys::ProcessRef;

/// A record for pure tests.
pub(in crate::network) fn network(subnet: &str, range: Option<&str>) -> Network {
    let subnet: Cidr = subnet.parse().unwrap();
    Network {
        id: "0".repeat(64),
        name: "net".into(),
        created: jiff::Timestamp::UNIX_EPOCH,
        driver: NetworkDriver::Bridge,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
        internal: false,
        attachable: false,
        ipv4: true,
        ipv6: false,
        pools: vec![Pool {
            subnet,
            ip_range: range.map(|r| r.parse().unwrap()),
            gateway: subnet.nth(1).unwrap(),
            reserved: BTreeMap::new(),
            automatic: false,
        }],
        link: "gt-000000000000".into(),
        mtu: None,
        masquerade: true,
        publish: Publish::Relay,
        icc: true,
    }
}

/// What callers ask for when they say nothing.
pub(in crate::network) fn spec(name: &str) -> NetworkSpec {
    NetworkSpec {
        name: name.into(),
        driver: NetworkDriver::Bridge,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
        internal: false,
        attachable: false,
        ipv4: true,
        ipv6: false,
        pools: vec![],
    }
}

fn store() -> (tempfile::TempDir, NetworkStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = NetworkStore::open(&Paths::below(dir.path()));
    (dir, store)
}

#[test]
fn makes_finds_lists_and_removes() {
    let (_dir, store) = store();
    let made = store.create(&spec("one")).unwrap();
    assert_eq!(made.link.len(), 15);
    assert!(matches!(
        store.create(&spec("one")),
        Err(NetworkError::Exists(_))
    ));
    for reference in ["one", &made.id, &made.id[..12]] {
        assert_eq!(store.get(reference).unwrap(), made);
    }
    let names: Vec<_> = store.list().unwrap().into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["one", "bridge"]);
    assert!(matches!(
        store.remove("bridge", &|_| false),
        Err(NetworkError::BuiltIn(_))
    ));
    store.remove("one", &|_| false).unwrap();
    assert!(matches!(store.get("one"), Err(NetworkError::NotFound(_))));
    assert!(matches!(store.get("../x"), Err(NetworkError::NotFound(_))));
    store.create(&spec("one")).unwrap();
}

#[test]
fn a_network_in_use_names_its_members() {
    let (_dir, store) = store();
    let net = store.create(&spec("one")).unwrap();
    let wish = super::super::members::Wish {
        owner: "abc",
        name: "web",
        aliases: &[],
        ipv4: None,
        ipv6: None,
        mac: None,
        process: None,
    };
    let _lock = store.lock(&net.id).unwrap();
    let mut members = Members::default();
    members.join(&net, &wish).unwrap();
    members.write(&store.members_path(&net.id)).unwrap();
    drop(_lock);
    let error = store.remove("one", &|owner| owner == "abc").unwrap_err();
    assert_eq!(
        error.to_string(),
        "network `one` is in use by container `web`"
    );
    store.remove("one", &|_| false).unwrap();
}

#[test]
fn who_is_no_container_lives_as_long_as_its_process() {
    let (_dir, store) = store();
    let net = store.create(&spec("one")).unwrap();
    let ours = ProcessRef::of(std::process::id() as i32).unwrap();
    let dead = ProcessRef {
        start_time: ours.start_time + 1,
        ..ours
    };
    let join = |process| {
        let wish = super::super::members::Wish {
            owner: "abc",
            name: "step",
            aliases: &[],
            ipv4: None,
            ipv6: None,
            mac: None,
            process: Some(process),
        };
        let mut members = Members::default();
        members.join(&net, &wish).unwrap();
        let _lock = store.lock(&net.id).unwrap();
        members.write(&store.members_path(&net.id)).unwrap();
    };
    join(ours);
    let error = store.remove("one", &|_| false).unwrap_err();
    assert!(error.to_string().contains("`step`"), "{error}");
    join(dead);
    store.remove("one", &|_| true).unwrap();
}

#[test]
fn subnets_never_overlap() {
    let (_dir, store) = store();
    let mut pools: Vec<Cidr> = Vec::new();
    for i in 0..40 {
        let net = store.create(&spec(&format!("n{i}"))).unwrap();
        assert!(pools.iter().all(|p| !p.overlaps(&net.pools[0].subnet)));
        pools.push(net.pools[0].subnet);
    }
    let mut asked = spec("asked");
    asked.pools.push(IpamPool {
        subnet: pools[3].to_string(),
        ip_range: None,
        gateway: None,
        reserved: BTreeMap::new(),
    });
    let error = store.create(&asked).unwrap_err().to_string();
    assert!(error.ends_with("overlaps with network `n3`"), "{error}");
    asked.pools[0].subnet = "127.0.0.0/24".into();
    let error = store.create(&asked).unwrap_err().to_string();
    assert!(error.ends_with("overlaps with interface `lo`"), "{error}");
}

#[test]
fn wrong_requests_are_refused_by_name() {
    let (_dir, store) = store();
    let pool = |subnet: &str| IpamPool {
        subnet: subnet.into(),
        ip_range: None,
        gateway: None,
        reserved: BTreeMap::new(),
    };
    let cases: Vec<(NetworkSpec, &str)> = vec![
        (spec("-x"), "network name `-x` is invalid"),
        (spec("host"), "`host` is a network mode"),
        (
            NetworkSpec {
                driver_opts: [("foo".into(), "1".into())].into(),
                ..spec("a")
            },
            "driver option `foo` is not supported with driver `bridge`",
        ),
        (
            NetworkSpec {
                driver_opts: [("mtu".into(), "7".into())].into(),
                ..spec("a")
            },
            "driver option `mtu: 7` is invalid",
        ),
        (
            NetworkSpec {
                pools: vec![pool("10.300.0.0/24")],
                ..spec("a")
            },
            "`10.300.0.0/24` is not a subnet",
        ),
        (
            NetworkSpec {
                pools: vec![pool("10.7.0.0/32")],
                ..spec("a")
            },
            "subnet 10.7.0.0/32 is too small",
        ),
        (
            NetworkSpec {
                pools: vec![pool("fd07::/64")],
                ..spec("a")
            },
            "a pool for IPv6 is given, but",
        ),
        (
            NetworkSpec {
                ipv4: false,
                ..spec("a")
            },
            "a network needs IPv4 or IPv6",
        ),
        (
            NetworkSpec {
                pools: vec![pool("10.7.0.0/24"), pool("10.8.0.0/24")],
                ..spec("a")
            },
            "more than one IPv4 pool",
        ),
    ];
    for (spec, expected) in cases {
        let error = store.create(&spec).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

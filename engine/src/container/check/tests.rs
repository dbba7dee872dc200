use super::*;
use crate::spec::{LogSpec, MountKind, MountSpec, TmpfsOptions, Ulimit};

fn machine() -> Machine {
    Machine {
        cpus: 2,
        cpu_list: "0-1".to_owned(),
        node_list: "0".to_owned(),
    }
}

fn places(spec: &ContainerSpec) -> Vec<Place> {
    check(spec).into_iter().map(|found| found.place).collect()
}

#[test]
fn a_plain_container_is_right() {
    let spec = ContainerSpec {
        command: Some(vec!["true".to_owned()]),
        working_dir: Some("/srv".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        expose: ["80", "53/udp", "8000-8010"].map(str::to_owned).to_vec(),
        mac_address: Some("02:42:ac:11:00:02".to_owned()),
        ..ContainerSpec::default()
    };
    assert_eq!(check(&spec), []);
}

#[test]
fn a_share_of_the_cpus_is_one_that_the_machine_has() {
    let refused = |cpus| {
        let asked = Resources {
            cpus,
            ..Resources::default()
        };
        beyond(&machine(), &asked).map(|problem| problem.message)
    };
    for possible in [None, Some(0.01), Some(0.5), Some(2.0)] {
        assert_eq!(refused(possible), None, "{possible:?}");
    }
    for impossible in [0.009, 2.01, 64.0, f64::INFINITY, f64::NAN] {
        let message = refused(Some(impossible)).expect("refused");
        assert!(message.contains("0.01 to 2.00"), "{message}");
    }
}

#[test]
fn only_cpus_and_nodes_that_the_machine_has() {
    let refused = |cpus: &str, mems: &str| {
        let asked = Resources {
            cpuset_cpus: Some(cpus.to_owned()),
            cpuset_mems: Some(mems.to_owned()),
            ..Resources::default()
        };
        beyond(&machine(), &asked).map(|problem| problem.place)
    };
    assert_eq!(refused("0-1", "0"), None);
    assert_eq!(refused("1", "0"), None);
    let cpus = Some(Place::Option("cpuset_cpus"));
    assert_eq!(refused("9", "0"), cpus);
    assert_eq!(refused("0-2", "0"), cpus);
    let mems = Some(Place::Option("cpuset_mems"));
    assert_eq!(refused("0", "4"), mems);
}

#[test]
fn limits_are_what_the_kernel_takes() {
    let refused = |asked: Resources| {
        let found = limits(&asked).into_iter().next();
        found.map(|problem| problem.place)
    };
    let memory = |memory_reservation| Resources {
        memory: Some(64 << 20),
        memory_reservation: Some(memory_reservation),
        ..Resources::default()
    };
    assert_eq!(refused(memory(64 << 20)), None);
    let place = Some(Place::Option("memory_reservation"));
    assert_eq!(refused(memory(65 << 20)), place);
    for (swappiness, right) in [(0, true), (100, true), (101, false)] {
        let asked = Resources {
            memory_swappiness: Some(swappiness),
            ..Resources::default()
        };
        assert_eq!(refused(asked).is_none(), right, "{swappiness}");
    }
    for (period, right) in [(0, true), (999, false), (1000, true), (1_000_001, false)] {
        let asked = Resources {
            cpu_period: Some(period),
            ..Resources::default()
        };
        assert_eq!(refused(asked).is_none(), right, "{period}");
    }
    for (quota, right) in [
        (-2, false),
        (-1, true),
        (0, true),
        (999, false),
        (1000, true),
    ] {
        let asked = Resources {
            cpu_quota: Some(quota),
            ..Resources::default()
        };
        assert_eq!(refused(asked).is_none(), right, "{quota}");
    }
}

#[test]
fn what_the_owner_of_a_network_decides_is_refused() {
    let mut spec = ContainerSpec {
        network: NetworkMode::Container("other".to_owned()),
        hostname: Some("h".to_owned()),
        mac_address: Some("02:42:ac:11:00:02".to_owned()),
        publish_all: true,
        expose: vec!["80".to_owned()],
        ..ContainerSpec::default()
    };
    spec.dns.search.push("example.com".to_owned());
    let expected = ["hostname", "dns", "mac_address", "ports", "expose"].map(Place::Shared);
    assert_eq!(places(&spec), expected);
    spec.network = NetworkMode::default();
    assert_eq!(places(&spec), []);
}

#[test]
fn two_mounts_at_one_place_are_refused() {
    let tmpfs = |target: &str| MountSpec {
        target: target.to_owned(),
        kind: MountKind::Tmpfs(TmpfsOptions::default()),
        read_only: false,
    };
    let spec = ContainerSpec {
        mounts: ["/v", "/v/w", "//v/."].map(tmpfs).to_vec(),
        ..ContainerSpec::default()
    };
    assert_eq!(places(&spec), [Place::Mount("//v/.".to_owned())]);
}

#[test]
fn ranges_of_exposed_ports_are_their_ports() {
    let ports = ["90/udp", "91/udp", "92/udp"].map(str::to_owned).to_vec();
    assert_eq!(exposed_ports("90-92/udp"), Some(ports));
    assert_eq!(exposed_ports("80"), Some(vec!["80/tcp".to_owned()]));
    assert_eq!(exposed_ports("92-90"), None);
}

#[test]
fn every_wrong_option_is_found_with_its_place() {
    let mut spec = ContainerSpec {
        command: Some(vec!["a\0b".to_owned()]),
        env: [(String::new(), Some("x".to_owned()))]
            .into_iter()
            .collect(),
        working_dir: Some("here".to_owned()),
        hostname: Some("h".repeat(65)),
        stop_signal: Some("SIGNOTHING".to_owned()),
        log: LogSpec {
            options: [("tags".to_owned(), "x".to_owned())].into(),
            ..LogSpec::default()
        },
        mac_address: Some("zz".to_owned()),
        expose: ["x", "0", "9-8", "80/icmp"].map(str::to_owned).to_vec(),
        device_cgroup_rules: vec!["bogus".to_owned()],
        ..ContainerSpec::default()
    };
    for target in ["there", "/", "//./"] {
        spec.mounts.push(MountSpec {
            target: target.to_owned(),
            kind: MountKind::Tmpfs(TmpfsOptions::default()),
            read_only: false,
        });
    }
    spec.security.cap_add = vec!["NET_ADMIN".to_owned(), "NOTHING".to_owned()];
    spec.sysctls
        .insert("kernel.panic".to_owned(), "1".to_owned());
    spec.ulimits
        .insert("nofile".to_owned(), Ulimit { soft: 2, hard: 1 });
    spec.resources.memory = Some(5);
    spec.resources.cpuset_cpus = Some("3-1".to_owned());
    spec.resources.block_io.weight = Some(5);
    let expected = [
        Place::Option("command"),
        Place::Key("env", String::new()),
        Place::Option("working_dir"),
        Place::Option("hostname"),
        Place::Option("stop_signal"),
        Place::Key("log", "tags".to_owned()),
        Place::Mount("there".to_owned()),
        Place::Mount("/".to_owned()),
        Place::Mount("//./".to_owned()),
        Place::Option("mac_address"),
        Place::Item("expose", 0),
        Place::Item("expose", 1),
        Place::Item("expose", 2),
        Place::Item("expose", 3),
        Place::Item("cap_add", 1),
        Place::Key("sysctls", "kernel.panic".to_owned()),
        Place::Item("device_cgroup_rules", 0),
        Place::Option("memory"),
        Place::Option("cpuset_cpus"),
        Place::Option("block_io_weight"),
        Place::Key("ulimits", "nofile".to_owned()),
    ];
    assert_eq!(places(&spec), expected);
}

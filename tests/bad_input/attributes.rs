//! Attributes of a service with a wrong value: refused at the value, before anything is made.

use super::{UP, refuse, service};
use crate::support::Sandbox;

/// Attribute, the column that is pointed at, what must be said.
type Row = (&'static str, usize, &'static [&'static str]);

/// Every attribute is the fourth line of its file.
#[track_caller]
fn check(table: &[Row]) {
    let sandbox = Sandbox::new();
    for (attribute, column, pieces) in table {
        let place = format!("compose.yaml:4:{column}");
        let pieces: Vec<&str> = [place.as_str()].iter().chain(*pieces).copied().collect();
        refuse(&sandbox, service(attribute).as_bytes(), UP, 1, &pieces);
    }
    assert!(sandbox.has_no_container());
}

/// Ports, networks, names.
const PORTS_AND_NETWORKS: &[Row] = &[
    ("ports: [\"99999:80\"]", 13, &["99999", "from 1 to 65535"]),
    ("ports: [\"8000-8002:80-81\"]", 13, &["different lengths"]),
    ("ports: [\"1.2.3.999:80:80\"]", 13, &["not an IP address"]),
    ("ports: [\"80:80/x\"]", 13, &["`x` is not a protocol"]),
    ("ports: [{ target: 0 }]", 13, &["`0` is not a port"]),
    ("expose: [x]", 14, &["`x` is not a port"]),
    ("expose: [\"9-8\"]", 14, &["`9-8` is not a port"]),
    (
        "networks: [lan]",
        16,
        &["undefined network lan", "add `lan:`"],
    ),
    (
        "networks: { default: { ipv4_address: 300.1.1.1 } }",
        42,
        &["300.1.1.1"],
    ),
    (
        "networks: { default: { mac_address: zz } }",
        41,
        &["unicast MAC"],
    ),
    ("mac_address: zz", 18, &["unicast MAC"]),
    ("network_mode: service:db", 19, &["\"db\""]),
    ("extra_hosts: [\"a:notip\"]", 19, &["is not an IP address"]),
    ("dns: [notip]", 11, &["`notip` is not an IP address"]),
];

#[test]
fn wrong_ports_and_networks_are_refused_at_their_place() {
    check(PORTS_AND_NETWORKS);
}

/// Volumes, temporary file systems, secrets and configs.
const FILES: &[Row] = &[
    (
        "volumes: [\"data:/x\"]",
        15,
        &["undefined volume data", "add `data:`"],
    ),
    (
        "volumes: [\"./a:relative\"]",
        15,
        &["`relative` is not an absolute path"],
    ),
    ("volumes: [\"./a:/\"]", 15, &["over the container's root"]),
    ("volumes: [\"/a:/b:ro:z:q\"]", 15, &["too many colons"]),
    (
        "volumes: [{ type: bogus, target: /x }]",
        23,
        &["`bogus`", "`bind`"],
    ),
    (
        "tmpfs: [relative]",
        13,
        &["`relative` is not an absolute path"],
    ),
    ("tmpfs: [/]", 13, &["over the container's root"]),
    ("tmpfs: [\"/x:size=abc\"]", 13, &["size=abc"]),
    (
        "secrets: [token]",
        15,
        &["undefined secret token", "add `token:`"],
    ),
    (
        "configs: [thing]",
        15,
        &["undefined config thing", "add `thing:`"],
    ),
];

#[test]
fn wrong_files_are_refused_at_their_place() {
    check(FILES);
}

/// Limits of the machine's resources.
const LIMITS: &[Row] = &[
    ("mem_limit: lots", 16, &["invalid size `lots`", "`512m`"]),
    ("mem_limit: -5", 16, &["cannot be negative"]),
    ("mem_limit: 1k", 16, &["6 MiB"]),
    ("shm_size: 5q", 15, &["invalid size `5q`"]),
    ("cpus: many", 11, &["must be a number"]),
    ("cpus: 99999", 11, &["0.01 to", "CPUs available"]),
    (
        "deploy: { resources: { limits: { cpus: \"99999\" } } }",
        44,
        &["0.01 to", "CPUs available"],
    ),
    ("cpuset: a-b", 13, &["`a-b` is not a list of numbers"]),
    ("pids_limit: x", 17, &["must be an integer"]),
    ("blkio_config: { weight: 5 }", 29, &["between 10 and 1000"]),
    ("oom_score_adj: 5000", 20, &["between -1000 and 1000"]),
    (
        "sysctls: { kernel.panic: 1 }",
        30,
        &["kernel.panic", "would change the host"],
    ),
    (
        "ulimits: { nofile: { soft: 9, hard: 5 } }",
        16,
        &["above the hard limit"],
    ),
    ("ulimits: { bogus: 5 }", 16, &["unknown ulimit `bogus`"]),
    ("device_cgroup_rules: [bogus]", 27, &["`c 42:* rmw`"]),
    ("deploy: { mode: global }", 21, &["`replicated`"]),
    (
        "deploy: { resources: { limits: { memory: 1k } } }",
        46,
        &["6 MiB"],
    ),
];

#[test]
fn wrong_limits_are_refused_at_their_place() {
    check(LIMITS);
}

#[test]
fn a_file_for_a_larger_machine_can_be_read_on_this_one() {
    crate::need_kernel!();
    let sandbox = Sandbox::of_compose(&service("cpus: 99999"));
    for verb in ["config", "ps", "down"] {
        sandbox.ok(&[verb]);
    }
    sandbox.finish();
}

/// What runs, how it is watched, what it may do.
const PROCESS: &[Row] = &[
    (
        "stop_grace_period: 5 parsecs",
        24,
        &["invalid duration", "`1m30s`"],
    ),
    (
        "stop_signal: SIGNO",
        18,
        &["invalid signal: SIGNO", "SIGTERM"],
    ),
    (
        "healthcheck: { interval: 1x }",
        30,
        &["invalid duration `1x`"],
    ),
    ("healthcheck: { test: [FOO] }", 26, &["CMD-SHELL"]),
    (
        "restart: sometimes",
        14,
        &["`sometimes` is no restart policy"],
    ),
    ("restart: on-failure:x", 14, &["on-failure[:N]"]),
    (
        "cap_add: [SYS_NOTHING]",
        15,
        &["unknown capability `SYS_NOTHING`", "NET_ADMIN"],
    ),
    (
        "security_opt: [\"bogus:1\"]",
        20,
        &["bogus:1", "no-new-privileges"],
    ),
    ("container_name: a b", 21, &["must match"]),
    ("environment: [5]", 19, &["must be a string", "quote it"]),
    ("environment: [\"=x\"]", 5, &["has no name"]),
    ("environment: { A: \"a\\0b\" }", 23, &["`A` holds a NUL"]),
    ("command: [\"a\\0b\"]", 5, &["`command` holds a NUL"]),
    ("command: \"unclosed 'quote\"", 14, &["close the quote"]),
    (
        "env_file: missing.env",
        15,
        &["missing.env not found", "required: false"],
    ),
    (
        "working_dir: here",
        18,
        &["`here` is not an absolute path", "begin it with `/`"],
    ),
    ("init: maybe", 11, &["must be a boolean"]),
    ("logging: { driver: pigeon }", 24, &["pigeon", "json-file"]),
    (
        "logging: { options: { max-size: huge } }",
        37,
        &["max-size=huge", "10m"],
    ),
    (
        "logging: { options: { tags: x } }",
        33,
        &["tags=x", "max-file"],
    ),
    ("ipc: bogus", 10, &["`ipc: bogus`", "service:NAME"]),
    ("runtime: kata", 14, &["no such OCI runtime"]),
    ("gpus: all", 5, &["nvidia.com/gpu=all", "nvidia-ctk"]),
    ("command: \"${X:?tell me}\"", 15, &["X", "tell me"]),
    (
        "command: \"${X\"",
        15,
        &["invalid interpolation format", "$$"],
    ),
];

#[test]
fn a_wrong_process_is_refused_at_its_place() {
    check(PROCESS);
}

/// The service as a part of its project.
const PROJECT: &[Row] = &[
    (
        "depends_on: [db]",
        18,
        &["undefined service \"db\"", "add `db:`"],
    ),
    ("depends_on: [web]", 18, &["cycle", "web -> web"]),
    ("scale: -1", 12, &["greater than or equal to 0"]),
    ("pull_policy: perhaps", 18, &["`perhaps`", "`always`"]),
    (
        "develop: { watch: [{ action: dance, path: . }] }",
        34,
        &["`dance`", "`sync`"],
    ),
    ("extends: { service: db }", 14, &["\"db\" not found"]),
    ("comand: [x]", 5, &["comand", "did you mean `command`?"]),
];

#[test]
fn a_wrong_place_in_the_project_is_refused() {
    check(PROJECT);
}

//! The engine's nouns against the grammar of `docker` (version 28.2), kept as data in
//! `tests/grammar/docker-cli.json`: every verb, flag, shorthand and type is understood, and what
//! is refused is refused by its name with a reason.

mod support;

use std::collections::BTreeMap;

use clap::ArgAction;
use serde::Deserialize;
use support::Sandbox;

#[derive(Deserialize)]
struct Flag {
    shorthand: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    default: Option<String>,
}

/// Flags that are refused: a command line that has one, and words of its reason. Beside them stands
/// every value of Docker's that Gantry can do nothing with.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["container", "create", "--isolation", "hyperv", "host"],
        "Windows",
    ),
    (
        &["container", "run", "--kernel-memory", "1g", "host"],
        "given this limit up",
    ),
    (
        &["container", "run", "--storage-opt", "size=1g", "host"],
        "writable layer",
    ),
    (
        &["container", "run", "--use-api-socket", "host"],
        "no daemon",
    ),
    (
        &["container", "run", "--volume-driver", "nfs", "host"],
        "`local`",
    ),
    (
        &["container", "run", "--disable-content-trust=false", "host"],
        "notary",
    ),
    (&["container", "rm", "--link", "web"], "network disconnect"),
    (&["image", "build", "--annotation", "a=b", "."], "--label"),
    (
        &["image", "build", "--attest", "type=sbom", "."],
        "attestations",
    ),
    (&["image", "build", "--builder", "far", "."], "one builder"),
    (
        &["image", "build", "--cpu-period", "1000", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--cpu-quota", "1000", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--cpu-shares", "10", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--cpuset-cpus", "0", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--cpuset-mems", "0", "."],
        "--cgroup-parent",
    ),
    (&["image", "build", "--debug", "."], "--explain"),
    (&["image", "build", "--isolation", "hyperv", "."], "Windows"),
    (
        &["image", "build", "--memory", "1g", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--memory-swap", "1g", "."],
        "--cgroup-parent",
    ),
    (
        &["image", "build", "--provenance", "true", "."],
        "attestations",
    ),
    (&["image", "build", "--rm=false", "."], "no containers"),
    (&["image", "build", "--sbom", "true", "."], "attestations"),
    (
        &["image", "build", "--security-opt", "a=b", "."],
        "--security=insecure",
    ),
    (
        &["image", "build", "--disable-content-trust=false", "."],
        "notary",
    ),
    (
        &["image", "pull", "--disable-content-trust=false", "x"],
        "notary",
    ),
    (
        &["image", "push", "--disable-content-trust=false", "x"],
        "notary",
    ),
    (
        &["network", "create", "--config-from", "other", "n"],
        "own configuration",
    ),
    (
        &["network", "create", "--config-only", "n"],
        "own configuration",
    ),
    (&["network", "create", "--ingress", "n"], "no swarm"),
    (
        &["network", "create", "--ipam-driver", "dhcp", "n"],
        "`default`",
    ),
    (
        &["network", "create", "--ipam-opt", "a=b", "n"],
        "no options",
    ),
    (&["network", "create", "--scope", "swarm", "n"], "`local`"),
];

/// Where `--help` of Docker prints a default that means "not set", or leaves one out that it has.
const DEFAULT_IS_PROSE: &[(&str, &str)] = &[
    ("container kill", "--signal"),
    ("image build", "--file"),
    ("image history", "--format"),
    ("image ls", "--format"),
    ("network ls", "--format"),
    ("volume ls", "--format"),
    ("container create", "--memory-swappiness"),
    ("container run", "--memory-swappiness"),
];

#[test]
fn every_verb_and_flag_of_docker_is_understood() {
    let grammar: BTreeMap<String, BTreeMap<String, Flag>> =
        serde_json::from_str(include_str!("grammar/docker-cli.json")).expect("valid JSON");
    let ours = gantry::cli::grammar();
    let mut differences = Vec::new();
    for (verb, flags) in &grammar {
        let command = verb
            .split(' ')
            .try_fold(&ours, |command, word| command.find_subcommand(word));
        let Some(command) = command else {
            differences.push(format!("{verb}: missing"));
            continue;
        };
        for (name, flag) in flags {
            if let Some(difference) = compare(command, verb, name, flag) {
                differences.push(format!("{verb} {name}: {difference}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn compare(command: &clap::Command, verb: &str, name: &str, flag: &Flag) -> Option<String> {
    let long = name.trim_start_matches('-');
    let Some(arg) = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
    else {
        return Some("missing".to_owned());
    };
    let shorthand = flag.shorthand.as_deref().and_then(|s| s.chars().nth(1));
    if arg.get_short() != shorthand {
        return Some(format!(
            "shorthand {:?}, not {shorthand:?}",
            arg.get_short()
        ));
    }
    // `--help` itself is no flag with a value.
    let is_switch = name == "--help"
        || arg
            .get_num_args()
            .is_some_and(|range| range.min_values() == 0);
    if is_switch != (flag.kind == "bool") {
        return Some(format!("does not take a {}", flag.kind));
    }
    let repeats = matches!(arg.get_action(), ArgAction::Append);
    let many = [
        "filter",
        "list",
        "map",
        "mount",
        "network",
        "stringArray",
        "strings",
        "ulimit",
    ];
    // A mount and a network are lists too, though `--help` does not say so.
    if repeats != many.contains(&flag.kind.as_str()) {
        return Some(format!("repeats: {repeats}, but is a {}", flag.kind));
    }
    if DEFAULT_IS_PROSE.contains(&(verb, name)) {
        return None;
    }
    let nothing = ["", "0", "0s", "false", "[]", "map[]"];
    let default = arg.get_default_values().first().and_then(|v| v.to_str());
    let (ours, theirs) = (default.unwrap_or(""), flag.default.as_deref().unwrap_or(""));
    (ours != theirs && !(nothing.contains(&ours) && nothing.contains(&theirs)))
        .then(|| format!("default `{ours}`, not `{theirs}`"))
}

#[test]
fn what_is_refused_is_refused_by_name_with_the_reason() {
    let sandbox = Sandbox::new();
    for (args, reason) in REFUSED {
        let flag = args
            .iter()
            .find(|word| word.starts_with("--"))
            .expect("a flag");
        let code = if args.starts_with(&["container", "run"]) {
            125
        } else {
            1
        };
        sandbox
            .run(args)
            .expect_code(code)
            .expect_stderr(&[flag, "is not supported", reason]);
    }
}

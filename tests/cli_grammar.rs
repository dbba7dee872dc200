//! The command line against `docker compose`'s grammar (version 2.40.3), kept as data in
//! `tests/grammar/compose-cli.json`: every verb, flag, shorthand, type and default.

use std::collections::BTreeMap;

use clap::ArgAction;
use serde::Deserialize;

#[derive(Deserialize)]
struct Flag {
    shorthand: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    default: Option<String>,
}

/// Where `--help` of Docker Compose prints a default that is no value: texts, and switches
/// that mean "detect".
const DEFAULT_IS_PROSE: &[(&str, &str)] = &[
    ("", "--project-directory"),
    ("config", "--output"),
    ("exec", "--no-tty"),
    ("run", "--no-TTY"),
];

#[test]
fn every_verb_and_flag_of_docker_compose_is_understood() {
    let grammar: BTreeMap<String, BTreeMap<String, Flag>> =
        serde_json::from_str(include_str!("grammar/compose-cli.json")).expect("valid JSON");
    let ours = gantry::cli::grammar();
    let mut differences = Vec::new();
    for (verb, flags) in &grammar {
        let command = if verb.is_empty() {
            &ours
        } else if let Some(command) = ours.find_subcommand(verb) {
            command
        } else {
            differences.push(format!("{verb}: missing"));
            continue;
        };
        for (name, flag) in flags {
            if let Some(difference) = compare(&ours, command, verb, name, flag) {
                differences.push(format!("{verb} {name}: {difference}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn compare(
    root: &clap::Command,
    command: &clap::Command,
    verb: &str,
    name: &str,
    flag: &Flag,
) -> Option<String> {
    let long = name.trim_start_matches('-');
    let holder = if long == "dry-run" { root } else { command };
    let Some(arg) = holder
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
    let is_switch = arg
        .get_num_args()
        .is_some_and(|range| range.min_values() == 0);
    if is_switch != (flag.kind == "bool") {
        return Some(format!("does not take a {}", flag.kind));
    }
    let repeats = matches!(arg.get_action(), ArgAction::Append);
    if repeats
        != matches!(
            flag.kind.as_str(),
            "stringArray" | "list" | "scale" | "filter"
        )
    {
        return Some(format!("repeats: {repeats}, but is a {}", flag.kind));
    }
    if DEFAULT_IS_PROSE.contains(&(verb, name)) {
        return None;
    }
    let default = arg.get_default_values().first().and_then(|v| v.to_str());
    (default != flag.default.as_deref())
        .then(|| format!("default {default:?}, not {:?}", flag.default))
}

#[test]
fn clap_finds_no_fault_with_the_grammar() {
    gantry::cli::grammar().debug_assert();
}

#[test]
fn every_flag_is_documented() {
    fn walk(command: &clap::Command, path: &str) {
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{path} {}: no help", arg.get_id());
        }
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()));
        }
    }
    walk(&gantry::cli::grammar(), "gantry");
}

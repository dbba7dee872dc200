//! The short syntax of every attribute: the first byte chooses one, the rest is its value, as
//! text, as a list of texts, or as a mapping of texts; half of the time an override file says it
//! again.
#![no_main]

use gantry::loader::load;
use libfuzzer_sys::fuzz_target;

const ATTRIBUTES: [&str; 46] = [
    "annotations",
    "blkio_config",
    "build",
    "cap_add",
    "command",
    "configs",
    "cpus",
    "cpuset",
    "depends_on",
    "deploy",
    "develop",
    "devices",
    "dns",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "ipc",
    "label_file",
    "labels",
    "links",
    "logging",
    "mem_limit",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "pid",
    "ports",
    "profiles",
    "pull_policy",
    "secrets",
    "shm_size",
    "stop_grace_period",
    "sysctls",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
    "volumes_from",
];

fuzz_target!(|input: (u8, u8, &str)| {
    let (choice, form, text) = input;
    let attribute = ATTRIBUTES[usize::from(choice) % ATTRIBUTES.len()];
    let quoted = |text: &str| format!("\"{}\"", text.escape_debug());
    let value = match form % 4 {
        0 => quoted(text),
        1 => format!(
            "[{}]",
            text.lines().map(quoted).collect::<Vec<_>>().join(", ")
        ),
        2 => {
            let pairs = text.lines().filter_map(|line| line.split_once(' '));
            let entries: Vec<String> = pairs
                .map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        _ => text.to_owned(),
    };
    let file = format!("services: {{b: {{image: x}}, a: {{image: x, {attribute}: {value}}}}}\n");
    let again = form & 4 != 0;
    let files = ["compose.yaml", "compose.override.yaml"];
    let texts = files.into_iter().take(1 + usize::from(again));
    gantry_fuzz::go_through(load(&gantry_fuzz::project(
        texts.map(|name| (name, file.as_str())),
    )));
});

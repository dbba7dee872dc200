//! What the attribute tables cannot say: exclusive sources, external volumes, addresses, mounts.

use super::diagnostic::Diagnostic;
use super::trail::Trail;
use super::tree::{Node, Value};

/// Checks a document that has the right shape; all problems are reported.
pub fn check(root: &Node, problems: &mut Vec<Diagnostic>) {
    let entries = |section: &str| {
        let entries = root.get(section).and_then(Node::as_map);
        entries.into_iter().flatten()
    };
    let above = Trail::ROOT.key("volumes");
    for (name, volume) in entries("volumes") {
        external_volume(volume, &above.key(name), problems);
    }
    for (section, sources) in [
        ("configs", &["file", "environment", "content"][..]),
        ("secrets", &["file", "environment"]),
    ] {
        let above = Trail::ROOT.key(section);
        for (name, entry) in entries(section) {
            one_source(entry, sources, &above.key(name), problems);
        }
    }
    let above = Trail::ROOT.key("services");
    for (name, service) in entries("services") {
        let path = above.key(name);
        host_addresses(service, &path, problems);
        watched_paths(service, &path, problems);
        device_requests(service, &path, problems);
        targets(service, &path, problems);
    }
}

fn host_addresses(service: &Node, path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    for (i, port) in seq(service, &["ports"]).iter().enumerate() {
        let Some(ip) = port.get("host_ip") else {
            continue;
        };
        if ip
            .as_str()
            .is_some_and(|t| t.parse::<std::net::IpAddr>().is_err())
        {
            let ports = path.key("ports");
            let at = ports.index(i);
            problems.push(
                Diagnostic::error(
                    "bad-value",
                    ip.place(),
                    format!("{at}: invalid ip address: {}", ip.value),
                )
                .at(at.key("host_ip"))
                .help("write an address such as `127.0.0.1` or `::1`"),
            );
        }
    }
}

fn watched_paths(service: &Node, path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    for (i, rule) in seq(service, &["develop", "watch"]).iter().enumerate() {
        if let Some(node) = rule.get("path")
            && node.as_str() == Some("")
        {
            let at = format!("{path}.develop.watch[{i}].path");
            problems.push(
                Diagnostic::error(
                    "bad-value",
                    node.place(),
                    format!("{at}: value can't be blank"),
                )
                .at(&at)
                .help("name the path to watch"),
            );
        }
    }
}

fn device_requests(service: &Node, path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    for attribute in [
        &["gpus"][..],
        &["deploy", "resources", "reservations", "devices"],
    ] {
        for (i, request) in seq(service, attribute).iter().enumerate() {
            if let (Some(count), Some(ids)) = (request.get("count"), request.get("device_ids")) {
                let at = format!("{path}.{}[{i}]", attribute.join("."));
                problems.push(
                    Diagnostic::error(
                        "exclusive-keys",
                        count.place(),
                        format!("{at}: \"count\" and \"device_ids\" attributes are exclusive"),
                    )
                    .at(&at)
                    .related(ids.place(), "the other one")
                    .help("keep one of the two"),
                );
            }
        }
    }
}

/// A path that is mounted is somewhere: checked where paths become absolute.
pub fn bind_sources(root: &Node, problems: &mut Vec<Diagnostic>) {
    let above = Trail::ROOT.key("services");
    let services = root.get("services").and_then(Node::as_map);
    for (name, service) in services.into_iter().flatten() {
        let service_path = above.key(name);
        let volumes = service_path.key("volumes");
        for (i, mount) in seq(service, &["volumes"]).iter().enumerate() {
            let bind = mount.get("type").and_then(Node::as_str) == Some("bind");
            if !bind || mount.get("source").is_some() {
                continue;
            }
            let at = volumes.index(i);
            problems.push(
                Diagnostic::error("missing-key", mount.place(), format!("{at}: invalid mount config for type \"bind\": field Source must not be empty"))
                    .at(at)
                    .help("add `source:` with the path on the host"),
            );
        }
    }
}

/// What is put into a container needs to know where.
fn targets(service: &Node, path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    for (attribute, what, help) in [
        (
            "volumes",
            ("service volume", "a mount target"),
            "add `target:` with the path in the container",
        ),
        (
            "ports",
            ("service ports", "a target port"),
            "add `target:` with the container port",
        ),
        (
            "devices",
            ("service device", "a mount target"),
            "add `target:` with the path in the container",
        ),
    ] {
        for (i, item) in seq(service, &[attribute]).iter().enumerate() {
            if item.get("target").is_some() || item.as_map().is_none() {
                continue;
            }
            let list = path.key(attribute);
            let at = list.index(i);
            problems.push(
                Diagnostic::error(
                    "missing-key",
                    item.place(),
                    format!("{} {at} is missing {}", what.0, what.1),
                )
                .at(at)
                .help(help),
            );
        }
    }
}

fn seq<'a>(node: &'a Node, path: &[&str]) -> &'a [Node] {
    node.find(path).and_then(Node::as_seq).unwrap_or(&[])
}

fn external_volume(volume: &Node, path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    let Some(map) = volume.as_map() else { return };
    if !matches!(
        map.get("external").map(|n| &n.value),
        Some(Value::Bool(true))
    ) {
        return;
    }
    for (key, node) in map {
        if !matches!(key.as_str(), "name" | "external") && !key.starts_with("x-") {
            problems.push(
                Diagnostic::error(
                    "exclusive-keys",
                    node.key.or(node.span),
                    format!("{path}: conflicting parameters \"external\" and \"{key}\" specified"),
                )
                .at(path.key(key))
                .help(format!(
                    "an external volume is used as it is: remove `{key}` or `external`"
                )),
            );
        }
    }
}

fn one_source(node: &Node, keys: &[&str], path: &Trail<'_>, problems: &mut Vec<Diagnostic>) {
    let Some(map) = node.as_map() else { return };
    let given: Vec<&Node> = keys.iter().filter_map(|k| map.get(*k)).collect();
    let list = keys.join("|");
    match given.as_slice() {
        [first, second, ..] => problems.push(
            Diagnostic::error(
                "exclusive-keys",
                second.key.or(second.span),
                format!("{path}: {list} attributes are mutually exclusive"),
            )
            .at(path)
            .related(first.key.or(first.span), "the other one")
            .help("keep one of them"),
        ),
        [] if !map.contains_key("driver") && !map.contains_key("external") => problems.push(
            Diagnostic::error(
                "missing-key",
                node.key.or(node.span),
                format!("{path}: one of {list} must be set"),
            )
            .at(path)
            .help("add `file:` with the file that holds it"),
        ),
        _ => {}
    }
}

//! What a model implies: the default network, dependencies of links and shared namespaces,
//! names, values of variables that are only named.

use std::sync::Arc;

use super::env::Variables;
use super::interpolate::Lookup as _;
use super::source::Span;
use super::tree::{Filled, Map, Node, Use, Value};

/// Resolves `environment: [KEY]` and what comes from variables, with the model's own environment.
pub fn environment(root: &mut Node, variables: &Variables) {
    let Some(map) = root.as_map_mut() else { return };
    for service in values(map.get_mut("services")) {
        for item in service
            .get_mut("environment")
            .and_then(Node::as_seq_mut)
            .into_iter()
            .flatten()
        {
            name_to_pair(item, variables);
        }
    }
    for (section, key) in [("configs", "content"), ("secrets", SECRET)] {
        for element in values(map.get_mut(section)) {
            take_value(element, key, variables);
        }
    }
}

/// Where the value of a secret is while includes are compared: as in docker compose, a secret that
/// was included has its value, and so differs from one of the same name that has none yet.
const SECRET: &str = "x-#value";

/// Removes the values of secrets.
pub fn forget_secrets(root: &mut Node) {
    let secrets = root.as_map_mut().and_then(|map| map.get_mut("secrets"));
    for secret in values(secrets) {
        if let Some(secret) = secret.as_map_mut() {
            secret.shift_remove(SECRET);
        }
    }
}

/// Gives an element that names a variable the value of it.
fn take_value(element: &mut Node, key: &str, variables: &Variables) {
    let Some(node) = element.get("environment") else {
        return;
    };
    let span = node.span;
    let value = node.as_str().and_then(|name| variables.get(name));
    let Some(value) = value.map(str::to_owned) else {
        return;
    };
    if let Some(element) = element.as_map_mut() {
        element.insert(key.to_owned(), Node::str(value, span));
    }
}

fn name_to_pair(item: &mut Node, variables: &Variables) -> bool {
    let Value::Str(name) = &item.value else {
        return false;
    };
    if name.contains('=') {
        return true;
    }
    let Some(value) = variables.get(name) else {
        return false;
    };
    let text = format!("{name}={value}");
    item.filled = Some(taken(name, variables));
    item.value = Value::Str(text);
    true
}

/// What is noted of a value that has only the name of a variable.
fn taken(name: &str, variables: &Variables) -> Arc<Filled> {
    Arc::new(Filled {
        raw: name.to_owned(),
        variables: vec![Use {
            name: name.to_owned(),
            value: variables.lookup(name),
            lost: variables.lost(name).to_vec(),
            argument: None,
        }],
    })
}

/// Adds what the model implies.
pub fn normalize(root: &mut Node, name: &str, variables: &Variables) {
    let Some(map) = root.as_map_mut() else { return };
    // What a file says keeps its place when it is what counts.
    let said = map.get("name").filter(|n| {
        n.as_str()
            .is_some_and(|text| super::discover::normalize_name(text) == name)
    });
    let node = match said {
        Some(said) => said.with(Value::Str(name.to_owned())),
        None => Node::str(name, Span::NONE),
    };
    map.insert("name".to_owned(), node);
    default_network(map);
    for service in values(map.get_mut("services")) {
        service_implications(service, variables);
    }
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(entries) = map.get_mut(section).and_then(Node::as_map_mut) else {
            continue;
        };
        for (key, entry) in entries {
            if entry.is_null() {
                entry.value = Value::Map(Map::new());
            }
            let place = entry.place();
            let Some(entry) = entry.as_map_mut() else {
                continue;
            };
            if entry.get("name").is_some_and(|n| !n.is_null()) {
                continue;
            }
            let external = entry.get("external").is_some_and(|e| {
                matches!(
                    e.value.to_string().as_str(),
                    "true" | "True" | "TRUE" | "t" | "T" | "1"
                )
            });
            let value = if external {
                key.clone()
            } else {
                format!("{name}_{key}")
            };
            let mut node = Node::str(value, Span::NONE);
            node.key = place;
            entry.insert("name".to_owned(), node);
        }
    }
}

fn default_network(map: &mut Map) {
    let mut used = false;
    for service in values(map.get_mut("services")) {
        let place = service.place();
        let Some(service) = service.as_map_mut() else {
            continue;
        };
        if service.contains_key("provider") || service.contains_key("network_mode") {
            continue;
        }
        let joined = service
            .get("networks")
            .and_then(Node::as_map)
            .filter(|n| !n.is_empty());
        match joined {
            Some(networks) => used |= networks.contains_key("default"),
            None => {
                let mut default = Node::new(Value::Null, Span::NONE);
                default.key = place;
                let mut networks = Map::new();
                networks.insert("default".to_owned(), default);
                service.insert("networks".to_owned(), Node::map(networks, Span::NONE));
                used = true;
            }
        }
    }
    if used {
        let networks = map
            .entry("networks".to_owned())
            .or_insert_with(|| Node::map(Map::new(), Span::NONE));
        if let Some(networks) = networks.as_map_mut() {
            networks
                .entry("default".to_owned())
                .or_insert_with(|| Node::new(Value::Null, Span::NONE));
        }
    }
}

fn service_implications(service: &mut Node, variables: &Variables) {
    let Some(map) = service.as_map_mut() else {
        return;
    };
    if map.get("pull_policy").and_then(Node::as_str) == Some("if_not_present")
        && let Some(node) = map.get_mut("pull_policy")
    {
        node.value = Value::Str("missing".to_owned());
    }
    if let Some(build) = map.get_mut("build").and_then(Node::as_map_mut) {
        build
            .entry("context".to_owned())
            .or_insert_with(|| Node::str(".", Span::NONE));
        if !build.contains_key("dockerfile") && !build.contains_key("dockerfile_inline") {
            build.insert("dockerfile".to_owned(), Node::str("Dockerfile", Span::NONE));
        }
        if let Some(args) = build.get_mut("args") {
            resolve(args, variables, Unset::Drop);
        }
    }
    if let Some(environment) = map.get_mut("environment") {
        resolve(environment, variables, Unset::Keep);
    }
    let mut implied: Vec<(String, bool, Span)> = Vec::new();
    for link in map.get("links").and_then(Node::as_seq).unwrap_or(&[]) {
        let Some(text) = link.as_str() else { continue };
        let parts: Vec<&str> = text.split(':').collect();
        let name = if parts.len() == 2 { parts[0] } else { text };
        implied.push((name.to_owned(), true, link.place()));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup", "userns_mode"] {
        if let Some(node) = map.get(key)
            && let Some(name) = node.as_str().and_then(|t| t.strip_prefix("service:"))
        {
            implied.push((name.to_owned(), true, node.place()));
        }
    }
    for source in map
        .get("volumes_from")
        .and_then(Node::as_seq)
        .unwrap_or(&[])
    {
        if let Some(text) = source.as_str()
            && !text.starts_with("container:")
        {
            let name = text.split(':').next().unwrap_or(text);
            implied.push((name.to_owned(), false, source.place()));
        }
    }
    for mount in map
        .get_mut("volumes")
        .and_then(Node::as_seq_mut)
        .into_iter()
        .flatten()
    {
        if let Some(Value::Str(target)) = mount.get_mut("target").map(|n| &mut n.value) {
            *target = if target.is_empty() {
                ".".to_owned()
            } else {
                super::canonical::clean_target(target)
            };
        }
    }
    if implied.is_empty() {
        return;
    }
    let depends_on = map
        .entry("depends_on".to_owned())
        .or_insert_with(|| Node::map(Map::new(), Span::NONE));
    let Some(depends_on) = depends_on.as_map_mut() else {
        return;
    };
    for (name, restart, span) in implied {
        depends_on.entry(name).or_insert_with(|| {
            let mut node = super::merge::dependency(span);
            if let Some(map) = node.as_map_mut() {
                map.insert("restart".to_owned(), Node::new(Value::Bool(restart), span));
            }
            node
        });
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Unset {
    Keep,
    Drop,
}

/// Gives names without a value the value of their variable.
fn resolve(node: &mut Node, variables: &Variables, unset: Unset) {
    match &mut node.value {
        Value::Seq(items) => {
            items.retain_mut(|item| name_to_pair(item, variables) || unset == Unset::Keep)
        }
        Value::Map(map) => map.retain(|key, value| {
            if !value.is_null() {
                return true;
            }
            match variables.get(key) {
                Some(text) => {
                    value.filled = Some(taken(key, variables));
                    value.value = Value::Str(text.to_owned());
                    true
                }
                None => unset == Unset::Keep,
            }
        }),
        _ => {}
    }
}

fn values(node: Option<&mut Node>) -> impl Iterator<Item = &mut Node> {
    node.and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|m| m.values_mut())
}

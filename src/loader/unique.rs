//! Lists in which an item replaces an earlier one that means the same thing: a volume with the
//! same target, a variable with the same name.

use std::collections::HashMap;

use super::short::volume;
use super::trail::Trail;
use super::tree::{Node, Path, Rival, Value};

/// What makes two items of a list the same.
#[derive(Clone, Copy)]
enum Index {
    /// Text before `=`.
    Key,
    /// Mount target.
    Volume,
    /// Device target.
    Device,
    /// Target of a config or secret; the directory of a default target.
    Mount(&'static str),
    /// Text.
    Expose,
    /// Address, ports and protocol.
    Port,
    /// Path.
    EnvFile,
}

const UNIQUE: &[(&[&str], Index)] = &[
    (&["networks", "*", "labels"], Index::Key),
    (&["networks", "*", "ipam", "options"], Index::Key),
    (&["services", "*", "annotations"], Index::Key),
    (&["services", "*", "build", "args"], Index::Key),
    (
        &["services", "*", "build", "additional_contexts"],
        Index::Key,
    ),
    (&["services", "*", "build", "tags"], Index::Key),
    (&["services", "*", "build", "labels"], Index::Key),
    (&["services", "*", "cap_add"], Index::Key),
    (&["services", "*", "cap_drop"], Index::Key),
    (&["services", "*", "devices"], Index::Device),
    (&["services", "*", "configs"], Index::Mount("")),
    (&["services", "*", "deploy", "labels"], Index::Key),
    (&["services", "*", "dns"], Index::Key),
    (&["services", "*", "dns_opt"], Index::Key),
    (&["services", "*", "dns_search"], Index::Key),
    (&["services", "*", "environment"], Index::Key),
    (&["services", "*", "env_file"], Index::EnvFile),
    (&["services", "*", "expose"], Index::Expose),
    (&["services", "*", "labels"], Index::Key),
    (&["services", "*", "links"], Index::Key),
    (&["services", "*", "networks", "*", "aliases"], Index::Key),
    (
        &["services", "*", "networks", "*", "link_local_ips"],
        Index::Key,
    ),
    (&["services", "*", "ports"], Index::Port),
    (&["services", "*", "profiles"], Index::Key),
    (&["services", "*", "secrets"], Index::Mount("/run/secrets")),
    (&["services", "*", "sysctls"], Index::Key),
    (&["services", "*", "tmpfs"], Index::Key),
    (&["services", "*", "volumes"], Index::Volume),
];

/// Whether items of the list at a path replace earlier ones.
pub fn has_items(path: &Path) -> bool {
    UNIQUE.iter().any(|(pattern, _)| path.matches(pattern))
}

/// The lists that have unique items.
pub fn patterns() -> impl Iterator<Item = &'static [&'static str]> {
    UNIQUE.iter().map(|(pattern, _)| *pattern)
}

/// Replaces list items that a later item repeats; the first position is kept.
pub fn keep_last(root: &mut Node) {
    walk(root, &Trail::ROOT);
}

fn walk(node: &mut Node, path: &Trail<'_>) {
    match &mut node.value {
        Value::Map(map) => {
            for (key, child) in map {
                walk(child, &path.key(key));
            }
        }
        Value::Seq(items) => {
            if let Some((_, index)) = UNIQUE.iter().find(|(pattern, _)| path.matches(pattern)) {
                last_ones(items, *index);
            }
        }
        _ => {}
    }
}

fn last_ones(items: &mut Vec<Node>, index: Index) {
    // Wrong items are the schema's business: such a list stays as it is.
    let keys: Option<Vec<String>> = items.iter().map(|item| key_of(index, item)).collect();
    let Some(keys) = keys else { return };
    let mut positions: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut result: Vec<Node> = Vec::with_capacity(items.len());
    for (item, key) in std::mem::take(items).into_iter().zip(keys) {
        let next = result.len();
        match *positions.entry(key).or_insert(next) {
            position if position < next => {
                let old = std::mem::replace(&mut result[position], item);
                result[position].replace(old, Rival::Later);
            }
            _ => result.push(item),
        }
    }
    *items = result;
}

fn key_of(index: Index, node: &Node) -> Option<String> {
    let target = |node: &Node| node.get("target").and_then(Node::as_str).map(str::to_owned);
    match (index, &node.value) {
        (Index::Key, Value::Str(s)) => Some(s.split('=').next().unwrap_or(s).to_owned()),
        (Index::Volume, Value::Str(s)) => Some(volume::target(s)?.to_owned()),
        (Index::Volume | Index::Device, Value::Map(_)) => target(node),
        (Index::Device, Value::Str(s)) => Some(
            s.split(':')
                .nth(1)
                .unwrap_or(s.split(':').next()?)
                .to_owned(),
        ),
        (Index::Mount(dir), Value::Str(s)) => Some(format!("{dir}/{s}")),
        (Index::Mount(dir), Value::Map(map)) => match map.get("target") {
            Some(t) => t.as_str().map(str::to_owned),
            None => Some(format!(
                "{dir}/{}",
                map.get("source")
                    .map_or_else(|| "<nil>".to_owned(), |s| s.value.to_string())
            )),
        },
        (Index::Expose, Value::Str(_) | Value::Int(_)) => Some(node.value.to_string()),
        (Index::Port, Value::Str(_) | Value::Int(_)) => Some(node.value.to_string()),
        (Index::Port, Value::Map(map)) => {
            map.get("target")?;
            let mut text = String::with_capacity(32);
            for (key, missing, end) in [
                ("host_ip", "0.0.0.0", ":"),
                ("published", "<nil>", ":"),
                ("target", "", "/"),
                ("protocol", "tcp", ""),
            ] {
                match map.get(key).map(|node| &node.value) {
                    None => text.push_str(missing),
                    Some(Value::Str(part)) => text.push_str(part),
                    Some(other) => text.push_str(&other.to_string()),
                }
                text.push_str(end);
            }
            Some(text)
        }
        (Index::EnvFile, Value::Str(s)) => Some(s.clone()),
        (Index::EnvFile, Value::Map(map)) => {
            map.get("path").and_then(Node::as_str).map(str::to_owned)
        }
        _ => None,
    }
}

//! Laying one tree over another: the rule of each attribute, and which list items are the same.
//!
//! Mappings merge, lists append, scalars are replaced, null keeps what is there. The tables below
//! hold the attributes with rules of their own. Several `-f` files, override files, documents of
//! one file and `extends` all use this.

use super::diagnostic::Diagnostic;
use super::source::Span;
use super::trail::Trail;
use super::tree::{Map, Node, Rival, Value};
use super::unique;

/// How an attribute is merged.
#[derive(Clone, Copy)]
enum Rule {
    /// Both become lists of `key=value` (or plain) strings, appended.
    Sequence,
    /// The new value replaces all, null included.
    Replace,
    /// Lists become mappings with empty values, merged.
    Named,
    /// As `Named`, with default dependency settings.
    DependsOn,
    /// A string becomes `{context}`, merged.
    Build,
    /// Appended without exact repetitions.
    ExtraHosts,
    /// Merged if the drivers agree, else replaced.
    Logging,
    /// Replaced, mapping or not.
    Ulimit,
    /// Pools completed from the base's pool of the same subnet.
    IpamPools,
}

const RULES: &[(&[&str], Rule)] = &[
    (&["networks", "*", "ipam", "config"], Rule::IpamPools),
    (&["networks", "*", "labels"], Rule::Sequence),
    (&["volumes", "*", "labels"], Rule::Sequence),
    (&["services", "*", "annotations"], Rule::Sequence),
    (&["services", "*", "build"], Rule::Build),
    (&["services", "*", "build", "args"], Rule::Sequence),
    (
        &["services", "*", "build", "additional_contexts"],
        Rule::Sequence,
    ),
    (&["services", "*", "build", "extra_hosts"], Rule::ExtraHosts),
    (&["services", "*", "build", "labels"], Rule::Sequence),
    (&["services", "*", "command"], Rule::Replace),
    (&["services", "*", "depends_on"], Rule::DependsOn),
    (&["services", "*", "deploy", "labels"], Rule::Sequence),
    (&["services", "*", "dns"], Rule::Sequence),
    (&["services", "*", "dns_opt"], Rule::Sequence),
    (&["services", "*", "dns_search"], Rule::Sequence),
    (&["services", "*", "entrypoint"], Rule::Replace),
    (&["services", "*", "env_file"], Rule::Sequence),
    (&["services", "*", "label_file"], Rule::Sequence),
    (&["services", "*", "environment"], Rule::Sequence),
    (&["services", "*", "extra_hosts"], Rule::ExtraHosts),
    (&["services", "*", "healthcheck", "test"], Rule::Replace),
    (&["services", "*", "labels"], Rule::Sequence),
    (
        &["services", "*", "volumes", "*", "volume", "labels"],
        Rule::Sequence,
    ),
    (&["services", "*", "logging"], Rule::Logging),
    (&["services", "*", "models"], Rule::Named),
    (&["services", "*", "networks"], Rule::Named),
    (&["services", "*", "sysctls"], Rule::Sequence),
    (&["services", "*", "tmpfs"], Rule::Sequence),
    (&["services", "*", "ulimits", "*"], Rule::Ulimit),
];

/// One laying of a tree over another.
#[derive(Debug)]
pub struct Merging<'a> {
    /// What takes precedence over the values below.
    pub rival: Rival,
    /// Where problems go.
    pub problems: &'a mut Vec<Diagnostic>,
}

/// Lays `over` over `base`.
pub fn merge(base: Node, over: Node, path: &Trail<'_>, to: &mut Merging<'_>) -> Node {
    let rule = RULES
        .iter()
        .find(|(pattern, _)| path.matches(pattern))
        .map(|(_, rule)| *rule);
    if let Some(rule) = rule {
        return apply(rule, base, over, path, to);
    }
    // Null says nothing, but where services must be.
    if over.is_null() && !path.matches(&["services"]) {
        return base;
    }
    match (base.value, over.value) {
        (Value::Map(base_map), Value::Map(over_map)) => {
            let mut node = Node::new(
                Value::Map(merge_maps(base_map, over_map, path, to)),
                over.span,
            );
            node.key = over.key;
            node
        }
        (Value::Seq(mut base_items), Value::Seq(over_items)) => {
            base_items.extend(over_items);
            let mut node = Node::new(Value::Seq(base_items), over.span);
            node.key = over.key;
            node
        }
        (old @ (Value::Map(_) | Value::Seq(_)), value) => {
            let base = Node { value: old, ..base };
            conflict(base, Node { value, ..over }, path, to)
        }
        (old, value) => Node { value, ..over }.over(Node { value: old, ..base }, to.rival),
    }
}

fn conflict(base: Node, over: Node, path: &Trail<'_>, to: &mut Merging<'_>) -> Node {
    to.problems.push(
        Diagnostic::error(
            "cannot-override",
            over.place(),
            format!(
                "cannot override `{path}`: it is {} here and {} before",
                over.kind(),
                base.kind()
            ),
        )
        .at(path)
        .related(base.place(), "defined here")
        .help("use the same form in both places, or tag this value with `!override`"),
    );
    base
}

fn merge_maps(mut base: Map, over: Map, path: &Trail<'_>, to: &mut Merging<'_>) -> Map {
    for (key, value) in over {
        let merged = match base.get_mut(&key) {
            None => value,
            Some(slot) => {
                let old = std::mem::replace(slot, Node::new(Value::Null, Span::NONE));
                merge(old, value, &path.key(&key), to)
            }
        };
        base.insert(key, merged);
    }
    base
}

fn apply(rule: Rule, base: Node, over: Node, path: &Trail<'_>, to: &mut Merging<'_>) -> Node {
    let (span, key) = (over.span, over.key);
    let build = |value: Value| {
        let mut node = Node::new(value, span);
        node.key = key;
        node
    };
    match rule {
        Rule::Replace | Rule::Ulimit => over.over(base, to.rival),
        Rule::Sequence | Rule::ExtraHosts => {
            if !listable(&base) && !base.is_null() {
                return over;
            }
            if !listable(&over) && !over.is_null() {
                return over;
            }
            let mut items = to_sequence(base);
            for item in to_sequence(over) {
                let repeated =
                    matches!(rule, Rule::ExtraHosts) && items.iter().any(|i| i.same(&item));
                if !repeated {
                    items.push(item);
                }
            }
            build(Value::Seq(items))
        }
        Rule::Named | Rule::DependsOn => {
            let depends = matches!(rule, Rule::DependsOn);
            match (to_mapping(&base, depends), to_mapping(&over, depends)) {
                (Some(base), Some(over)) => build(Value::Map(merge_maps(base, over, path, to))),
                (Some(_), None) if over.is_null() => base,
                _ => over,
            }
        }
        Rule::Build => {
            let to_build = |node: Node| match node.value {
                Value::Str(_) => {
                    let mut map = Map::new();
                    map.insert("context".to_owned(), node);
                    Some(map)
                }
                Value::Map(map) => Some(map),
                Value::Null => Some(Map::new()),
                _ => None,
            };
            let keep = over.clone();
            match (to_build(base), to_build(over)) {
                (Some(base), Some(over)) => build(Value::Map(merge_maps(base, over, path, to))),
                _ => keep,
            }
        }
        Rule::Logging => {
            if over.is_null() {
                return base;
            }
            let driver = |node: &Node| node.get("driver").cloned();
            let compatible = match (driver(&base), driver(&over)) {
                (Some(a), Some(b)) => a.same(&b),
                _ => true,
            };
            match (base.value, over.value) {
                (Value::Map(base), Value::Map(over)) if compatible => {
                    build(Value::Map(merge_maps(base, over, path, to)))
                }
                (_, value) => build(value),
            }
        }
        Rule::IpamPools => merge_pools(base, over, path, to),
    }
}

fn listable(node: &Node) -> bool {
    matches!(node.value, Value::Map(_) | Value::Seq(_) | Value::Str(_))
}

/// A mapping as sorted `key=value` strings, a string as a list of one.
pub fn to_sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::Seq(items) => items,
        Value::Str(_) => vec![node],
        Value::Map(map) => {
            let mut items = Vec::new();
            for (key, value) in map {
                let mut add = |text: String, from: &Node| {
                    let mut item = Node::str(text, from.place());
                    item.key = from.key;
                    item.filled = from.filled.clone();
                    item.lost = from.lost.clone();
                    items.push(item);
                };
                match &value.value {
                    Value::Null => add(key, &value),
                    Value::Seq(list) => {
                        for entry in list {
                            add(format!("{key}={}", entry.value), entry);
                        }
                    }
                    other => add(format!("{key}={other}"), &value),
                }
            }
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            items
        }
        _ => Vec::new(),
    }
}

fn to_mapping(node: &Node, depends: bool) -> Option<Map> {
    match &node.value {
        Value::Map(map) => Some(map.clone()),
        Value::Seq(items) => Some(
            items
                .iter()
                .filter_map(|item| {
                    let name = item.as_str()?.to_owned();
                    Some((
                        name,
                        if depends {
                            dependency(item.span)
                        } else {
                            named(item.span)
                        },
                    ))
                })
                .collect(),
        ),
        _ => None,
    }
}

/// An entry of a list that became a mapping.
pub fn named(span: Span) -> Node {
    let mut node = Node::new(Value::Null, span);
    node.key = span;
    node
}

/// The settings of a dependency given only by name.
pub fn dependency(span: Span) -> Node {
    let mut map = Map::new();
    map.insert("condition".to_owned(), Node::str("service_started", span));
    map.insert("required".to_owned(), Node::new(Value::Bool(true), span));
    let mut node = Node::map(map, span);
    node.key = span;
    node
}

fn merge_pools(base: Node, over: Node, path: &Trail<'_>, to: &mut Merging<'_>) -> Node {
    let (Some(bases), Some(overs)) = (base.as_seq(), over.as_seq()) else {
        return if over.is_null() { base } else { over };
    };
    let subnet = |pool: &Map| pool.get("subnet").and_then(Node::as_str).map(str::to_owned);
    let mut result: Vec<(Option<String>, Node)> = Vec::new();
    for original in bases {
        let Some(right) = original.as_map() else {
            continue;
        };
        for pool in overs {
            let Some(left) = pool.as_map() else { continue };
            if subnet(left) != subnet(right) {
                if !result.iter().any(|(s, _)| *s == subnet(left)) {
                    result.push((subnet(left), pool.clone()));
                    continue;
                }
                if result.iter().any(|(s, _)| *s == subnet(left)) {
                    continue;
                }
            }
            let merged = merge_maps(right.clone(), left.clone(), path, to);
            let name = subnet(&merged);
            let node = Node::map(merged, pool.span);
            match result.iter_mut().find(|(s, _)| *s == name) {
                Some((_, slot)) => *slot = node,
                None => result.push((name, node)),
            }
        }
    }
    let items = result.into_iter().map(|(_, node)| node).collect();
    over.with(Value::Seq(items))
}

/// The attributes that are not merged as any other mapping, list or scalar.
pub fn with_rules() -> impl Iterator<Item = &'static [&'static str]> {
    let rules = RULES.iter().map(|(pattern, _)| *pattern);
    rules.chain(unique::patterns())
}

//! The variables that a project's files use, with their defaults.

use std::collections::BTreeMap;

use super::interpolate::braced;
use super::tree::{Node, Value};

/// A variable and how it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Name.
    pub name: String,
    /// After `-`.
    pub default: String,
    /// After `+`.
    pub alternate: String,
    /// `?`.
    pub required: bool,
}

/// Every variable in the strings of a tree, by name.
pub fn of(root: &Node) -> Vec<Used> {
    let mut found = BTreeMap::new();
    walk(root, &mut found);
    found.into_values().collect()
}

fn walk(node: &Node, found: &mut BTreeMap<String, Used>) {
    match &node.value {
        Value::Map(map) => map.values().for_each(|child| walk(child, found)),
        Value::Seq(items) => items.iter().for_each(|child| walk(child, found)),
        Value::Str(text) => scan(text, 0, found),
        _ => {}
    }
}

fn scan(text: &str, depth: usize, found: &mut BTreeMap<String, Used>) {
    if depth > 32 {
        return;
    }
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        let after = &rest[i + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            rest = tail;
            continue;
        }
        let Some(inner) = after.strip_prefix('{') else {
            let len = after
                .bytes()
                .position(|b| b != b'_' && !b.is_ascii_alphanumeric())
                .unwrap_or(after.len());
            if len > 0 && !after.as_bytes()[0].is_ascii_digit() {
                note(
                    found,
                    Used {
                        name: after[..len].to_owned(),
                        ..Used::default()
                    },
                );
            }
            rest = &after[len..];
            continue;
        };
        let Some(expression) = braced(inner) else {
            rest = inner;
            continue;
        };
        let mut used = Used {
            name: expression.name.to_owned(),
            ..Used::default()
        };
        if let Some((operator, argument)) = expression.operator {
            match operator.kind {
                '-' => used.default = argument.to_owned(),
                '+' => used.alternate = argument.to_owned(),
                _ => used.required = true,
            }
            if !used.required {
                scan(argument, depth + 1, found);
            }
        }
        note(found, used);
        rest = &inner[expression.consumed..];
    }
}

fn note(found: &mut BTreeMap<String, Used>, used: Used) {
    let slot = found.entry(used.name.clone()).or_insert_with(|| Used {
        name: used.name.clone(),
        ..Used::default()
    });
    if !used.default.is_empty() {
        slot.default = used.default;
    }
    if !used.alternate.is_empty() {
        slot.alternate = used.alternate;
    }
    slot.required |= used.required;
}

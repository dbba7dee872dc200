//! The variables that a project's files use, with their defaults.

use std::collections::BTreeMap;

use super::interpolate::{braced, name_length};
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
    walk(root).into_values().collect()
}

/// The last use of a variable in a text or a list counts, as with docker compose. Where that does
/// not know which one is the last, in mappings, nothing is lost.
fn walk(node: &Node) -> BTreeMap<String, Used> {
    let mut found = BTreeMap::new();
    match &node.value {
        Value::Map(map) => {
            for used in map.values().flat_map(walk).map(|(_, used)| used) {
                add(&mut found, used);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| found.extend(walk(item))),
        Value::Str(text) => found.extend(in_text(text).map(|used| (used.name.clone(), used))),
        _ => {}
    }
    found
}

fn add(found: &mut BTreeMap<String, Used>, used: Used) {
    let Some(slot) = found.get_mut(&used.name) else {
        found.insert(used.name.clone(), used);
        return;
    };
    if !used.default.is_empty() {
        slot.default = used.default;
    }
    if !used.alternate.is_empty() {
        slot.alternate = used.alternate;
    }
    slot.required |= used.required;
}

/// What is still to be done with a text.
enum Task<'a> {
    Read(&'a str),
    Found(Used),
}

/// The variables of a text, in docker compose's order: an expression reaches to the last brace of
/// its line, and what stands there after its own brace comes before it.
fn in_text(text: &str) -> impl Iterator<Item = Used> {
    let mut tasks = vec![Task::Read(text)];
    std::iter::from_fn(move || {
        loop {
            match tasks.pop()? {
                Task::Found(used) => return Some(used),
                Task::Read(text) => read(text, &mut tasks),
            }
        }
    })
}

/// Takes the first variable out of a text; the last task is the first to do.
fn read<'a>(text: &'a str, tasks: &mut Vec<Task<'a>>) {
    let Some(after) = text.find('$').map(|i| &text[i + 1..]) else {
        return;
    };
    if let Some(rest) = after.strip_prefix('$') {
        return tasks.push(Task::Read(rest));
    }
    let named = |name: &str| {
        Task::Found(Used {
            name: name.to_owned(),
            ..Used::default()
        })
    };
    let Some(inner) = after.strip_prefix('{') else {
        let length = name_length(after);
        tasks.push(Task::Read(&after[length..]));
        if length > 0 {
            tasks.push(named(&after[..length]));
        }
        return;
    };
    let Some(expression) = braced(inner) else {
        // Nothing that can be read is a variable without a name.
        tasks.push(Task::Read(inner));
        return tasks.push(named(""));
    };
    let Some((operator, argument)) = expression.operator else {
        tasks.push(Task::Read(&inner[expression.consumed..]));
        return tasks.push(named(expression.name));
    };
    let line = inner.find('\n').map_or(inner, |end| &inner[..end]);
    let last = line.rfind('}').map_or(expression.consumed, |i| i + 1);
    let last = last.max(expression.consumed);
    tasks.push(Task::Read(&inner[last..]));
    let mut used = Used {
        name: expression.name.to_owned(),
        ..Used::default()
    };
    match operator.kind {
        '-' => used.default = argument.to_owned(),
        '+' => used.alternate = argument.to_owned(),
        _ => used.required = true,
    }
    if !used.required {
        tasks.push(Task::Read(argument));
    }
    tasks.push(Task::Found(used));
    tasks.push(Task::Read(&inner[expression.consumed..last]));
}

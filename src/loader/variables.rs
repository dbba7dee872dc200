//! The variables that a project's files use, with their defaults.

use std::collections::BTreeMap;

use super::interpolate::{MAX_DEPTH, Rest, name_length};
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
    Read { rest: Rest<'a>, depth: usize },
    Found(Used),
}

/// The variables of a text, in docker compose's order: an expression reaches to the last brace of
/// its line, and what stands there after its own brace comes before it.
fn in_text(text: &str) -> impl Iterator<Item = Used> {
    let rest = Rest::of(text);
    let mut tasks = vec![Task::Read { rest, depth: 0 }];
    std::iter::from_fn(move || {
        loop {
            match tasks.pop()? {
                Task::Found(used) => return Some(used),
                Task::Read { rest, depth } => read(rest, depth, &mut tasks),
            }
        }
    })
}

/// Takes the first variable out of a text; the last task is the first to do. What is nested
/// deeper than interpolation goes is not looked at.
fn read<'a>(rest: Rest<'a>, depth: usize, tasks: &mut Vec<Task<'a>>) {
    let Some(dollar) = rest.text.find('$').filter(|_| depth <= MAX_DEPTH) else {
        return;
    };
    let after = rest.after(dollar + 1);
    let next = |rest| Task::Read { rest, depth };
    if after.text.starts_with('$') {
        return tasks.push(next(after.after(1)));
    }
    let named = |name: &str| {
        Task::Found(Used {
            name: name.to_owned(),
            ..Used::default()
        })
    };
    if !after.text.starts_with('{') {
        let length = name_length(after.text);
        tasks.push(next(after.after(length)));
        if length > 0 {
            tasks.push(named(&after.text[..length]));
        }
        return;
    }
    let mut inner = after.after(1);
    let Some(expression) = inner.braced() else {
        // Nothing that can be read is a variable without a name.
        tasks.push(next(inner));
        return tasks.push(named(""));
    };
    let Some((operator, argument)) = expression.operator else {
        tasks.push(next(inner.after(expression.consumed)));
        return tasks.push(named(expression.name));
    };
    let last = inner.last_brace_end().unwrap_or(expression.consumed);
    tasks.push(next(inner.after(last)));
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
        tasks.push(Task::Read {
            rest: Rest::of(argument),
            depth: depth + 1,
        });
    }
    tasks.push(Task::Found(used));
    tasks.push(next(inner.between(expression.consumed, last)));
}

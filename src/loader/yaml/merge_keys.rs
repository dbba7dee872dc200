//! `<<`: the keys of other mappings.

use indexmap::map::Entry;

use crate::loader::diagnostic::Diagnostic;
use crate::loader::tree::{Map, Node, Rival, Tag, Value};

/// Whether a text merges as a key: its tag decides, and without one, that it has no quotes.
pub(super) fn is_merge(text: &str, plain: bool, tag: Option<&str>) -> bool {
    text == "<<"
        && match tag {
            None | Some("!") => plain,
            Some(tag) => matches!(tag, "tag:yaml.org,2002:merge" | "!!merge"),
        }
}

/// Adds the keys of `<<` that are not there yet; the first of a list wins.
pub(super) fn merge_into(map: &mut Map, merge: Node) -> Result<(), Box<Diagnostic>> {
    let span = merge.span;
    let fine = match merge.value {
        Value::Seq(items) => items.into_iter().all(|item| take(map, item)),
        _ => take(map, merge),
    };
    if fine {
        return Ok(());
    }
    Err(Box::new(
        Diagnostic::error(
            "bad-merge",
            span,
            "`<<` takes a mapping or a list of mappings",
        )
        .help("give it an alias of a mapping, as in `<<: *defaults`"),
    ))
}

/// Adds the keys of one mapping; whether it is one.
fn take(map: &mut Map, node: Node) -> bool {
    let Value::Map(entries) = node.value else {
        return false;
    };
    for (key, value) in entries {
        match map.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(value);
            }
            Entry::Occupied(mut winner) => lose(winner.get_mut(), value),
        }
    }
    true
}

/// Notes a value that lost to one of the same key. One is enough to tell the user, and a list of
/// many mappings would make a row of many.
fn lose(winner: &mut Node, loser: Node) {
    if loser.tag == Tag::Override {
        // Docker compose clears the path, whichever of the two wins.
        winner.tag = Tag::Override;
    }
    if winner.lost.is_none() {
        winner.replace(loser, Rival::Explicit);
    }
}

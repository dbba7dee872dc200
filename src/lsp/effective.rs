//! What an entry of a text comes to once everything is loaded.

use crate::loader::interpolate::Lookup as _;
use crate::loader::tree::{Node, Value};
use crate::loader::{FileId, LoadedTree, Span};

use super::documents::Document;
use super::outline::{Entry, Step};
use super::workspace::Project;

/// The loaded value of an entry, and its path.
pub fn of_entry<'p>(
    project: &'p Project,
    document: &Document,
    index: usize,
) -> Option<(&'p Node, String)> {
    let tree = project.examined.tree.as_ref()?;
    let file = project.file(&document.path)?;
    let entry = document.outline.get(index)?;
    let path = document.outline.path(index);
    find(tree, &document.text, &path, entry, file)
}

/// The value of a variable at an entry of a text, and where that was written. What an included
/// file knows may differ from what the project knows, so the entry's own value says more.
pub fn variable(
    project: &Project,
    document: &Document,
    index: usize,
    name: &str,
) -> Option<(String, Span)> {
    let filled = of_entry(project, document, index).and_then(|(node, _)| node.filled.as_ref());
    let used = filled.and_then(|filled| filled.variables.iter().find(|used| used.name == name));
    match used {
        Some(used) => used.value.clone(),
        None => project.examined.tree.as_ref()?.variables.lookup(name),
    }
}

/// Follows a path of a text in the canonical tree, where lists may have become mappings and the
/// items of others have moved.
fn find<'t>(
    tree: &'t LoadedTree,
    text: &str,
    path: &[Step],
    entry: &Entry,
    file: FileId,
) -> Option<(&'t Node, String)> {
    let mut node = &tree.root;
    let mut dotted = String::new();
    for (depth, step) in path.iter().enumerate() {
        let (next, part) = match (step, &node.value) {
            (Step::Key(key), Value::Map(map)) => (map.get(key)?, key.clone()),
            (Step::Item(_), Value::Map(map)) => {
                // `NAME=value` and `name` become keys.
                let item = text.get(entry.value.clone())?.trim_matches(['"', '\'']);
                let name = item.split('=').next().unwrap_or(item);
                (map.get(name)?, name.to_owned())
            }
            (Step::Item(_), Value::Seq(items)) => {
                let here = |node: &&Node| {
                    let place = node.place();
                    place.file == file && place.start as usize == entry.value.start
                };
                // Only the last step: what is inside an item is found by its own place.
                if depth + 1 != path.len() {
                    return None;
                }
                (items.iter().find(here)?, format!("[{depth}]"))
            }
            _ => return None,
        };
        if matches!(step, Step::Item(_)) && matches!(node.value, Value::Seq(_)) {
            // Its place in the list says nothing: lists are merged.
            dotted.push_str("[]");
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(&part);
        }
        node = next;
    }
    (!dotted.is_empty()).then_some((node, dotted))
}

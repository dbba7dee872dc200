//! `!reset` and `!override`: what they clear in the model so far.

use super::tree::{Node, Path, Value};

/// Removes every entry whose path was tagged. List items are not removed, as in docker compose.
pub fn apply(target: &mut Node, resets: &[Path]) {
    if !resets.is_empty() {
        walk(target, &Path::default(), resets);
    }
}

fn walk(node: &mut Node, path: &Path, resets: &[Path]) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, child| {
            let next = path.key(key);
            if resets.contains(&next) {
                return false;
            }
            walk(child, &next, resets);
            true
        }),
        Value::Seq(items) => {
            for (i, child) in items.iter_mut().enumerate() {
                walk(child, &path.index(i), resets);
            }
        }
        _ => {}
    }
}

//! Tags of Compose in a finished document: the paths they clear in what comes before.

use crate::loader::tree::{Node, Path, Tag, Value};

/// Notes the paths of what is tagged, and removes what is tagged `!reset`. The builder does so
/// where that stands; what is left comes from aliases of anchors within tagged values.
pub(super) fn strip(node: &mut Node, path: &Path, resets: &mut Vec<Path>) {
    match &mut node.value {
        Value::Map(map) => map.retain(|key, child| {
            let next = path.key(key);
            match child.tag {
                Tag::Reset => {
                    resets.push(next);
                    false
                }
                Tag::Override => {
                    resets.push(next);
                    child.tag = Tag::None;
                    true
                }
                Tag::None => {
                    strip(child, &next, resets);
                    true
                }
            }
        }),
        Value::Seq(items) => {
            let mut index = 0;
            items.retain_mut(|child| {
                let next = path.index(index);
                index += 1;
                if child.tag == Tag::Reset {
                    return false;
                }
                child.tag = Tag::None;
                strip(child, &next, resets);
                true
            });
        }
        _ => {}
    }
}

//! `!reset` and `!override`: what they clear in the model so far. A key `*` stands for any, as in
//! docker compose.

use std::collections::HashMap;

use super::tree::{Node, Path, Value};

/// Removes every entry whose path was tagged. List items are not removed, as in docker compose.
pub fn apply(target: &mut Node, resets: &[Path]) {
    if resets.is_empty() {
        return;
    }
    let mut all = Resets::default();
    for path in resets {
        all.add(path);
    }
    walk(target, &[&all]);
}

/// Paths by their first parts, so that many of them cost no more than one.
#[derive(Default)]
struct Resets<'a> {
    /// Whether a path ends here.
    ends: bool,
    below: HashMap<&'a str, Resets<'a>>,
}

impl<'a> Resets<'a> {
    fn add(&mut self, path: &'a Path) {
        let mut last = self;
        for part in &path.0 {
            last = last.below.entry(part).or_default();
        }
        last.ends = true;
    }
}

/// Those that go on with a key.
fn step<'r, 'a>(resets: &[&'r Resets<'a>], key: &str) -> Vec<&'r Resets<'a>> {
    let below = |part| resets.iter().filter_map(move |reset| reset.below.get(part));
    let any = (key != "*").then(|| below("*"));
    below(key).chain(any.into_iter().flatten()).collect()
}

fn walk(node: &mut Node, resets: &[&Resets<'_>]) {
    if resets.is_empty() {
        return;
    }
    match &mut node.value {
        Value::Map(map) => map.retain(|key, child| {
            let next = step(resets, key);
            if next.iter().any(|reset| reset.ends) {
                return false;
            }
            walk(child, &next);
            true
        }),
        Value::Seq(items) => {
            for (i, child) in items.iter_mut().enumerate() {
                walk(child, &step(resets, &format!("[{i}]")));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use crate::loader::tree::Path;
    use crate::loader::{FileId, document, yaml};

    #[test]
    fn what_is_tagged_is_removed() {
        for (reset, want) in [
            ("a", "{d: [{e: 1}]}"),
            ("a.b", "{a: {c: 2}, d: [{e: 1}]}"),
            ("a.*", "{a: {}, d: [{e: 1}]}"),
            ("*.b", "{a: {c: 2}, d: [{e: 1}]}"),
            ("d.[0]", "{a: {b: 1, c: 2}, d: [{e: 1}]}"),
            ("d.*.e", "{a: {b: 1, c: 2}, d: [{}]}"),
            ("a.b.x", "{a: {b: 1, c: 2}, d: [{e: 1}]}"),
        ] {
            let read = |text: &str| yaml::parse(text, FileId(0), &mut Vec::new()).remove(0).root;
            let mut node = read("{a: {b: 1, c: 2}, d: [{e: 1}]}");
            apply(
                &mut node,
                &[Path::of(&reset.split('.').collect::<Vec<_>>())],
            );
            assert_eq!(document(&node), document(&read(want)), "{reset}");
        }
    }
}

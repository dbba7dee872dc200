//! `$NAME` and `${NAME…}` in a text.

use std::ops::Range;

use crate::loader::interpolate::braced;

use super::outline::Outline;

/// A variable that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its name.
    pub name: String,
    /// With the dollar and the braces.
    pub at: Range<usize>,
    /// What stands for it when it is unset (`-`).
    pub default: Option<String>,
}

/// The innermost variable around a byte. None in keys and comments.
pub fn at(text: &str, outline: &Outline, offset: usize) -> Option<Used> {
    let entry = outline.get(outline.before(offset)?)?;
    if offset <= entry.at.end && entry.key().is_some() {
        return None;
    }
    let start = text.get(..offset)?.rfind('\n').map_or(0, |i| i + 1);
    let end = offset + text[offset..].find('\n').unwrap_or(text.len() - offset);
    let mut found = None;
    let mut at = start;
    while let Some(dollar) = text[at..end].find('$').map(|i| at + i) {
        if dollar > offset {
            break;
        }
        let after = &text[dollar + 1..end];
        if after.starts_with('$') {
            at = dollar + 2;
            continue;
        }
        // A default may hold variables again: the search goes on inside.
        at = dollar + 1;
        let used = match after.strip_prefix('{') {
            Some(inner) => braced(inner).map(|expression| Used {
                name: expression.name.to_owned(),
                at: dollar..dollar + 2 + expression.consumed,
                default: expression
                    .operator
                    .filter(|(operator, _)| operator.kind == '-')
                    .map(|(_, default)| default.to_owned()),
            }),
            None => {
                let rest =
                    after.trim_start_matches(|c: char| c == '_' || c.is_ascii_alphanumeric());
                let name = &after[..after.len() - rest.len()];
                (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then(|| {
                    Used {
                        name: name.to_owned(),
                        at: dollar..dollar + 1 + name.len(),
                        default: None,
                    }
                })
            }
        };
        if let Some(used) = used.filter(|used| used.at.contains(&offset)) {
            found = Some(used);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(marked: &str) -> Option<(String, Option<String>)> {
        let offset = marked.find('|').expect("a cursor");
        let text = marked.replacen('|', "", 1);
        at(&text, &Outline::of(&text), offset).map(|used| (used.name, used.default))
    }

    #[test]
    fn the_innermost_one_counts() {
        let found =
            |name: &str, default: Option<&str>| Some((name.to_owned(), default.map(str::to_owned)));
        assert_eq!(name("a: x ${NA|ME} y"), found("NAME", None));
        assert_eq!(name("a: |$NAME"), found("NAME", None));
        assert_eq!(name("a: ${A:-${B-c}|}"), found("A", Some("${B-c}")));
        assert_eq!(name("a: ${A:-${B|-c}}"), found("B", Some("c")));
        assert_eq!(name("a: $$NA|ME"), None);
        assert_eq!(name("a: $1|2"), None);
        assert_eq!(name("${A|}: x"), None);
        assert_eq!(name("a: ${A} |"), None);
        assert_eq!(name("a: ${A|"), None);
    }
}

//! `.dockerignore` and `--exclude`: the patterns of moby's patternmatcher.
//!
//! A path is excluded when the last pattern that matches it, or one of its parents, has no `!`.
//! Patterns are anchored at the root of the context.

use super::glob::{self, Token};
use super::values::clean;

/// A list of patterns, in file order.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    /// For cache keys of `--exclude`.
    pub(super) texts: Vec<String>,
}

#[derive(Clone, Debug)]
struct Pattern {
    keep: bool,
    tokens: Vec<Token>,
    /// `tokens` split at `/`, for [`Patterns::may_keep_below`]; `None` when a `**` makes depth meaningless.
    components: Option<Vec<Vec<Token>>>,
}

/// What becomes of a leading slash: files drop it, flags keep it (and so match nothing), as in the reference.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Dropped,
    Kept,
}

/// A line that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// Line or flag, from 1.
    pub line: usize,
    /// Its text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Patterns {
    /// Reads an ignore file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPattern> {
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
            .into_owned();
        let lines = text
            .split('\n')
            .enumerate()
            .filter(|(_, line)| !line.starts_with('#'));
        Self::new(lines.map(|(at, line)| (at + 1, line)), Anchor::Dropped)
    }

    /// The patterns of `--exclude` flags.
    pub fn from_flags(flags: &[String]) -> Result<Self, BadPattern> {
        Self::new(
            flags
                .iter()
                .enumerate()
                .map(|(at, flag)| (at + 1, flag.as_str())),
            Anchor::Kept,
        )
    }

    fn new<'a>(
        lines: impl Iterator<Item = (usize, &'a str)>,
        anchor: Anchor,
    ) -> Result<Self, BadPattern> {
        let mut all = Self::default();
        for (line, text) in lines {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            let (keep, rest) = match trimmed.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, trimmed),
            };
            let bad = |reason| BadPattern {
                line,
                pattern: trimmed.to_owned(),
                reason,
            };
            if rest.is_empty() {
                return Err(bad("an exception needs a pattern after the `!`"));
            }
            let mut path = clean(rest);
            if anchor == Anchor::Dropped && path.len() > 1 && path.starts_with('/') {
                path.remove(0);
            }
            let tokens = tokens(&path)
                .ok_or_else(|| bad("it is not well formed (a `[` without its `]`?)"))?;
            let deep = tokens
                .iter()
                .any(|token| matches!(token, Token::DeepStar | Token::DeepPrefix));
            let components = (!deep).then(|| {
                tokens
                    .split(|t| *t == Token::Is('/'))
                    .map(<[Token]>::to_vec)
                    .collect()
            });
            all.patterns.push(Pattern {
                keep,
                tokens,
                components,
            });
            all.texts.push(if keep { format!("!{path}") } else { path });
        }
        Ok(all)
    }

    /// Whether nothing is ever excluded.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path (relative, `/`-separated, no leading slash) is excluded.
    pub fn excludes(&self, path: &str) -> bool {
        let mut excluded = false;
        for pattern in &self.patterns {
            if pattern.keep == excluded && pattern.matches_or_parent(path) {
                excluded = !pattern.keep;
            }
        }
        excluded
    }

    /// Whether something below an excluded directory may be kept by an exception: a walk must enter it.
    pub fn may_keep_below(&self, directory: &str) -> bool {
        self.patterns
            .iter()
            .filter(|pattern| pattern.keep)
            .any(|pattern| {
                let Some(components) = &pattern.components else {
                    return true;
                };
                // A pattern that ends above or at the directory keeps it whole; the walk is already inside then.
                directory
                    .split('/')
                    .zip(components)
                    .all(|(name, component)| glob::matches(component, name))
            })
    }
}

impl Pattern {
    fn matches_or_parent(&self, path: &str) -> bool {
        glob::matches(&self.tokens, path)
            || path
                .match_indices('/')
                .any(|(at, _)| glob::matches(&self.tokens, &path[..at]))
    }
}

/// `*`, `?` and classes stop at `/`; `**` does not.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        tokens.push(match c {
            '*' if characters.next_if_eq(&'*').is_some() => {
                let slash = characters.next_if_eq(&'/').is_some();
                match characters.clone().next() {
                    // At the end everything matches.
                    None => Token::DeepStar,
                    // `**text` at the very beginning is a suffix match in the reference.
                    Some(_)
                        if tokens.is_empty()
                            && !slash
                            && !characters.clone().any(|c| "*?[\\".contains(c)) =>
                    {
                        Token::DeepStar
                    }
                    Some(_) => Token::DeepPrefix,
                }
            }
            '*' => Token::Star,
            '?' => Token::One,
            // A lone `\` at the end stands for itself.
            '\\' => Token::Is(characters.next()?),
            '[' => glob::class(&mut characters).ok()?,
            c => Token::Is(c),
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(file: &str, cases: &[(&str, bool)]) {
        let patterns = Patterns::parse(file.as_bytes()).unwrap();
        for (path, expected) in cases {
            assert_eq!(
                patterns.excludes(path),
                *expected,
                "{path} against {file:?}"
            );
        }
    }

    #[test]
    fn patterns() {
        check(
            "*.md\n!README.md",
            &[("a.md", true), ("README.md", false), ("d/a.md", false)],
        );
        check("**/*.md", &[("a.md", true), ("d/e/a.md", true)]);
        check("d/**", &[("d", false), ("d/x", true), ("d/x/y", true)]);
        check(
            "**/d",
            &[("d", true), ("a/d", true), ("a/d/f", true), ("ad", false)],
        );
        check(
            "a/**/b",
            &[("a/b", true), ("a/x/y/b", true), ("a/xb", false)],
        );
        check("**", &[("a", true), ("a/b", true)]);
        check("/x\n./y\nz/", &[("x", true), ("y", true), ("z/f", true)]);
        check(
            "d\n!d/keep",
            &[("d", true), ("d/keep", false), ("d/other", true)],
        );
        check("d\n!d/k\nd/k/x", &[("d/k/x", true), ("d/k/y", false)]);
        check("# c\n #d\n\n! e", &[("#d", true)]);
        check("\\!a\n\\#b", &[("!a", true), ("#b", true)]);
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(Patterns::parse(b"a\n!\n").unwrap_err().line, 2);
        assert_eq!(Patterns::parse(b"[").unwrap_err().line, 1);
    }

    #[test]
    fn a_walk_enters_what_an_exception_may_keep() {
        let patterns = Patterns::parse(b"*\n!src/*.rs\n").unwrap();
        assert!(patterns.may_keep_below("src"));
        assert!(!patterns.may_keep_below("target"));
        assert!(
            Patterns::parse(b"*\n!**/x")
                .unwrap()
                .may_keep_below("any/depth")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), path in "[a-z/.]{0,12}") {
            if let Ok(patterns) = Patterns::parse(&bytes) {
                patterns.excludes(&path);
                patterns.may_keep_below(&path);
            }
        }
    }
}

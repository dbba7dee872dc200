//! YAML text to a tree with places.
//!
//! Reads what go-yaml v3 reads, as docker compose does: YAML 1.2 core scalars plus leading-zero
//! octals and `1_000`; merge keys; aliases, also of anchors in earlier documents. Refuses
//! duplicate and non-string keys, recursive aliases, `%YAML` versions other than 1.1, and
//! documents that grow beyond a budget (alias bombs) or nest too deep.
//!
//! `scan` makes tokens, with `texts` and `properties`; `parse` makes events of them, `builder`
//! the tree, where `scalar` gives texts their types. Begin with [`parse`].

mod builder;
mod parse;
mod places;
mod properties;
mod scalar;
mod scan;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;

use super::diagnostic::Diagnostic;
use super::source::FileId;
use super::tree::{Node, Path};
use builder::Builder;
use places::Places;
pub use scalar::resolve;

/// Deepest nesting.
const MAX_DEPTH: usize = 100;
/// Most nodes after aliases are resolved.
pub const MAX_NODES: usize = 1_000_000;
/// Most bytes of texts after aliases are resolved.
const MAX_TEXT: usize = 96 << 20;
/// Largest text.
pub const MAX_BYTES: usize = 32 << 20;

/// One document of a stream.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its root; nodes tagged `!reset` are gone.
    pub root: Node,
    /// Paths that `!reset` and `!override` clear in what comes before.
    pub resets: Vec<Path>,
}

/// Parses every document of a text. Problems go to `problems`; what could be read is returned.
pub fn parse(text: &str, file: FileId, problems: &mut Vec<Diagnostic>) -> Vec<Document> {
    let mut builder = Builder::new(Places::new(text, file), problems);
    if text.len() > MAX_BYTES {
        builder.problems.push(
            Diagnostic::error(
                "too-big",
                builder.places.whole_line(1),
                format!("the file is larger than {} MiB", MAX_BYTES >> 20),
            )
            .help("split it with `include`"),
        );
        return Vec::new();
    }
    if let Some((line, version)) = yaml_directive(text)
        && version != "1.1"
    {
        builder.problems.push(
            Diagnostic::error(
                "yaml-version",
                builder.places.whole_line(line),
                format!("YAML version `{version}` is not supported"),
            )
            .help("remove the `%YAML` line"),
        );
        return Vec::new();
    }
    builder.stream(text)
}

fn yaml_directive(text: &str) -> Option<(usize, &str)> {
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if let Some(version) = line.strip_prefix("%YAML ") {
            return Some((i + 1, version.trim()));
        }
        if !line.starts_with('#') && !line.trim().is_empty() {
            return None;
        }
    }
    None
}

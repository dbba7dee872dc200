//! YAML text to a tree with places.
//!
//! Reads what go-yaml v3 reads, as docker compose does: the scalars of YAML 1.2, and leading-zero
//! octals, `0b1`, `1_000`, dates and base64; merge keys; aliases, also of anchors in earlier
//! documents. Refuses duplicate and non-string keys, recursive aliases, `%YAML` versions other than
//! 1.1, and documents that grow beyond a budget (alias bombs) or nest too deep.
//!
//! `scan` makes tokens, with `texts` and `properties`; `parse` makes events of them, `builder`
//! the tree: `open` holds what is not finished, `merge_keys` and `resets` do what `<<` and tags ask
//! for, `scalar` gives texts their types with `timestamp` and `binary`, and `budget` bounds it all. Begin with [`parse`].

mod binary;
mod budget;
mod builder;
mod merge_keys;
mod open;
mod parse;
mod places;
mod properties;
mod resets;
mod scalar;
mod scan;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;
mod timestamp;

use super::diagnostic::Diagnostic;
use super::source::FileId;
use super::tree::{Node, Path};
use builder::Builder;
use places::Places;
pub use scalar::resolve;

/// Deepest nesting, with what aliases stand for. What walks a tree calls itself once a level, on
/// threads of 2 MiB too: 800 levels fit there when two files are merged, which takes most. Includes
/// and `extends` around it need their part.
pub(super) const MAX_DEPTH: usize = 250;
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
        builder.problem(
            Diagnostic::error(
                "too-big",
                builder.places.rest_of_line(0),
                format!("the file is larger than {} MiB", MAX_BYTES >> 20),
            )
            .help("split it with `include`"),
        );
        return Vec::new();
    }
    builder.stream(text)
}

//! YAML text to a tree with places.
//!
//! Reads what go-yaml v3 reads, as docker compose does: YAML 1.2 core scalars plus leading-zero
//! octals and `1_000`; merge keys; aliases. Refuses duplicate and non-string keys, recursive
//! aliases, `%YAML` versions other than 1.1, and documents that grow beyond a budget (alias
//! bombs) or nest too deep.

mod builder;
mod places;
mod scalar;
mod syntax;

use saphyr_parser::{Parser, StrInput};

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
    let before = builder.problems.len();
    let documents = builder.stream(text);
    let outdented = builder.problems[before..]
        .iter()
        .any(|p| p.code == "yaml-syntax" && p.message.contains("invalid indentation"));
    match outdented.then(|| outdented_flows(text)).flatten() {
        None => documents,
        Some(repaired) => {
            builder.problems.truncate(before);
            builder.forget();
            builder.stream(&repaired)
        }
    }
}

/// Brackets and braces that stand left of the block they belong to are fine for go-yaml and
/// common in the wild, but not for our parser. The line breaks before them become blanks, so
/// that every byte keeps its position. `None` when that does not help.
fn outdented_flows(text: &str) -> Option<String> {
    const MOST: usize = 500;
    let mut current = text.to_owned();
    // Each round parses again: large files get few.
    for _ in 0..MOST.min((64 << 20) / text.len().max(1)) {
        let mut parser = Parser::new(StrInput::new(&current));
        let error = loop {
            match parser.next_event() {
                None => return Some(current),
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
            }
        };
        if !error.info().contains("invalid indentation") {
            return None;
        }
        let at = current
            .char_indices()
            .nth(error.marker().index())
            .map_or(current.len(), |(i, _)| i);
        let newline = current[..at].rfind('\n')?;
        let line = current[..newline].rfind('\n').map_or(0, |i| i + 1);
        let comment = comment_start(&current[line..newline]).map_or(newline, |i| line + i);
        let blanks = " ".repeat(newline + 1 - comment);
        current.replace_range(comment..=newline, &blanks);
    }
    None
}

/// Where the comment of a line begins.
fn comment_start(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = b' ';
    for (i, b) in line.bytes().enumerate() {
        match (quote, b) {
            (None, b'#') if before.is_ascii_whitespace() => return Some(i),
            (None, b'"' | b'\'') if !before.is_ascii_alphanumeric() => quote = Some(b),
            (Some(q), b) if q == b && before != b'\\' => quote = None,
            _ => {}
        }
        before = b;
    }
    None
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

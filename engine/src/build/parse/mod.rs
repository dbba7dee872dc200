//! Dockerfile text to instructions: `lines` (physical to logical lines, directives, heredocs),
//! `words` (flags, words, JSON forms), `instruction` (the typed form; its flags in `flags`, its words in
//! `forms`), in this order.
//!
//! Syntax only: nothing is expanded, no stage name is looked up. Every error points at its line.

mod directive;
mod flags;
mod forms;
mod heredoc;
mod instruction;
mod lines;
pub(super) mod mount;
mod words;

use super::diagnostic::{Diagnostic, Severity, Source, Span};

pub(super) use directive::{CheckConfig, Directives};
pub(super) use heredoc::{chomp, parse_heredoc_word};
pub(super) use instruction::{
    AddFlags, Argument, CommandLine, CopyFlags, FromFlags, HealthTest, Instruction, Kind, Pairs,
    RunFlags, SourcesAndDest,
};

/// A parsed Dockerfile.
#[derive(Clone, Debug)]
pub(super) struct Dockerfile {
    /// Its text, for messages.
    pub(super) source: Source,
    /// What its first lines ask of the parser.
    pub(super) directives: Directives,
    /// In file order.
    pub(super) instructions: Vec<Instruction>,
    /// Last lines of instructions that hold a blank line.
    pub(super) blank_continuations: Vec<usize>,
}

/// Parses a file. `name` is what messages call it.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Dockerfile, Box<Diagnostic>> {
    let source = Source::new(name, bytes);
    let text = lines::text_of(bytes);
    if text.trim().is_empty() {
        return Err(error(
            &source,
            Span::default(),
            "the Dockerfile is empty",
            Some("begin it with `FROM image`"),
        ));
    }
    let directives = directive::parse(&source, &text)?;
    let logical = lines::split(&source, &text, directives.escape, directives.lines)?;
    if logical.is_empty() {
        return Err(error(
            &source,
            Span::default(),
            "no instruction in the Dockerfile",
            Some("begin it with `FROM image`"),
        ));
    }
    let mut instructions = Vec::with_capacity(logical.len());
    for line in &logical {
        instructions.push(instruction::parse(&source, line, directives.escape)?);
    }
    let blank_continuations = logical
        .iter()
        .filter_map(|line| line.blank_inside)
        .collect();
    Ok(Dockerfile {
        source,
        directives,
        instructions,
        blank_continuations,
    })
}

/// Parses one instruction that was stored as text by `ONBUILD`.
pub(super) fn parse_trigger(text: &str, place: &str) -> Result<Vec<Instruction>, Box<Diagnostic>> {
    let source = Source::new(place, text.as_bytes());
    let logical = lines::split(&source, text, '\\', 0)?;
    if logical.len() != 1 {
        let message = "an ONBUILD trigger is exactly one instruction";
        return Err(error(&source, Span::default(), message, None));
    }
    logical
        .iter()
        .map(|line| instruction::parse(&source, line, '\\'))
        .collect()
}

/// An error at a place.
pub(super) fn error(
    source: &Source,
    span: Span,
    message: impl Into<String>,
    help: Option<&str>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic {
        severity: Severity::Error,
        source: source.clone(),
        span,
        message: message.into(),
        help: help.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests;

//! Physical lines to logical ones: byte order mark, comments, continuations, heredoc bodies.

use super::error;
use super::heredoc::{self, Heredoc};
use crate::build::diagnostic::{Diagnostic, Source, Span};

/// A physical line may not be longer (the reference's scanner buffer).
const MAX_LINE: usize = 65535;

/// One instruction with its continuation lines joined.
#[derive(Clone, Debug)]
pub(super) struct Logical {
    /// The joined text: leading blanks of the first line removed.
    pub(super) text: String,
    /// Which physical lines, heredoc bodies included.
    pub(super) span: Span,
    /// Bodies of the heredocs that its words announce, in order.
    pub(super) heredocs: Vec<Heredoc>,
    /// The comments right above it, without `#` and blanks; an empty comment begins anew.
    pub(super) comments: Vec<String>,
    /// Its last line before heredocs, when a blank line stands inside it.
    pub(super) blank_inside: Option<usize>,
}

/// The text of a file: byte order mark dropped, bytes that are not UTF-8 replaced.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// Splits a file into logical lines. The first `directives` lines are no comments.
pub(super) fn split(
    source: &Source,
    text: &str,
    escape: char,
    directives: usize,
) -> Result<Vec<Logical>, Box<Diagnostic>> {
    let mut physical = Physical {
        source,
        lines: text.split_inclusive('\n').enumerate(),
        last: 0,
    };
    let mut logical = Vec::new();
    let mut comments = Vec::new();
    while let Some(raw) = physical.next()? {
        let first = physical.last;
        let line = end_trimmed(raw).trim_start();
        if line.starts_with('#') {
            // The reference takes away the line's first character, whatever it is: an indented comment keeps its `#`.
            let comment = raw.split_at(raw.chars().next().map_or(0, char::len_utf8)).1;
            match comment.trim() {
                "" => comments.clear(),
                _ if first <= directives => {}
                comment => comments.push(comment.to_owned()),
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let (text, blank_inside) = physical.joined(line, escape)?;
        let blank_inside = blank_inside.then_some(physical.last);
        let mut heredocs = heredoc::announced(&text);
        for heredoc in &mut heredocs {
            physical.body(first, heredoc)?;
        }
        logical.push(Logical {
            text,
            span: Span::lines(first, physical.last),
            heredocs,
            comments: std::mem::take(&mut comments),
            blank_inside,
        });
    }
    Ok(logical)
}

/// The lines of the file, one after the other.
struct Physical<'t> {
    source: &'t Source,
    lines: std::iter::Enumerate<std::str::SplitInclusive<'t, char>>,
    /// Number of the line that was read last.
    last: usize,
}

impl<'t> Physical<'t> {
    fn next(&mut self) -> Result<Option<&'t str>, Box<Diagnostic>> {
        let Some((at, raw)) = self.lines.next() else {
            return Ok(None);
        };
        self.last = at + 1;
        check_length(self.source, self.last, raw)?;
        Ok(Some(raw))
    }

    /// A line with those that continue it, and whether a blank line stands between them.
    fn joined(&mut self, line: &str, escape: char) -> Result<(String, bool), Box<Diagnostic>> {
        let (mut text, mut continued) = continuation(line, escape);
        let mut blank_inside = false;
        while continued {
            let Some(raw) = self.next()? else { break };
            let line = end_trimmed(raw);
            let bare = line.trim_start();
            if bare.starts_with('#') {
                continue;
            }
            if bare.is_empty() {
                blank_inside = true;
                continue;
            }
            let (more, again) = continuation(line, escape);
            text += &more;
            continued = again;
        }
        Ok((text, blank_inside))
    }

    /// Reads the body of a heredoc that the line `first` announces.
    fn body(&mut self, first: usize, heredoc: &mut Heredoc) -> Result<(), Box<Diagnostic>> {
        while let Some(raw) = self.next()? {
            let mut candidate = end_trimmed(raw);
            if heredoc.chomp {
                candidate = candidate.trim_start_matches('\t');
            }
            if candidate == heredoc.name {
                return Ok(());
            }
            heredoc.content += raw;
        }
        let help = format!("end it with a line `{}`", heredoc.name);
        Err(error(
            self.source,
            Span::lines(first, first),
            format!("unterminated heredoc `{}`", heredoc.name),
            Some(&help),
        ))
    }
}

fn check_length(source: &Source, number: usize, raw: &str) -> Result<(), Box<Diagnostic>> {
    if raw.len() > MAX_LINE {
        let message = format!("line {number} is longer than {MAX_LINE} bytes");
        return Err(error(
            source,
            Span {
                line: 0,
                ..Span::default()
            },
            message,
            Some("split it with continuations"),
        ));
    }
    Ok(())
}

fn end_trimmed(raw: &str) -> &str {
    raw.trim_end_matches(['\n', '\r'])
}

/// The line without its continuation character, and whether it had one. The character does not count
/// when the one before it is the same.
fn continuation(line: &str, escape: char) -> (String, bool) {
    let bare = line.trim_end_matches([' ', '\t']);
    match bare.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

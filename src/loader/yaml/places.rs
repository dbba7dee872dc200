//! Where things stand in a text.

use crate::loader::source::{FileId, Span};

/// A text that places are in.
pub(super) struct Places<'a> {
    pub(super) text: &'a str,
    pub(super) file: FileId,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str, file: FileId) -> Self {
        Self { text, file }
    }

    /// From one byte to before another.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let start = start.min(self.text.len()) as u32;
        Span {
            file: self.file,
            start,
            end: (end.min(self.text.len()) as u32).max(start),
        }
    }

    /// The character at a byte.
    pub(super) fn character(&self, start: usize) -> Span {
        let length = self.text[start..].chars().next().map_or(1, char::len_utf8);
        self.span(start, start + length)
    }

    /// From a byte to the end of its line.
    pub(super) fn rest_of_line(&self, start: usize) -> Span {
        let rest = self.text[start..]
            .split(IS_BREAK)
            .next()
            .unwrap_or_default();
        self.span(start, start + rest.trim_end().len())
    }

    /// The line of a byte.
    pub(super) fn line(&self, byte: usize) -> &'a str {
        let start = self.text[..byte].rfind(IS_BREAK).map_or(0, |i| i + 1);
        let rest = &self.text[start..];
        &rest[..rest.find(IS_BREAK).unwrap_or(rest.len())]
    }
}

/// What ends a line for those who read a file; an editor counts no others.
const IS_BREAK: [char; 2] = ['\n', '\r'];

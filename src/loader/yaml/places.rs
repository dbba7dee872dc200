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

    pub(super) fn whole_line(&self, line: usize) -> Span {
        let mut start = 0;
        for (i, text) in self.text.split_inclusive('\n').enumerate() {
            if i + 1 == line {
                return self.span(start, start + text.trim_end().len());
            }
            start += text.len();
        }
        self.span(start, start)
    }
}

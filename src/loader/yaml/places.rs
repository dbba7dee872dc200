//! Where things stand: the parser counts characters, we count bytes.

use crate::loader::source::{FileId, Span};

/// Character positions to byte positions.
pub(super) struct Places<'a> {
    pub(super) text: &'a str,
    pub(super) file: FileId,
    bytes: Option<Vec<u32>>,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str, file: FileId) -> Self {
        let bytes = (!text.is_ascii()).then(|| {
            let mut table: Vec<u32> = text.char_indices().map(|(i, _)| i as u32).collect();
            table.push(text.len() as u32);
            table
        });
        Self { text, file, bytes }
    }

    pub(super) fn byte(&self, chars: usize) -> u32 {
        match &self.bytes {
            None => chars.min(self.text.len()) as u32,
            Some(table) => table.get(chars).copied().unwrap_or(self.text.len() as u32),
        }
    }

    pub(super) fn span(&self, span: saphyr_parser::Span) -> Span {
        let start = self.byte(span.start.index());
        Span {
            file: self.file,
            start,
            end: self.byte(span.end.index()).max(start),
        }
    }

    pub(super) fn whole_line(&self, line: usize) -> Span {
        let mut start = 0;
        for (i, text) in self.text.split_inclusive('\n').enumerate() {
            if i + 1 == line {
                return Span {
                    file: self.file,
                    start: start as u32,
                    end: (start + text.trim_end().len()) as u32,
                };
            }
            start += text.len();
        }
        Span {
            file: self.file,
            start: self.text.len() as u32,
            end: self.text.len() as u32,
        }
    }
}

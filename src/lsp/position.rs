//! Places as editors count them (line, and column in UTF-16, UTF-8 or UTF-32 units) and as the
//! loader does (bytes).
//!
//! Every position is taken: one beyond a line is its end, one inside a character its beginning.

use std::ops::Range;

use lsp_types::{ClientCapabilities, Position, PositionEncodingKind};

/// The unit in which columns are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// What the protocol means without a word about it.
    #[default]
    Utf16,
    /// Characters.
    Utf32,
}

impl Encoding {
    /// The one to use: bytes if the client can, else the first that it prefers.
    pub fn negotiate(client: &ClientCapabilities) -> Self {
        let offered = client
            .general
            .as_ref()
            .and_then(|general| general.position_encodings.as_deref())
            .unwrap_or_default();
        if offered.contains(&PositionEncodingKind::UTF8) {
            return Self::Utf8;
        }
        match offered.first() {
            Some(first) if *first == PositionEncodingKind::UTF32 => Self::Utf32,
            _ => Self::Utf16,
        }
    }

    /// Its name in the protocol.
    pub fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
            Self::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn width(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// Where the lines of a text begin. Lines end with `\n`, `\r\n` or `\r`.
#[derive(Clone, Debug)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// The lines of a text.
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                starts.push(i + 1);
            }
        }
        Self { starts }
    }

    /// The line that a byte is in.
    pub fn line_of(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// The bytes of a line without its end.
    pub fn range(&self, text: &str, line: usize) -> Range<usize> {
        let Some(start) = self.starts.get(line).copied() else {
            return text.len()..text.len();
        };
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let content = text.get(start..end).unwrap_or_default();
        start..start + content.trim_end_matches(['\n', '\r']).len()
    }

    /// The byte at a position.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let range = self.range(text, position.line as usize);
        let wanted = position.character as usize;
        let mut column = 0;
        for (i, c) in text.get(range.clone()).unwrap_or_default().char_indices() {
            if column + encoding.width(c) > wanted {
                return range.start + i;
            }
            column += encoding.width(c);
        }
        range.end
    }

    /// The position of a byte.
    pub fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_of(offset);
        let range = self.range(text, line);
        let before = text
            .get(range.start..offset.min(range.end))
            .unwrap_or_default();
        let column = before.chars().map(|c| encoding.width(c)).sum::<usize>();
        Position::new(number(line), number(column))
    }

    /// The range of some bytes.
    pub fn positions(
        &self,
        text: &str,
        range: &Range<usize>,
        encoding: Encoding,
    ) -> lsp_types::Range {
        lsp_types::Range::new(
            self.position(text, range.start, encoding),
            self.position(text, range.end.max(range.start), encoding),
        )
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    fn offset(text: &str, line: u32, character: u32, encoding: Encoding) -> usize {
        Lines::of(text).offset(text, Position::new(line, character), encoding)
    }

    #[test]
    fn columns_are_counted_in_the_clients_unit() {
        let text = "a: ü\nb: 😀x\n";
        // `x` is byte 13: a newline after 5 bytes, then `b: ` and four bytes.
        assert_eq!(offset(text, 1, 7, Encoding::Utf8), 13);
        assert_eq!(offset(text, 1, 5, Encoding::Utf16), 13);
        assert_eq!(offset(text, 1, 4, Encoding::Utf32), 13);
        let lines = Lines::of(text);
        let column = |encoding| lines.position(text, 13, encoding).character;
        assert_eq!(ALL.map(column), [7, 5, 4]);
    }

    #[test]
    fn positions_out_of_reach_are_the_nearest_place() {
        let text = "ab\r\nc😀\rd";
        assert_eq!(offset(text, 0, 99, Encoding::Utf16), 2);
        assert_eq!(offset(text, 99, 0, Encoding::Utf16), text.len());
        // Inside the surrogate pair: before it.
        assert_eq!(offset(text, 1, 2, Encoding::Utf16), 5);
        assert_eq!(offset(text, 2, 1, Encoding::Utf16), text.len());
        assert_eq!(offset("", 0, 5, Encoding::Utf8), 0);
        assert_eq!(offset("", u32::MAX, u32::MAX, Encoding::Utf8), 0);
    }

    #[test]
    fn bytes_are_taken_when_offered() {
        let with = |kinds: &[&'static str]| {
            let encodings = kinds.iter().map(|k| PositionEncodingKind::new(k)).collect();
            let capabilities = ClientCapabilities {
                general: Some(lsp_types::GeneralClientCapabilities {
                    position_encodings: Some(encodings),
                    ..Default::default()
                }),
                ..Default::default()
            };
            Encoding::negotiate(&capabilities)
        };
        assert_eq!(with(&["utf-16", "utf-8"]), Encoding::Utf8);
        assert_eq!(with(&["utf-32", "utf-16"]), Encoding::Utf32);
        assert_eq!(with(&["utf-16"]), Encoding::Utf16);
        assert_eq!(with(&["utf-7"]), Encoding::Utf16);
        let silent = ClientCapabilities::default();
        assert_eq!(Encoding::negotiate(&silent), Encoding::Utf16);
    }

    proptest! {
        #[test]
        fn every_character_has_a_position_that_leads_back(text in "[a\u{fc}\u{1f600}\r\n :]{0,40}") {
            let lines = Lines::of(&text);
            for encoding in ALL {
                for (offset, c) in text.char_indices() {
                    // The second byte of a line end is beyond its line.
                    if c == '\n' && text[..offset].ends_with('\r') {
                        continue;
                    }
                    let position = lines.position(&text, offset, encoding);
                    prop_assert_eq!(lines.offset(&text, position, encoding), offset);
                }
            }
        }

        #[test]
        fn no_position_is_refused(text in "\\PC{0,20}", line: u32, character: u32, offset: usize) {
            let lines = Lines::of(&text);
            for encoding in ALL {
                let found = lines.offset(&text, Position::new(line % 9, character), encoding);
                prop_assert!(text.is_char_boundary(found));
                lines.position(&text, offset, encoding);
            }
        }
    }
}

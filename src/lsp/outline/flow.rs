//! Brackets and braces.

use super::block::Reader;
use super::{Kind, Step, unquoted};

/// Deepest nesting; what is deeper has no entries.
const MAX_DEPTH: usize = 100;

/// Where reading goes on, and whether the collection was closed.
enum End {
    Closed(usize),
    /// A line that looks like a key of the block around: the closing bracket is missing.
    Lost(usize),
}

impl Reader<'_> {
    /// Reads a collection that begins at `pos`, with everything inside. `column` is the one of
    /// the entry it is the value of.
    pub(super) fn flow(
        &mut self,
        owner: Option<usize>,
        pos: usize,
        column: Option<usize>,
    ) -> usize {
        match self.collection(owner, pos, column, 0) {
            End::Closed(end) | End::Lost(end) => end,
        }
    }

    fn collection(
        &mut self,
        owner: Option<usize>,
        open: usize,
        column: Option<usize>,
        depth: usize,
    ) -> End {
        let is_list = self.bytes[open] == b'[';
        let kind = if is_list { Kind::List } else { Kind::Map };
        let mut pos = open + 1;
        let end = loop {
            pos = match self.skip_gaps(pos, column) {
                Ok(pos) => pos,
                Err(end) => break End::Lost(end),
            };
            match self.bytes[pos] {
                b']' | b'}' => break End::Closed(pos + 1),
                b',' => pos += 1,
                _ => match self.element(owner, is_list, pos, column, depth) {
                    End::Closed(next) => pos = next,
                    lost => break lost,
                },
            }
        };
        if let Some(entry) = owner.and_then(|owner| self.outline.entries.get_mut(owner)) {
            let (End::Closed(last) | End::Lost(last)) = end;
            entry.kind = kind;
            entry.value = open..last;
            entry.end = last;
        }
        end
    }

    /// One item, key, or pair.
    fn element(
        &mut self,
        owner: Option<usize>,
        is_list: bool,
        start: usize,
        column: Option<usize>,
        depth: usize,
    ) -> End {
        let token = self.token(start);
        let after = self.skip_blanks(token.end);
        let pair = self.bytes.get(after) == Some(&b':') && !token.nested;
        let mut parent = owner;
        if is_list {
            let item = self.item(owner, start..start, 0);
            self.outline.entries[item].flow = true;
            if !pair {
                return self.give(item, start, column, depth);
            }
            parent = Some(item);
        }
        if token.nested {
            // A collection as a key: nothing of ours has one.
            let key = self.add(parent, Step::Key(String::new()), start..start, 0, None);
            self.outline.entries[key].flow = true;
            return self.give(key, start, column, depth);
        }
        let name = unquoted(&self.text[token.start..token.end]);
        let colon = pair.then_some(after + 1);
        let key = self.add(parent, Step::Key(name), token.start..token.end, 0, colon);
        self.outline.entries[key].flow = true;
        let Some(colon) = colon else {
            self.properties(start, Some(key));
            return End::Closed(token.end.max(start + 1));
        };
        match self.skip_gaps(colon, column) {
            Err(end) => End::Lost(end),
            Ok(pos) if matches!(self.bytes[pos], b',' | b']' | b'}') => End::Closed(pos),
            Ok(pos) => self.give(key, pos, column, depth),
        }
    }

    /// Reads the value of an entry.
    fn give(&mut self, index: usize, start: usize, column: Option<usize>, depth: usize) -> End {
        let pos = self.properties(start, Some(index));
        let token = self.token(start);
        if token.nested {
            if depth >= MAX_DEPTH {
                return End::Lost(self.end_of_line(pos));
            }
            return self.collection(Some(index), token.start, column, depth + 1);
        }
        let kind = match self.bytes.get(token.start) {
            Some(b'*') => {
                self.alias(token.start, token.end, Some(index));
                Kind::Alias
            }
            Some(b'"' | b'\'') => Kind::Quoted,
            _ if token.start == token.end => Kind::Nothing,
            _ => Kind::Plain,
        };
        let entry = &mut self.outline.entries[index];
        entry.kind = kind;
        entry.value = token.start..token.end;
        entry.end = token.end;
        End::Closed(token.end.max(start + 1))
    }

    /// The scalar at a place, after anchors and tags; a collection is only announced.
    fn token(&self, start: usize) -> Token {
        let mut pos = start;
        while pos < self.bytes.len() && matches!(self.bytes[pos], b'&' | b'!') {
            pos = self.skip_blanks(self.token_end(pos));
        }
        let end = match self.bytes.get(pos) {
            Some(b'[' | b'{') => {
                return Token {
                    start: pos,
                    end: pos,
                    nested: true,
                };
            }
            Some(b'"' | b'\'') => self.quoted_end(pos, Some(0)),
            _ => self.flow_plain_end(pos),
        };
        Token {
            start: pos,
            end,
            nested: false,
        }
    }

    fn flow_plain_end(&self, pos: usize) -> usize {
        let mut end = pos;
        // `${NAME}` is part of a text that is being typed, whatever YAML says about braces.
        let mut variables = 0usize;
        while let Some(byte) = self.bytes.get(end) {
            let next = self.bytes.get(end + 1);
            match byte {
                b'{' if end > pos && self.bytes[end - 1] == b'$' => variables += 1,
                b'}' if variables > 0 => variables -= 1,
                b'\n' => break,
                b',' | b'[' | b']' | b'{' | b'}' if variables == 0 => break,
                b':' if variables == 0
                    && next.is_none_or(|n| n.is_ascii_whitespace() || b",[]{}".contains(n)) =>
                {
                    break;
                }
                b'#' if end > pos && self.bytes[end - 1].is_ascii_whitespace() => break,
                _ => {}
            }
            end += 1;
        }
        pos + self.text[pos..end].trim_ascii_end().len()
    }

    /// Skips blanks, line ends and comments. `Err` with the end of the line before when the text
    /// ends, or a line begins that looks like one of the block around.
    fn skip_gaps(&self, mut pos: usize, column: Option<usize>) -> Result<usize, usize> {
        loop {
            pos = self.skip_blanks(pos);
            match self.bytes.get(pos) {
                None => return Err(self.bytes.len()),
                Some(b'\r') => pos += 1,
                Some(b'#') => pos = self.end_of_line(pos),
                Some(b'\n') => {
                    if column.is_some_and(|column| self.is_outside(pos + 1, column)) {
                        return Err(pos);
                    }
                    pos += 1;
                }
                Some(_) => return Ok(pos),
            }
        }
    }

    /// Whether a line looks like a key or an item that is no deeper than `column`.
    fn is_outside(&self, line: usize, column: usize) -> bool {
        let content = self.skip_blanks(line);
        if content - line > column {
            return false;
        }
        let end = self.end_of_line(content);
        let Some(text) = self.text.get(content..end) else {
            return false;
        };
        if text.starts_with("- ") || text == "-" {
            return true;
        }
        let word = text
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'')))
            .unwrap_or(text.len());
        let after = &text[word..];
        word > 0 && (after == ":" || after.starts_with(": "))
    }
}

struct Token {
    start: usize,
    end: usize,
    nested: bool,
}

//! Lines: keys, dashes, and scalars between them.

use super::{Entry, Kind, Mark, Outline, Step, unquoted};

/// Reads a text from its beginning to its end.
pub struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) outline: &'a mut Outline,
    /// Block entries that may get children, outermost first.
    open: Vec<usize>,
    /// How many items every entry has so far; the first number is the document's.
    pub(super) items: Vec<usize>,
    /// First byte of the present line.
    line: usize,
    /// One past its last byte.
    line_end: usize,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing.
    pub fn new(text: &'a str, outline: &'a mut Outline) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            outline,
            open: Vec::new(),
            items: vec![0],
            line: 0,
            line_end: 0,
        }
    }

    /// Reads everything.
    pub fn read(mut self) {
        let mut at = if self.text.starts_with('\u{feff}') {
            3
        } else {
            0
        };
        while at < self.bytes.len() {
            self.line = at;
            self.line_end = self.end_of_line(at);
            let done = self.line_at(at);
            at = self.next_line(done.max(at));
        }
    }

    fn line_at(&mut self, at: usize) -> usize {
        let content = self.skip_blanks(at);
        let rest = &self.text[content..self.line_end];
        if rest.is_empty() || rest.starts_with('#') {
            return self.line_end;
        }
        if content == at {
            let marker = |sign: &str| {
                rest.strip_prefix(sign)
                    .is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t']))
            };
            if marker("---") || marker("...") {
                self.open.clear();
                self.items[0] = 0;
                return self.line_end;
            }
            if rest.starts_with('%') {
                return self.line_end;
            }
        }
        self.content(content)
    }

    /// Reads what stands on a line; gives the byte where reading goes on.
    fn content(&mut self, mut pos: usize) -> usize {
        let mut item = None;
        loop {
            let column = pos - self.line;
            if self.bytes[pos] == b'-' && self.is_gap(pos + 1) {
                let index = self.dash(pos, column);
                item = Some(index);
                pos = self.skip_blanks(pos + 1);
                if pos >= self.line_end || self.bytes[pos] == b'#' {
                    return self.line_end;
                }
                continue;
            }
            if self.bytes[pos] == b'?' && self.is_gap(pos + 1) {
                return self.explicit_key(pos, column);
            }
            if self.bytes[pos] == b':'
                && self.is_gap(pos + 1)
                && let Some(index) = self.waiting_key(column)
            {
                self.outline.entries[index].colon = Some(pos + 1);
                return self.value(index, pos + 1);
            }
            let start = self.skip_properties(pos);
            if let Some((end, colon)) = self.key_end(start) {
                let index = self.key(start, end, Some(colon), column);
                self.properties(pos, Some(index));
                return self.value(index, colon);
            }
            return match item {
                Some(item) => self.value(item, pos),
                None => self.loose(pos, column),
            };
        }
    }

    /// `? key`, whose colon follows on a line of its own.
    fn explicit_key(&mut self, pos: usize, column: usize) -> usize {
        let start = self.skip_blanks(pos + 1);
        if start < self.line_end {
            let end = match self.bytes[start] {
                b'"' | b'\'' => self.quoted_end(start, None),
                _ => self.plain_end(start),
            };
            self.key(start, end, None, column);
        }
        self.line_end
    }

    /// The key of this column that has no colon yet.
    fn waiting_key(&mut self, column: usize) -> Option<usize> {
        self.leave(|entry| entry.column > column);
        let index = *self.open.last()?;
        let entry = self.outline.get(index)?;
        let waits = entry.column == column && entry.key().is_some() && entry.colon.is_none();
        waits.then_some(index)
    }

    fn dash(&mut self, pos: usize, column: usize) -> usize {
        self.leave(|entry| {
            entry.column > column || (entry.column == column && entry.key().is_none())
        });
        let parent = self.open.last().copied();
        let index = self.item(parent, pos..pos + 1, column);
        self.open.push(index);
        index
    }

    /// Adds an item after those that its parent has.
    pub(super) fn item(
        &mut self,
        parent: Option<usize>,
        at: std::ops::Range<usize>,
        column: usize,
    ) -> usize {
        let count = &mut self.items[parent.map_or(0, |parent| parent + 1)];
        let step = Step::Item(*count);
        *count += 1;
        self.add(parent, step, at, column, None)
    }

    /// Adds an entry.
    pub(super) fn add(
        &mut self,
        parent: Option<usize>,
        step: Step,
        at: std::ops::Range<usize>,
        column: usize,
        colon: Option<usize>,
    ) -> usize {
        self.items.push(0);
        let end = colon.unwrap_or(at.end);
        self.outline.push(Entry {
            parent,
            step,
            at,
            column,
            colon,
            kind: Kind::Nothing,
            value: end..end,
            end,
            flow: false,
        })
    }

    fn key(&mut self, start: usize, end: usize, colon: Option<usize>, column: usize) -> usize {
        self.leave(|entry| entry.column >= column);
        let parent = self.open.last().copied();
        let name = unquoted(&self.text[start..end]);
        let index = self.add(parent, Step::Key(name), start..end, column, colon);
        self.open.push(index);
        index
    }

    fn leave(&mut self, done: impl Fn(&Entry) -> bool) {
        while let Some(last) = self.open.last()
            && self.outline.get(*last).is_some_and(&done)
        {
            self.open.pop();
        }
    }

    /// Something on a line of its own that is neither key nor item: the value of the key above,
    /// more of a scalar, or a key that is being typed.
    fn loose(&mut self, pos: usize, column: usize) -> usize {
        let above = self.open.last().copied().filter(|i| {
            self.outline
                .get(*i)
                .is_some_and(|entry| entry.column < column)
        });
        if let Some(above) = above
            && let Some(entry) = self.outline.entries.get_mut(above)
        {
            let continues = entry.kind == Kind::Plain;
            if continues {
                entry.value.end = self.line_end;
                entry.end = self.line_end;
                return self.line_end;
            }
            if entry.kind == Kind::Nothing && b"[{\"'|>*&!".contains(&self.bytes[pos]) {
                return self.value(above, pos);
            }
        } else if self.outline.entries.is_empty() && b"[{".contains(&self.bytes[pos]) {
            return self.flow(None, pos, None);
        }
        let end = self.plain_end(pos);
        self.key(pos, end, None, column);
        self.line_end
    }

    /// Reads the value of an entry.
    fn value(&mut self, index: usize, pos: usize) -> usize {
        let pos = self.properties(pos, Some(index));
        if pos >= self.line_end || self.bytes[pos] == b'#' {
            return self.line_end;
        }
        let column = self.outline.entries[index].column;
        let (kind, end, next) = match self.bytes[pos] {
            b'*' => {
                let end = self.token_end(pos);
                self.alias(pos, end, Some(index));
                (Kind::Alias, end, self.line_end)
            }
            b'|' | b'>' => {
                let end = self.scalar_block_end(column);
                (Kind::Block, end, end)
            }
            b'"' | b'\'' => {
                let end = self.quoted_end(pos, Some(column));
                // What follows a closing quote on its line is a comment or a mistake.
                (Kind::Quoted, end, end)
            }
            b'[' | b'{' => return self.flow(Some(index), pos, Some(column)),
            _ => (Kind::Plain, self.plain_end(pos), self.line_end),
        };
        let entry = &mut self.outline.entries[index];
        entry.kind = kind;
        entry.value = pos..end;
        entry.end = end;
        next
    }

    /// Reads anchors and tags for an entry and skips the blanks after them.
    pub(super) fn properties(&mut self, pos: usize, entry: Option<usize>) -> usize {
        let mut pos = self.skip_blanks(pos);
        while pos < self.bytes.len() && matches!(self.bytes[pos], b'&' | b'!') {
            let end = self.token_end(pos);
            if self.bytes[pos] == b'&' {
                let name = self.text[pos + 1..end].to_owned();
                self.outline.anchors.push(Mark {
                    name,
                    at: pos..end,
                    entry,
                });
            }
            pos = self.skip_blanks(end);
        }
        pos
    }

    fn skip_properties(&self, pos: usize) -> usize {
        let mut pos = pos;
        while pos < self.line_end && matches!(self.bytes[pos], b'&' | b'!') {
            pos = self.skip_blanks(self.token_end(pos));
        }
        pos
    }

    /// Notes an alias.
    pub(super) fn alias(&mut self, pos: usize, end: usize, entry: Option<usize>) {
        let name = self.text[pos + 1..end].to_owned();
        self.outline.aliases.push(Mark {
            name,
            at: pos..end,
            entry,
        });
    }

    /// Where a key ends, and one past its colon, if there is a key.
    fn key_end(&self, pos: usize) -> Option<(usize, usize)> {
        let first = *self.bytes.get(pos).filter(|_| pos < self.line_end)?;
        if matches!(first, b'[' | b'{' | b'|' | b'>' | b'#') {
            return None;
        }
        if matches!(first, b'"' | b'\'') {
            let end = self.quoted_end(pos, None);
            let colon = self.skip_blanks(end);
            let is_key = end <= self.line_end
                && self.bytes.get(colon) == Some(&b':')
                && self.is_gap(colon + 1);
            return is_key.then_some((end, colon + 1));
        }
        let mut before = b'x';
        for i in pos..self.line_end {
            let byte = self.bytes[i];
            if byte == b':' && self.is_gap(i + 1) {
                let end = pos + self.text[pos..i].trim_ascii_end().len();
                return (end > pos).then_some((end, i + 1));
            }
            if byte == b'#' && matches!(before, b' ' | b'\t') {
                return None;
            }
            before = byte;
        }
        None
    }

    /// The end of an unquoted scalar on its line.
    fn plain_end(&self, pos: usize) -> usize {
        let line = &self.text[pos..self.line_end];
        let comment = line
            .match_indices('#')
            .map(|(i, _)| i)
            .find(|i| *i > 0 && matches!(line.as_bytes()[i - 1], b' ' | b'\t'));
        pos + line[..comment.unwrap_or(line.len())].trim_ascii_end().len()
    }

    /// One past the closing quote. Without one, the end of the last line that is deeper than
    /// `column`, or of this line when no other is allowed.
    pub(super) fn quoted_end(&self, pos: usize, column: Option<usize>) -> usize {
        let quote = self.bytes[pos];
        let mut i = pos + 1;
        while i < self.bytes.len() {
            match self.bytes[i] {
                b'\\' if quote == b'"' => i += 1,
                byte if byte == quote => {
                    if quote == b'\'' && self.bytes.get(i + 1) == Some(&b'\'') {
                        i += 1;
                    } else {
                        return i + 1;
                    }
                }
                b'\n' => {
                    let Some(column) = column else {
                        return self.end_of_line(pos);
                    };
                    let content = self.skip_blanks(i + 1);
                    let blank = content >= self.end_of_line(i + 1);
                    if !blank && content - (i + 1) <= column {
                        return self.end_of_line(pos);
                    }
                }
                _ => {}
            }
            i += 1;
        }
        self.end_of_line(pos)
    }

    /// The end of the lines that belong to a `|` or `>` of this line.
    fn scalar_block_end(&self, column: usize) -> usize {
        let mut end = self.line_end;
        let mut at = self.next_line(end);
        while at < self.bytes.len() {
            let line_end = self.end_of_line(at);
            let content = self.skip_blanks(at);
            if content < line_end {
                if content - at <= column {
                    break;
                }
                end = line_end;
            }
            at = self.next_line(line_end);
        }
        end
    }

    /// The end of an anchor, alias or tag.
    pub(super) fn token_end(&self, pos: usize) -> usize {
        self.bytes[pos..]
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || b",[]{}".contains(byte))
            .map_or(self.bytes.len(), |length| pos + length)
    }

    /// Whether a byte ends what is before it: a blank, or the end of the line.
    fn is_gap(&self, pos: usize) -> bool {
        self.bytes
            .get(pos)
            .is_none_or(|byte| byte.is_ascii_whitespace())
    }

    pub(super) fn skip_blanks(&self, mut pos: usize) -> usize {
        while matches!(self.bytes.get(pos), Some(b' ' | b'\t')) {
            pos += 1;
        }
        pos
    }

    pub(super) fn end_of_line(&self, pos: usize) -> usize {
        let newline = self.bytes[pos..].iter().position(|byte| *byte == b'\n');
        let end = newline.map_or(self.bytes.len(), |length| pos + length);
        if end > pos && self.bytes[end - 1] == b'\r' {
            end - 1
        } else {
            end
        }
    }

    /// The first byte after the line that `pos` is in.
    fn next_line(&self, pos: usize) -> usize {
        let newline = self.bytes[pos.min(self.bytes.len())..]
            .iter()
            .position(|byte| *byte == b'\n');
        newline.map_or(self.bytes.len(), |length| pos + length + 1)
    }
}

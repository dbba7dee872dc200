//! YAML text to tokens, by the rules of libyaml as go-yaml v3 has them: a lone `-` may stand in
//! brackets, quoted text may continue at any column, and `#` begins a comment after any token.
//!
//! Whether something is a key is known only when its `:` comes. So a place where a key may begin
//! is remembered, one a level of brackets, and tokens from there on wait in a queue until it is
//! decided. The text must hold no NUL: it stands for the end.
//!
//! One algorithm, one function for each kind of token: begin with [`Scanner::token`].

use std::borrow::Cow;
use std::collections::VecDeque;

use super::syntax::{Fault, Wrong};

/// Longest key without `?`, in characters.
const LONGEST_KEY: usize = 1024;

/// A piece of syntax, and where it stands in bytes.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The version that `%YAML` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u8,
    pub(super) minor: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    StreamEnd,
    /// `%YAML`.
    Version(Version),
    /// `%TAG`.
    TagPrefix {
        handle: &'a str,
        prefix: String,
    },
    DocumentStart,
    DocumentEnd,
    BlockSequence,
    BlockMapping,
    BlockEnd,
    FlowSequence,
    FlowSequenceEnd,
    FlowMapping,
    FlowMappingEnd,
    /// `- `
    BlockEntry,
    /// `,`
    FlowEntry,
    /// `? `, or where a key without it begins.
    Key,
    /// `:`
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    Tag {
        handle: &'a str,
        suffix: String,
    },
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
    },
}

/// Where a key may have begun.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The number of the token that it begins with.
    token: usize,
    at: usize,
    line: usize,
    column: i32,
    /// Nothing but a key can stand here.
    required: bool,
}

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    line: usize,
    /// In characters.
    pub(super) column: i32,
    queue: VecDeque<Token<'a>>,
    /// How many tokens have left the queue.
    taken: usize,
    /// The column of the innermost block; -1 outside of all.
    pub(super) indent: i32,
    outer_indents: Vec<i32>,
    /// For the block, and for each open bracket.
    candidates: Vec<Option<Candidate>>,
    pub(super) may_be_key: bool,
    /// Whether a comment on this line belongs to the token before it.
    pub(super) after_token: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // One that tells the encoding, and one more that go-yaml skips as a comment.
        let at = ['\u{feff}'; 2]
            .iter()
            .fold(text, |rest, mark| rest.strip_prefix(*mark).unwrap_or(rest));
        let at = text.len() - at.len();
        Self {
            text,
            at,
            line: 0,
            column: 0,
            queue: VecDeque::new(),
            taken: 0,
            indent: -1,
            outer_indents: Vec::new(),
            candidates: vec![None],
            may_be_key: true,
            after_token: false,
        }
    }

    /// The next token; after the end of the stream there is none.
    pub(super) fn token(&mut self) -> Result<Token<'a>, Fault> {
        while self.queue.is_empty() || self.head_is_undecided()? {
            self.fetch()?;
        }
        self.taken += 1;
        let end = Token {
            kind: Kind::StreamEnd,
            start: self.at,
            end: self.at,
        };
        Ok(self.queue.pop_front().unwrap_or(end))
    }

    /// Whether the first token in the queue may still turn out to begin a key.
    fn head_is_undecided(&mut self) -> Result<bool, Fault> {
        let first = self.candidates.iter().position(Option::is_some);
        match first {
            Some(level)
                if self
                    .candidate(level)?
                    .is_some_and(|c| c.token == self.taken) =>
            {
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Reads on until there is one more token.
    fn fetch(&mut self) -> Result<(), Fault> {
        self.skip_to_token();
        self.close_blocks(self.column);
        if self.at_end() {
            return self.fetch_end();
        }
        if self.column == 0 && self.byte(0) == b'%' {
            return self.fetch_directive();
        }
        if let Some(kind) = self.document_marker() {
            return self.fetch_document_marker(kind);
        }
        self.after_token = true;
        let next_is_blank = self.is_blank_or_end(1);
        match self.byte(0) {
            b'[' => self.open_flow(Kind::FlowSequence),
            b'{' => self.open_flow(Kind::FlowMapping),
            b']' => self.close_flow(Kind::FlowSequenceEnd),
            b'}' => self.close_flow(Kind::FlowMappingEnd),
            b',' => {
                self.drop_candidate()?;
                self.may_be_key = true;
                self.indicator(Kind::FlowEntry);
                Ok(())
            }
            b'-' if next_is_blank => self.fetch_block_entry(),
            b'?' if self.in_flow() || next_is_blank => self.fetch_key(),
            b':' if self.in_flow() || next_is_blank => self.fetch_value(),
            b'*' | b'&' => self.fetch_scalar_like(Self::anchor),
            b'!' => self.fetch_scalar_like(Self::tag),
            b'|' | b'>' if !self.in_flow() => self.fetch_block_scalar(),
            b'\'' | b'"' => self.fetch_scalar_like(Self::quoted),
            b'\t' => Err(self.fault(Wrong::Tab)),
            b'#' | b'|' | b'>' | b'%' | b'@' | b'`' => Err(self.fault(Wrong::Character)),
            _ => self.fetch_scalar_like(Self::plain),
        }
    }

    // What stands here.

    /// The byte this far ahead; 0 behind the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text
            .as_bytes()
            .get(self.at + ahead)
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(super) fn in_flow(&self) -> bool {
        self.candidates.len() > 1
    }

    pub(super) fn is_blank(&self) -> bool {
        matches!(self.byte(0), b' ' | b'\t')
    }

    /// The length of a line break this far ahead: LF, CR, CR LF, NEL, LS, PS.
    pub(super) fn line_break(&self, ahead: usize) -> Option<usize> {
        match (self.byte(ahead), self.byte(ahead + 1), self.byte(ahead + 2)) {
            (b'\r', b'\n', _) | (0xc2, 0x85, _) => Some(2),
            (b'\r' | b'\n', ..) => Some(1),
            (0xe2, 0x80, 0xa8 | 0xa9) => Some(3),
            _ => None,
        }
    }

    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t' | 0) || self.line_break(ahead).is_some()
    }

    /// `---` or `...` at the beginning of a line.
    pub(super) fn document_marker(&self) -> Option<Kind<'a>> {
        if self.column != 0 || !self.is_blank_or_end(3) {
            return None;
        }
        match (self.byte(0), self.byte(1), self.byte(2)) {
            (b'-', b'-', b'-') => Some(Kind::DocumentStart),
            (b'.', b'.', b'.') => Some(Kind::DocumentEnd),
            _ => None,
        }
    }

    pub(super) fn fault(&self, wrong: Wrong) -> Fault {
        Fault { at: self.at, wrong }
    }

    // Moving on.

    /// Over one character that is no line break.
    pub(super) fn skip(&mut self) {
        self.at += match self.byte(0) {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        self.column += 1;
    }

    /// Over a line break, if there is one: what it is in a text.
    pub(super) fn skip_break(&mut self) -> &'a str {
        let Some(length) = self.line_break(0) else {
            return "";
        };
        let written = &self.text[self.at..self.at + length];
        self.at += length;
        self.line += 1;
        self.column = 0;
        if length == 3 { written } else { "\n" }
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.is_blank() {
            self.skip();
        }
    }

    pub(super) fn skip_rest_of_line(&mut self) {
        while !self.at_end() && self.line_break(0).is_none() {
            self.skip();
        }
    }

    /// Over blanks, comments and line breaks. Tabs count as blanks where no key can begin.
    fn skip_to_token(&mut self) {
        let mut own_line = !std::mem::take(&mut self.after_token);
        loop {
            while self.byte(0) == b' '
                || self.byte(0) == b'\t' && (self.in_flow() || !self.may_be_key)
            {
                self.skip();
            }
            if self.byte(0) == b'#' {
                self.skip_rest_of_line();
                while own_line && self.skip_to_comment() {
                    self.skip_rest_of_line();
                }
            }
            if self.line_break(0).is_none() {
                return;
            }
            self.skip_break();
            own_line = true;
            if !self.in_flow() {
                self.may_be_key = true;
            }
        }
    }

    /// From the end of a comment to the next one, if nothing stands between them; tabs may.
    fn skip_to_comment(&mut self) -> bool {
        let blank = |c: char| {
            matches!(
                c,
                ' ' | '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        if !self.text[self.at..]
            .trim_start_matches(blank)
            .starts_with('#')
        {
            return false;
        }
        while self.byte(0) != b'#' {
            if self.line_break(0).is_some() {
                self.skip_break();
            } else {
                self.skip();
            }
        }
        true
    }

    /// A token of this many bytes.
    fn indicator(&mut self, kind: Kind<'a>) {
        let start = self.at;
        self.skip();
        self.push(kind, start, self.at);
    }

    fn push(&mut self, kind: Kind<'a>, start: usize, end: usize) {
        self.queue.push_back(Token { kind, start, end });
    }

    // Keys that may have begun.

    /// The candidate of a level, unless it is too far away by now.
    fn candidate(&mut self, level: usize) -> Result<Option<Candidate>, Fault> {
        let Some(candidate) = self.candidates[level] else {
            return Ok(None);
        };
        if candidate.line == self.line && !self.is_too_long(candidate.at) {
            return Ok(Some(candidate));
        }
        self.candidates[level] = None;
        candidate.given_up().map(|()| None)
    }

    fn is_too_long(&self, start: usize) -> bool {
        self.at - start > LONGEST_KEY
            && self.text[start..self.at].chars().nth(LONGEST_KEY).is_some()
    }

    /// Notes that a key may begin here.
    fn save_candidate(&mut self) -> Result<(), Fault> {
        if !self.may_be_key {
            return Ok(());
        }
        self.drop_candidate()?;
        let candidate = Candidate {
            token: self.taken + self.queue.len(),
            at: self.at,
            line: self.line,
            column: self.column,
            required: !self.in_flow() && self.indent == self.column,
        };
        if let Some(slot) = self.candidates.last_mut() {
            *slot = Some(candidate);
        }
        Ok(())
    }

    /// What could have been a key is none.
    fn drop_candidate(&mut self) -> Result<(), Fault> {
        match self.candidates.last_mut().and_then(Option::take) {
            Some(candidate) => candidate.given_up(),
            None => Ok(()),
        }
    }

    // Blocks.

    /// Begins a block if this column is further right than the block around it; its token goes
    /// before those that wait from `place` on.
    fn open_block(&mut self, column: i32, place: usize, kind: Kind<'a>, at: usize) {
        if self.in_flow() || self.indent >= column {
            return;
        }
        self.outer_indents.push(self.indent);
        self.indent = column;
        let token = Token {
            kind,
            start: at,
            end: at,
        };
        self.queue.insert(place, token);
    }

    /// Ends the blocks that stand further right than a column.
    fn close_blocks(&mut self, column: i32) {
        while !self.in_flow() && self.indent > column {
            self.push(Kind::BlockEnd, self.at, self.at);
            self.indent = self.outer_indents.pop().unwrap_or(-1);
        }
    }

    /// Ends all blocks; what comes next is no key.
    fn leave_blocks(&mut self) -> Result<(), Fault> {
        self.close_blocks(-1);
        self.drop_candidate()?;
        self.may_be_key = false;
        Ok(())
    }

    // One function for each kind of token.

    fn fetch_end(&mut self) -> Result<(), Fault> {
        // No bracket that is still open begins a key any more.
        self.line += 1;
        self.leave_blocks()?;
        self.push(Kind::StreamEnd, self.at, self.at);
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), Fault> {
        self.leave_blocks()?;
        let token = self.directive()?;
        self.queue.push_back(token);
        Ok(())
    }

    fn fetch_document_marker(&mut self, kind: Kind<'a>) -> Result<(), Fault> {
        self.leave_blocks()?;
        let start = self.at;
        for _ in 0..3 {
            self.skip();
        }
        self.push(kind, start, self.at);
        Ok(())
    }

    fn open_flow(&mut self, kind: Kind<'a>) -> Result<(), Fault> {
        self.save_candidate()?;
        self.candidates.push(None);
        self.may_be_key = true;
        self.indicator(kind);
        Ok(())
    }

    fn close_flow(&mut self, kind: Kind<'a>) -> Result<(), Fault> {
        self.drop_candidate()?;
        if self.in_flow() {
            self.candidates.pop();
        }
        self.may_be_key = false;
        self.indicator(kind);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), Fault> {
        if !self.in_flow() {
            if !self.may_be_key {
                return Err(self.fault(Wrong::EntryHere));
            }
            self.open_block(self.column, self.queue.len(), Kind::BlockSequence, self.at);
        }
        self.drop_candidate()?;
        self.may_be_key = true;
        self.after_token = false;
        self.indicator(Kind::BlockEntry);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), Fault> {
        if !self.in_flow() {
            if !self.may_be_key {
                return Err(self.fault(Wrong::KeyHere));
            }
            self.open_block(self.column, self.queue.len(), Kind::BlockMapping, self.at);
        }
        self.drop_candidate()?;
        self.may_be_key = !self.in_flow();
        self.indicator(Kind::Key);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), Fault> {
        let level = self.candidates.len() - 1;
        match self.candidate(level)? {
            Some(key) => {
                self.candidates[level] = None;
                let place = key.token - self.taken;
                let token = Token {
                    kind: Kind::Key,
                    start: key.at,
                    end: key.at,
                };
                self.queue.insert(place, token);
                self.open_block(key.column, place, Kind::BlockMapping, key.at);
                self.may_be_key = false;
            }
            None => {
                if !self.in_flow() {
                    if !self.may_be_key {
                        return Err(self.fault(Wrong::ValueHere));
                    }
                    self.open_block(self.column, self.queue.len(), Kind::BlockMapping, self.at);
                }
                self.may_be_key = !self.in_flow();
            }
        }
        self.indicator(Kind::Value);
        Ok(())
    }

    /// What may be a key itself, and is followed by none.
    fn fetch_scalar_like(
        &mut self,
        read: fn(&mut Self) -> Result<Token<'a>, Fault>,
    ) -> Result<(), Fault> {
        self.save_candidate()?;
        self.may_be_key = false;
        let token = read(self)?;
        self.queue.push_back(token);
        Ok(())
    }

    fn fetch_block_scalar(&mut self) -> Result<(), Fault> {
        self.drop_candidate()?;
        self.may_be_key = true;
        self.after_token = false;
        let token = self.block_scalar()?;
        self.queue.push_back(token);
        Ok(())
    }
}

impl Candidate {
    /// Turned out to be no key.
    fn given_up(self) -> Result<(), Fault> {
        if !self.required {
            return Ok(());
        }
        Err(Fault {
            at: self.at,
            wrong: Wrong::NoColon,
        })
    }
}

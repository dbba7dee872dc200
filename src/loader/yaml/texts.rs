//! The three ways to write a text: plain, in quotes, as a block.

use std::borrow::Cow;

use super::scan::{Kind, Scanner, Token};
use super::syntax::{Fault, Wrong};

/// What stood between two parts of a text, and what it is in the text.
struct Gap {
    text: String,
    has_break: bool,
}

/// What stands before a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Text,
    /// A backslash and the line break that it takes away.
    EscapedBreak,
}

/// What happens to the line breaks at the end of a block.
#[derive(Clone, Copy, PartialEq)]
enum Chomp {
    One,
    None,
    All,
}

impl<'a> Scanner<'a> {
    /// A text without quotes. It ends before `: `, ` #`, what brackets are made of, and a line
    /// that does not stand further right than the block.
    pub(super) fn plain(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        let mut end = start;
        let least = self.indent + 1;
        // Only a text of several lines is not what is written.
        let mut joined: Option<String> = None;
        let mut gap: Option<Gap> = None;
        while self.document_marker().is_none() && self.byte(0) != b'#' {
            let run = self.at;
            while !self.is_blank_or_end(0) && !self.ends_plain() {
                self.skip();
            }
            if self.at > run {
                let between = gap.take();
                if between.as_ref().is_some_and(|gap| gap.has_break) && joined.is_none() {
                    joined = Some(self.text[start..end].to_owned());
                }
                if let Some(text) = &mut joined {
                    text.push_str(between.as_ref().map_or("", |gap| &gap.text));
                    text.push_str(&self.text[run..self.at]);
                }
                end = self.at;
            }
            if !self.is_blank() && self.line_break(0).is_none() {
                break;
            }
            gap = Some(self.gap(Before::Text, least)?);
            if !self.in_flow() && self.column < least {
                break;
            }
        }
        if gap.is_some_and(|gap| gap.has_break) {
            self.may_be_key = true;
            self.after_token = false;
        }
        let text = joined.map_or(Cow::Borrowed(&self.text[start..end]), Cow::Owned);
        let kind = Kind::Scalar { text, plain: true };
        Ok(Token { kind, start, end })
    }

    fn ends_plain(&self) -> bool {
        match self.byte(0) {
            b':' => self.is_blank_or_end(1),
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.in_flow(),
            _ => false,
        }
    }

    /// Over blanks and line breaks: a single break is a space, each further one a line break.
    /// Left of `least` a tab would indent.
    fn gap(&mut self, before: Before, least: i32) -> Result<Gap, Fault> {
        let start = self.at;
        let mut has_break = before == Before::EscapedBreak;
        let mut first = "";
        let mut further = String::new();
        loop {
            if self.is_blank() {
                if has_break && self.column < least && self.byte(0) == b'\t' {
                    return Err(self.fault(Wrong::Tab));
                }
                self.skip();
            } else if self.line_break(0).is_none() {
                break;
            } else if has_break {
                further += self.skip_break();
            } else {
                first = self.skip_break();
                has_break = true;
            }
        }
        let text = match first {
            _ if !has_break => self.text[start..self.at].to_owned(),
            "\n" if further.is_empty() => " ".to_owned(),
            "\n" => further,
            _ => first.to_owned() + &further,
        };
        Ok(Gap { text, has_break })
    }

    /// A text in quotes. Where its further lines begin does not matter.
    pub(super) fn quoted(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        let quote = self.byte(0);
        let unclosed = Fault {
            at: start,
            wrong: Wrong::Quote,
        };
        self.skip();
        let mut text = String::new();
        loop {
            if self.document_marker().is_some() || self.at_end() {
                return Err(unclosed);
            }
            let before = self.quoted_run(quote, &mut text)?;
            if self.byte(0) == quote {
                break;
            }
            text += &self.gap(before, 0)?.text;
        }
        self.skip();
        let kind = Kind::Scalar {
            text: Cow::Owned(text),
            plain: false,
        };
        Ok(Token {
            kind,
            start,
            end: self.at,
        })
    }

    /// What stands in quotes up to a blank, a line break or the quote.
    fn quoted_run(&mut self, quote: u8, text: &mut String) -> Result<Before, Fault> {
        while !self.is_blank_or_end(0) {
            let run = self.at;
            match self.byte(0) {
                b'\'' if quote == b'\'' && self.byte(1) == b'\'' => {
                    text.push('\'');
                    self.skip();
                    self.skip();
                }
                byte if byte == quote => break,
                b'\\' if quote == b'"' && self.line_break(1).is_some() => {
                    self.skip();
                    self.skip_break();
                    return Ok(Before::EscapedBreak);
                }
                b'\\' if quote == b'"' => text.push(self.escape()?),
                _ => {
                    self.skip();
                    text.push_str(&self.text[run..self.at]);
                }
            }
        }
        Ok(Before::Text)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let unknown = self.fault(Wrong::Escape);
        let digits = match self.byte(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        let short = match self.byte(1) {
            b'0' => '\0',
            b'a' => '\x07',
            b'b' => '\x08',
            b't' | b'\t' => '\t',
            b'n' => '\n',
            b'v' => '\x0b',
            b'f' => '\x0c',
            b'r' => '\r',
            b'e' => '\x1b',
            same @ (b' ' | b'"' | b'\'' | b'\\') => char::from(same),
            b'N' => '\u{85}',
            b'_' => '\u{a0}',
            b'L' => '\u{2028}',
            b'P' => '\u{2029}',
            _ if digits > 0 => '\0',
            _ => return Err(unknown),
        };
        self.skip();
        self.skip();
        if digits == 0 {
            return Ok(short);
        }
        let code = self
            .text
            .get(self.at..self.at + digits)
            .filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|code| u32::from_str_radix(code, 16).ok())
            .and_then(char::from_u32)
            .ok_or(unknown)?;
        self.at += digits;
        self.column += digits as i32;
        Ok(code)
    }

    /// `|` and `>`: lines at an indentation of their own.
    pub(super) fn block_scalar(&mut self) -> Result<Token<'a>, Fault> {
        let mark = self.at;
        let folded = self.byte(0) == b'>';
        self.skip();
        let (chomp, increment) = self.block_header()?;
        let mut indent = match increment {
            0 => 0,
            more => self.indent.max(0) + more,
        };
        let mut end = self.at;
        let mut text = String::new();
        let mut first = "";
        let mut further = self.block_breaks(&mut indent, &mut end)?;
        // The text, not its mark, is what problems point at.
        let is_empty = self.column != indent || self.at_end();
        let start = if is_empty { mark } else { self.at };
        let mut was_indented = false;
        while self.column == indent && !self.at_end() {
            let is_indented = self.is_blank();
            if folded && !was_indented && !is_indented && first == "\n" {
                if further.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(first);
            }
            text.push_str(&further);
            was_indented = is_indented;
            let line = self.at;
            self.skip_rest_of_line();
            text.push_str(&self.text[line..self.at]);
            first = self.skip_break();
            further = self.block_breaks(&mut indent, &mut end)?;
        }
        if chomp != Chomp::None {
            text.push_str(first);
        }
        if chomp == Chomp::All {
            text.push_str(&further);
        }
        let kind = Kind::Scalar {
            text: Cow::Owned(text),
            plain: false,
        };
        Ok(Token { kind, start, end })
    }

    /// What follows `|` on its line: `+` or `-`, and how far the lines are indented; 0 when that
    /// is to be seen from them.
    fn block_header(&mut self) -> Result<(Chomp, i32), Fault> {
        let mut chomp = self.chomp();
        let mut increment = 0;
        if self.byte(0).is_ascii_digit() {
            increment = i32::from(self.byte(0) - b'0');
            if increment == 0 {
                return Err(self.fault(Wrong::BlockHeader));
            }
            self.skip();
        }
        if chomp.is_none() && increment > 0 {
            chomp = self.chomp();
        }
        self.skip_blanks();
        if self.byte(0) == b'#' {
            self.skip_rest_of_line();
        }
        if !self.at_end() && self.line_break(0).is_none() {
            return Err(self.fault(Wrong::BlockHeader));
        }
        self.skip_break();
        Ok((chomp.unwrap_or(Chomp::One), increment))
    }

    fn chomp(&mut self) -> Option<Chomp> {
        let chomp = match self.byte(0) {
            b'+' => Chomp::All,
            b'-' => Chomp::None,
            _ => return None,
        };
        self.skip();
        Some(chomp)
    }

    /// Over the indentation of a block's next line, and empty lines before it; those are returned.
    /// An indentation of 0 becomes what it is seen to be.
    fn block_breaks(&mut self, indent: &mut i32, end: &mut usize) -> Result<String, Fault> {
        *end = self.at;
        let mut breaks = String::new();
        let mut widest = 0;
        loop {
            let within = |column: i32| *indent == 0 || column < *indent;
            while within(self.column) && self.byte(0) == b' ' {
                self.skip();
            }
            widest = widest.max(self.column);
            if within(self.column) && self.byte(0) == b'\t' {
                return Err(self.fault(Wrong::Tab));
            }
            if self.line_break(0).is_none() {
                break;
            }
            breaks += self.skip_break();
            *end = self.at;
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(breaks)
    }
}

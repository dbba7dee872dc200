//! What stands before a value, or before a document: anchors, aliases, tags, directives.

use super::scan::{Kind, Scanner, Token, Version};
use super::syntax::{Fault, Wrong};

impl<'a> Scanner<'a> {
    /// `&name` or `*name`.
    pub(super) fn anchor(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        let alias = self.byte(0) == b'*';
        self.skip();
        let name = self.word();
        let ends = matches!(
            self.byte(0),
            b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
        );
        if name.is_empty() || !ends && !self.is_blank_or_end(0) {
            return Err(self.fault(Wrong::AnchorName));
        }
        let kind = if alias {
            Kind::Alias(name)
        } else {
            Kind::Anchor(name)
        };
        Ok(self.token_from(start, kind))
    }

    /// `!suffix`, `!handle!suffix`, `!<tag>`, or `!` alone.
    pub(super) fn tag(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        let (handle, suffix) = if self.byte(1) == b'<' {
            self.skip();
            self.skip();
            let tag = self.uri("")?;
            if self.byte(0) != b'>' {
                return Err(self.fault(Wrong::Tag));
            }
            self.skip();
            ("", tag)
        } else {
            self.short_tag()?
        };
        if !self.is_blank_or_end(0) {
            return Err(self.fault(Wrong::Tag));
        }
        Ok(self.token_from(start, Kind::Tag { handle, suffix }))
    }

    fn short_tag(&mut self) -> Result<(&'a str, String), Fault> {
        let handle = self.handle();
        if handle.len() > 1 && handle.ends_with('!') {
            return Ok((handle, self.uri("")?));
        }
        // It is the suffix that has been read.
        let suffix = self.uri(handle)?;
        let suffix = suffix.strip_prefix('!').unwrap_or(&suffix).to_owned();
        Ok(if suffix.is_empty() {
            ("", "!".to_owned())
        } else {
            ("!", suffix)
        })
    }

    /// `!`, `!!` or `!word!`; without the last mark it is the beginning of a suffix.
    fn handle(&mut self) -> &'a str {
        let start = self.at;
        self.skip();
        self.word();
        if self.byte(0) == b'!' {
            self.skip();
        }
        &self.text[start..self.at]
    }

    /// Characters of an address, after what has been read of it; it must not be empty.
    fn uri(&mut self, head: &str) -> Result<String, Fault> {
        let mut bytes = head.as_bytes().to_vec();
        loop {
            match self.byte(0) {
                b'%' => bytes.push(self.uri_escape()?),
                b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'.'
                | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'[' | b']' | b'_' | b'-' => {
                    bytes.push(self.byte(0));
                    self.skip();
                }
                byte if byte.is_ascii_alphanumeric() => {
                    bytes.push(byte);
                    self.skip();
                }
                _ => break,
            }
        }
        match String::from_utf8(bytes) {
            Ok(uri) if !uri.is_empty() => Ok(uri),
            _ => Err(self.fault(Wrong::Tag)),
        }
    }

    fn uri_escape(&mut self) -> Result<u8, Fault> {
        let digits = self.text.get(self.at + 1..self.at + 3);
        let byte = digits
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(self.fault(Wrong::Tag))?;
        for _ in 0..3 {
            self.skip();
        }
        Ok(byte)
    }

    /// `%YAML` or `%TAG`, with the rest of the line.
    pub(super) fn directive(&mut self) -> Result<Token<'a>, Fault> {
        let start = self.at;
        self.skip();
        let name = self.word();
        if !self.is_blank_or_end(0) {
            return Err(self.fault(Wrong::Directive));
        }
        self.skip_blanks();
        let kind = match name {
            "YAML" => self.version()?,
            "TAG" => self.tag_prefix()?,
            _ => return Err(self.fault(Wrong::Directive)),
        };
        let token = self.token_from(start, kind);
        self.skip_blanks();
        if self.byte(0) == b'#' {
            self.skip_rest_of_line();
        }
        if !self.at_end() && self.line_break(0).is_none() {
            return Err(self.fault(Wrong::Directive));
        }
        self.skip_break();
        Ok(token)
    }

    fn version(&mut self) -> Result<Kind<'a>, Fault> {
        let major = self.number()?;
        if self.byte(0) != b'.' {
            return Err(self.fault(Wrong::Directive));
        }
        self.skip();
        let minor = self.number()?;
        Ok(Kind::Version(Version { major, minor }))
    }

    /// One or two digits.
    fn number(&mut self) -> Result<u8, Fault> {
        let start = self.at;
        while self.byte(0).is_ascii_digit() {
            self.skip();
        }
        match &self.text[start..self.at] {
            digits if digits.len() <= 2 => digits.parse().map_err(|_| self.fault(Wrong::Directive)),
            _ => Err(self.fault(Wrong::Directive)),
        }
    }

    fn tag_prefix(&mut self) -> Result<Kind<'a>, Fault> {
        if self.byte(0) != b'!' {
            return Err(self.fault(Wrong::Directive));
        }
        let handle = self.handle();
        if !handle.ends_with('!') || !self.is_blank() {
            return Err(self.fault(Wrong::Directive));
        }
        self.skip_blanks();
        let prefix = self.uri("")?;
        if !self.is_blank_or_end(0) {
            return Err(self.fault(Wrong::Directive));
        }
        Ok(Kind::TagPrefix { handle, prefix })
    }

    /// Letters, digits, `_` and `-`.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        while matches!(self.byte(0), b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-') {
            self.skip();
        }
        &self.text[start..self.at]
    }

    fn token_from(&self, start: usize, kind: Kind<'a>) -> Token<'a> {
        Token {
            kind,
            start,
            end: self.at,
        }
    }
}

//! `.env` files, service `env_file` and `label_file`, and the environment that interpolation sees.
//!
//! Grammar of compose-go's dotenv: `export`, `=` or `:`, single quotes literal, double quotes
//! with escapes, ` #` comments, variables in unquoted and double-quoted values. The `raw` format
//! is docker's `--env-file`: no quotes, no variables.

use std::collections::BTreeMap;

use super::interpolate::{Lookup, MAX_TEXTS, TemplateError, Trace, substitute};
use super::source::{FileId, Span};

/// A value and where it was written; no place for the process environment.
pub type Variable = (String, Span);

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    map: BTreeMap<String, Variable>,
    /// Values that others took precedence over, the next one first.
    lost: BTreeMap<String, Vec<Variable>>,
}

impl Variables {
    /// From the process environment.
    pub fn from_process(environment: &BTreeMap<String, String>) -> Self {
        Self {
            map: environment
                .iter()
                .map(|(k, v)| (k.clone(), (v.clone(), Span::NONE)))
                .collect(),
            lost: BTreeMap::new(),
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.map.get(name).map(|(value, _)| value.as_str())
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str, span: Span) {
        let new = (value.to_owned(), span);
        if let Some(old) = self.map.insert(name.to_owned(), new)
            && old.1 != span
        {
            self.lost.entry(name.to_owned()).or_default().insert(0, old);
        }
    }

    /// Values of lower precedence than a variable's own, the next one first.
    pub fn lost(&self, name: &str) -> &[Variable] {
        self.lost.get(name).map_or(&[], Vec::as_slice)
    }

    /// Adds those that are not there yet.
    pub fn fill_from(&mut self, other: &Self) {
        for (name, variable) in &other.map {
            let rest = other.lost(name).iter().cloned();
            let Some(own) = self.map.get(name) else {
                self.map.insert(name.clone(), variable.clone());
                if !other.lost(name).is_empty() {
                    self.lost.insert(name.clone(), rest.collect());
                }
                continue;
            };
            // The same file may be read for two reasons.
            if own.1 == variable.1 {
                continue;
            }
            let lost = self.lost.entry(name.clone()).or_default();
            for value in std::iter::once(variable.clone()).chain(rest) {
                if !lost.contains(&value) {
                    lost.push(value);
                }
            }
        }
    }

    /// Adds all, replacing.
    pub fn override_by(&mut self, other: Self) {
        self.map.extend(other.map);
    }

    /// Every variable, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.map.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// Names and values only.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.map
            .iter()
            .map(|(k, (v, _))| (k.clone(), v.clone()))
            .collect()
    }
}

impl Lookup for Variables {
    fn lookup(&self, name: &str) -> Option<Variable> {
        self.map.get(name).cloned()
    }

    fn lost(&self, name: &str) -> Vec<Variable> {
        Self::lost(self, name).to_vec()
    }

    fn names(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }
}

/// What is wrong in an env file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A key with a character that no key has.
    #[error("unexpected character `{character}` in variable name `{line}`")]
    BadKey {
        /// The character.
        character: char,
        /// The line.
        line: String,
    },
    /// A key with a blank inside.
    #[error("key `{0}` contains a space")]
    Blank(String),
    /// A quote without its end.
    #[error("the quote is not closed")]
    Unterminated,
    /// Variables in values make too much of little.
    #[error("variables make the values too long")]
    TooBig,
    /// A variable in a value.
    #[error("{0}")]
    Template(String),
}

/// A problem and the bytes it is about.
pub type Located = (EnvError, std::ops::Range<usize>);

/// What an env file set, and the variables it used without their being set.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Entries in the order written; later ones win.
    pub entries: Vec<(String, Variable)>,
    /// Unset variables and where they are used.
    pub unset: Vec<(String, Span)>,
}

/// Parses a `.env` text. Values may use what `outer` knows, then the entries before them and
/// those of `earlier` files.
pub fn parse(
    text: &str,
    file: FileId,
    outer: &dyn Fn(&str) -> Option<String>,
    earlier: BTreeMap<String, String>,
) -> Result<Parsed, Located> {
    let mut parser = EnvParser {
        text,
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
        file,
        outer,
        seen: earlier,
        parsed: Parsed::default(),
        made: 0,
    };
    while parser.statement()? {}
    Ok(parser.parsed)
}

struct EnvParser<'a> {
    text: &'a str,
    at: usize,
    file: FileId,
    outer: &'a dyn Fn(&str) -> Option<String>,
    seen: BTreeMap<String, String>,
    parsed: Parsed,
    /// Bytes of values with variables.
    made: usize,
}

/// Blank, but not a line break.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

impl EnvParser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Reads one statement; false at the end.
    fn statement(&mut self) -> Result<bool, Located> {
        loop {
            let skipped = self.rest().len() - self.rest().trim_start().len();
            self.at += skipped;
            if !self.rest().starts_with('#') {
                break;
            }
            match self.rest().find('\n') {
                Some(i) => self.at += i,
                None => return Ok(false),
            }
        }
        if self.rest().is_empty() {
            return Ok(false);
        }
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t', '\n', '\r', '\u{c}'])
        {
            let trimmed = after.trim_start_matches(is_blank);
            self.at = self.text.len() - trimmed.len();
        }
        let start = self.at;
        let mut separator = None;
        for (i, c) in self.rest().char_indices() {
            if is_blank(c)
                || matches!(c, '_' | '.' | '-' | '[' | ']')
                || c.is_alphabetic()
                || c.is_numeric()
            {
                continue;
            }
            if matches!(c, '=' | ':' | '\n') {
                separator = Some((i, c));
                break;
            }
            let line = self.rest().lines().next().unwrap_or_default().to_owned();
            return Err((
                EnvError::BadKey { character: c, line },
                start + i..start + i + c.len_utf8(),
            ));
        }
        // Without a separator the last line reads as nothing, as in docker compose, except that
        // the key is looked up.
        let (key_end, inherited, next) = match separator {
            Some((i, c)) => (start + i, c == '\n', start + i + 1),
            None => {
                let end = self.text.len();
                (end, true, end)
            }
        };
        let key = self.text[start..key_end].trim_end();
        if key.contains(' ') {
            return Err((EnvError::Blank(key.to_owned()), start..start + key.len()));
        }
        let key = key.to_owned();
        let span = Span {
            file: self.file,
            start: start as u32,
            end: key_end as u32,
        };
        self.at = next;
        let skipped = self.rest().len() - self.rest().trim_start_matches(is_blank).len();
        self.at += skipped;
        if inherited {
            if let Some(value) = (self.outer)(&key) {
                self.set(key, value, span);
            }
            return Ok(true);
        }
        let value = self.value(start)?;
        let end = self.at.max(key_end);
        let line_end = self.text[start..end].trim_end().len() + start;
        self.set(
            key,
            value,
            Span {
                end: line_end as u32,
                ..span
            },
        );
        Ok(true)
    }

    fn set(&mut self, key: String, value: String, span: Span) {
        self.seen.insert(key.clone(), value.clone());
        self.parsed.entries.push((key, (value, span)));
    }

    fn value(&mut self, start: usize) -> Result<String, Located> {
        let quote = match self.rest().chars().next() {
            Some(c @ ('"' | '\'')) => c,
            _ => {
                let line_end = self.rest().find('\n');
                let line = &self.rest()[..line_end.unwrap_or(self.rest().len())];
                let value = line
                    .split(" #")
                    .next()
                    .unwrap_or_default()
                    .trim_end()
                    .to_owned();
                let end = self.at + line.len();
                self.at = line_end.map_or(self.text.len(), |i| self.at + i + 1);
                return self.expand(&value, start..end);
            }
        };
        let mut value = String::new();
        let mut escaped = false;
        let body_start = self.at + 1;
        for (i, c) in self.text[body_start..].char_indices() {
            if c != quote {
                if !escaped && c == '\\' {
                    escaped = true;
                    continue;
                }
                if std::mem::take(&mut escaped) {
                    value.push('\\');
                }
                value.push(c);
            } else if std::mem::take(&mut escaped) {
                value.push(c);
            } else {
                self.at = body_start + i + 1;
                if quote == '\'' {
                    return Ok(value);
                }
                let end = self.at;
                return self.expand(&unescape(&value), start..end);
            }
        }
        let line_end = self.rest().find('\n').unwrap_or(self.rest().len());
        Err((EnvError::Unterminated, self.at..self.at + line_end))
    }

    fn expand(&mut self, value: &str, range: std::ops::Range<usize>) -> Result<String, Located> {
        if !value.contains('$') {
            return Ok(value.to_owned());
        }
        let mut trace = Trace::default();
        let scope = Scope {
            outer: self.outer,
            seen: &self.seen,
        };
        let result = substitute(value, &scope, &mut trace);
        let span = Span {
            file: self.file,
            start: range.start as u32,
            end: range.end as u32,
        };
        self.parsed
            .unset
            .extend(trace.unset.into_iter().map(|name| (name, span)));
        let result = match result {
            Ok(text) => {
                self.made += text.len();
                if self.made > MAX_TEXTS {
                    return Err((EnvError::TooBig, range));
                }
                Ok(text)
            }
            error => error,
        };
        result.map_err(|error| {
            let text = match error {
                TemplateError::TooLong => return (EnvError::TooBig, range),
                TemplateError::Malformed => format!("invalid interpolation format in `{value}`"),
                TemplateError::Required { name, message } => {
                    format!("required variable {name} is missing a value: {message}")
                }
            };
            (EnvError::Template(text), range)
        })
    }
}

struct Scope<'a> {
    outer: &'a dyn Fn(&str) -> Option<String>,
    seen: &'a BTreeMap<String, String>,
}

impl Lookup for Scope<'_> {
    fn lookup(&self, name: &str) -> Option<Variable> {
        (self.outer)(name)
            .or_else(|| self.seen.get(name).cloned())
            .map(|v| (v, Span::NONE))
    }

    /// Nobody asks how the values of an env file were made.
    fn lost(&self, _: &str) -> Vec<Variable> {
        Vec::new()
    }

    fn names(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }
}

/// Escapes of double quotes: `\n \r \t \a \b \f \v \\ \" \0ooo`, `\$` a literal dollar; others stay.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        let after = &rest[i + 1..];
        let simple = match after.chars().next() {
            Some('n') => Some("\n"),
            Some('r') => Some("\r"),
            Some('t') => Some("\t"),
            Some('a') => Some("\u{7}"),
            Some('b') => Some("\u{8}"),
            Some('f') => Some("\u{c}"),
            Some('v') => Some("\u{b}"),
            Some('\\') => Some("\\"),
            Some('"') => Some("\""),
            Some('$') => Some("$$"),
            _ => None,
        };
        if let Some(text) = simple {
            out.push_str(text);
            rest = &after[1..];
            continue;
        }
        if let Some(digits) = after.strip_prefix('0') {
            let len = digits
                .bytes()
                .take(3)
                .take_while(u8::is_ascii_digit)
                .count();
            // Go wants exactly three octal digits after the zero.
            let octal = (len == 3)
                .then(|| u32::from_str_radix(&digits[..3], 8).ok())
                .flatten()
                .filter(|n| *n <= 255)
                .and_then(char::from_u32);
            match octal {
                Some(c) => out.push(c),
                None => {
                    out.push_str("\\0");
                    out.push_str(&digits[..len]);
                }
            }
            rest = &digits[len..];
            continue;
        }
        out.push('\\');
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Parses docker's raw format: `KEY=value` literally, `KEY` from the environment.
pub fn parse_raw(
    text: &str,
    file: FileId,
    outer: &dyn Fn(&str) -> Option<String>,
) -> Result<Parsed, Located> {
    let mut parsed = Parsed::default();
    let mut at = 0;
    for raw in text.split_inclusive('\n') {
        let start = at;
        at += raw.len();
        let line = raw.trim_end_matches(['\n', '\r']);
        let line = if start == 0 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let range = start..start + raw.trim_end().len();
        let span = Span {
            file,
            start: range.start as u32,
            end: range.end as u32,
        };
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line, outer(line)),
        };
        if key.is_empty() || key.contains([' ', '\t']) {
            return Err((EnvError::Blank(key.to_owned()), range));
        }
        if let Some(value) = value {
            parsed.entries.push((key.to_owned(), (value, span)));
        }
    }
    Ok(parsed)
}

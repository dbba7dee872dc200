//! The variables of one text.

use crate::loader::source::Span;
use crate::loader::tree::{Argument, Use};

/// Where values come from.
pub trait Lookup {
    /// The value and where it was written.
    fn lookup(&self, name: &str) -> Option<(String, Span)>;
    /// Values of lower precedence, the next one first.
    fn lost(&self, name: &str) -> Vec<(String, Span)>;
    /// Every name, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// What can go wrong in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` that is not followed by a name, an operator and a brace.
    Malformed,
    /// Variables made it longer than 4 MiB.
    TooLong,
    /// `${N:?…}` without a value.
    Required {
        /// Variable.
        name: String,
        /// The author's message.
        message: String,
    },
}

/// What a substitution met on its way.
#[derive(Debug, Default)]
pub struct Trace {
    /// Variables that were looked up, in the order of the text.
    pub used: Vec<Use>,
    /// Variables without a value or default.
    pub unset: Vec<String>,
    depth: usize,
    /// Bytes that variables have brought.
    brought: usize,
}

/// Most bytes that variables may bring into one text.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// Most bytes of all texts with variables of one load.
pub const MAX_TEXTS: usize = 64 << 20;

/// Deepest nesting of defaults.
pub const MAX_DEPTH: usize = 64;

/// Substitutes every variable of a text.
pub fn substitute(
    text: &str,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    if trace.depth > MAX_DEPTH {
        return Err(TemplateError::Malformed);
    }
    trace.depth += 1;
    let result = substitute_nested(text, lookup, trace);
    trace.depth -= 1;
    result
}

fn substitute_nested(
    text: &str,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = Rest::of(text);
    while let Some(dollar) = rest.text.find('$') {
        out.push_str(&rest.text[..dollar]);
        rest = rest.after(dollar + 1);
        if rest.text.starts_with('$') {
            out.push('$');
            rest = rest.after(1);
        } else if rest.text.starts_with('{') {
            rest = rest.after(1);
            let expression = rest.braced().ok_or(TemplateError::Malformed)?;
            let piece = evaluate(&expression, lookup, trace)?;
            trace.bring(&piece)?;
            out.push_str(&piece);
            rest = rest.after(expression.consumed);
        } else {
            let len = name_length(rest.text);
            if len == 0 {
                out.push('$');
            } else {
                let piece = value_or_blank(&rest.text[..len], lookup, trace);
                trace.bring(&piece)?;
                out.push_str(&piece);
            }
            rest = rest.after(len);
        }
    }
    out.push_str(rest.text);
    Ok(out)
}

/// The length of the name that a text begins with.
pub fn name_length(text: &str) -> usize {
    let first = text.bytes().next();
    if !first.is_some_and(|b| b == b'_' || b.is_ascii_alphabetic()) {
        return 0;
    }
    text.bytes()
        .position(|b| b != b'_' && !b.is_ascii_alphanumeric())
        .unwrap_or(text.len())
}

/// The inside of `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression<'a> {
    /// Variable.
    pub name: &'a str,
    /// Operator and what follows it.
    pub operator: Option<(Operator, &'a str)>,
    /// Bytes up to and with the closing brace.
    pub consumed: usize,
}

/// What is done when a variable has or lacks a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `-`, `+` or `?`.
    pub kind: char,
    /// Whether an empty value counts as none (`:`).
    pub or_empty: bool,
}

/// What is left of a text, and what is known of its first line, so that the line is not searched
/// again for each variable in it.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// What is left.
    pub text: &'a str,
    line: Option<Line>,
}

/// A line, by bytes of what is left.
#[derive(Clone, Copy, Debug)]
struct Line {
    end: usize,
    last_brace: Option<usize>,
}

impl<'a> Rest<'a> {
    /// A whole text.
    pub fn of(text: &'a str) -> Self {
        Self { text, line: None }
    }

    /// What is left behind some bytes.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        let line = self.line.and_then(|line| {
            Some(Line {
                end: line.end.checked_sub(bytes)?,
                last_brace: line.last_brace.and_then(|brace| brace.checked_sub(bytes)),
            })
        });
        Self {
            text: &self.text[bytes..],
            line,
        }
    }

    /// A part of what is left, from one byte to before another.
    #[must_use]
    pub fn between(self, from: usize, to: usize) -> Self {
        let known = self
            .line
            .filter(|line| line.end >= from && line.last_brace.is_none_or(|brace| brace < to));
        Self {
            text: &self.text[from..to],
            line: known.map(|line| Line {
                end: line.end.min(to) - from,
                last_brace: line.last_brace.and_then(|brace| brace.checked_sub(from)),
            }),
        }
    }

    /// Where the last closing brace of the line ends.
    pub fn last_brace_end(&mut self) -> Option<usize> {
        self.line().last_brace.map(|brace| brace + 1)
    }

    fn line(&mut self) -> Line {
        let text = self.text;
        *self.line.get_or_insert_with(|| {
            let end = text.find('\n').unwrap_or(text.len());
            Line {
                end,
                last_brace: text[..end].rfind('}'),
            }
        })
    }

    /// Reads what follows `${`. The closing brace is found by counting braces; when they do not
    /// balance, the last one on the line closes.
    pub fn braced(&mut self) -> Option<Expression<'a>> {
        let inner = self.text;
        let len = name_length(inner);
        if len == 0 {
            return None;
        }
        let name = &inner[..len];
        let after = &inner[len..];
        if after.starts_with('}') {
            return Some(Expression {
                name,
                operator: None,
                consumed: len + 1,
            });
        }
        let (or_empty, operator) = match after.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        let kind = operator.chars().next().filter(|c| "-+?".contains(*c))?;
        let argument_start = len + usize::from(or_empty) + 1;
        let last = self.line().last_brace?;
        let close = balanced(&inner[..=last], argument_start).unwrap_or(last);
        Some(Expression {
            name,
            operator: Some((Operator { kind, or_empty }, &inner[argument_start..close])),
            consumed: close + 1,
        })
    }
}

/// Reads the text after `${`.
pub fn braced(inner: &str) -> Option<Expression<'_>> {
    Rest::of(inner).braced()
}

/// The brace that closes the expression. A character right after an opening brace is not
/// looked at, as in docker compose: `{}` does not count as a pair.
fn balanced(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 1usize;
    let mut i = from;
    while i < bytes.len() {
        match bytes[i] {
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            b'{' => {
                depth += 1;
                i += 1;
            }
            _ => {}
        }
        i += 1;
    }
    None
}

fn evaluate(
    e: &Expression<'_>,
    lookup: &dyn Lookup,
    trace: &mut Trace,
) -> Result<String, TemplateError> {
    let Some((operator, argument)) = e.operator else {
        return Ok(value_or_blank(e.name, lookup, trace));
    };
    // The argument is read even when it is not needed: its errors and warnings count.
    let argument = substitute(argument, lookup, trace)?;
    let value = lookup.lookup(e.name);
    let present = value
        .as_ref()
        .is_some_and(|(v, _)| !(operator.or_empty && v.is_empty()));
    let said = (operator.kind != '?').then(|| Argument {
        operator: operator.kind,
        text: argument.clone(),
        used: present == (operator.kind == '+'),
    });
    trace.note(e.name, value.clone(), said, lookup);
    let value = value.map(|(value, _)| value);
    match (operator.kind, present) {
        ('+', true) => Ok(argument),
        ('-', false) => Ok(argument),
        ('?', false) => Err(TemplateError::Required {
            name: e.name.to_owned(),
            message: argument,
        }),
        _ => Ok(value.unwrap_or_default()),
    }
}

fn value_or_blank(name: &str, lookup: &dyn Lookup, trace: &mut Trace) -> String {
    let value = lookup.lookup(name);
    trace.note(name, value.clone(), None, lookup);
    match value {
        Some((value, _)) => value,
        None => {
            trace.unset.push(name.to_owned());
            String::new()
        }
    }
}

impl Trace {
    fn bring(&mut self, piece: &str) -> Result<(), TemplateError> {
        self.brought += piece.len();
        if self.brought > MAX_TEXT {
            return Err(TemplateError::TooLong);
        }
        Ok(())
    }

    fn note(
        &mut self,
        name: &str,
        value: Option<(String, Span)>,
        argument: Option<Argument>,
        lookup: &dyn Lookup,
    ) {
        self.used.push(Use {
            name: name.to_owned(),
            value,
            lost: lookup.lost(name),
            argument,
        });
    }
}

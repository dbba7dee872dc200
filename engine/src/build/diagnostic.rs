//! A message that points into a Dockerfile: place, excerpt, caret, remedy.
//!
//! Data first ([`Diagnostic`]) so that the CLI can draw it as it likes; [`Diagnostic::render`]
//! is a plain drawing for those that do not.

use std::fmt;
use std::sync::Arc;

use super::lint::Rule;

/// The text of a Dockerfile with the name that messages show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `Dockerfile`, `-`, a path.
    pub name: Arc<str>,
    /// Physical lines without their line ends.
    pub lines: Arc<[String]>,
}

impl Source {
    /// Splits the bytes of a file into lines; bytes that are not UTF-8 are shown as U+FFFD.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines = text
            .split('\n')
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect();
        Self {
            name: name.into(),
            lines,
        }
    }
}

/// Where something is: physical lines from 1, columns in characters from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First line; 0 when the message is about the file as a whole.
    pub line: usize,
    /// Last line.
    pub end_line: usize,
    /// Column of the first character on `line`; 0 means the whole line.
    pub column: usize,
    /// How many characters, at least 1 when `column` is not 0.
    pub len: usize,
}

impl Span {
    /// Whole lines.
    pub fn lines(line: usize, end_line: usize) -> Self {
        Self {
            line,
            end_line,
            column: 0,
            len: 0,
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The build stops.
    Error,
    /// A lint rule or a soft problem, with the rule where there is one.
    Warning(Option<Rule>),
}

/// One message about one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file, with its text for the excerpt.
    pub source: Source,
    /// The place.
    pub span: Span,
    /// What is wrong: lower case, no period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The lines of the excerpt: number and text.
    pub fn excerpt(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = self.span.line.max(1);
        // A heredoc of a thousand lines is not an excerpt.
        let last = self.span.end_line.max(first).min(first + 7);
        let count = if self.span.line == 0 {
            0
        } else {
            last - first + 1
        };
        self.source
            .lines
            .iter()
            .enumerate()
            .skip(first - 1)
            .take(count)
            .map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Message, excerpt with caret, and help, as plain text ending in a newline.
    pub fn render(&self) -> String {
        let mut out = match self.severity {
            Severity::Error => format!("error: {}\n", self.message),
            Severity::Warning(None) => format!("warning: {}\n", self.message),
            Severity::Warning(Some(rule)) => format!("warning[{}]: {}\n", rule.name, self.message),
        };
        let width = self.span.end_line.max(self.span.line).to_string().len();
        if self.span.line > 0 {
            let column = self.span.column.max(1);
            out += &format!(
                "{:width$}--> {}:{}:{column}\n",
                "", self.source.name, self.span.line
            );
        } else {
            out += &format!(" --> {}\n", self.source.name);
        }
        for (number, line) in self.excerpt() {
            let shown: String = line
                .chars()
                .take(200)
                .map(|c| if c == '\t' { ' ' } else { c })
                .collect();
            out += &format!("{number:width$} | {shown}\n");
            if number == self.span.line {
                let (column, len) = if self.span.column == 0 {
                    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
                    (indent + 1, shown.trim().chars().count())
                } else {
                    (self.span.column, self.span.len)
                };
                if column <= shown.chars().count() + 1 {
                    let len = len.clamp(1, 200);
                    out += &format!(
                        "{:width$} | {}{}\n",
                        "",
                        " ".repeat(column - 1),
                        "^".repeat(len)
                    );
                }
            }
        }
        if let Some(help) = &self.help {
            out += &format!("{:width$} = help: {help}\n", "");
        }
        out
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.span.line > 0 {
            write!(
                f,
                "{}:{}: {}",
                self.source.name, self.span.line, self.message
            )
        } else {
            write!(f, "{}: {}", self.source.name, self.message)
        }
    }
}

/// The name of `known` that was probably meant by `typed`, if one is near.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (distance(&typed, &name.to_ascii_lowercase()), name))
        .filter(|(far, name)| *far <= (name.len() / 3).max(1))
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// The name of `known` with the fewest edits from `typed`, at most two; none when one is the same.
pub(super) fn closest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut best = (3, None);
    for name in known {
        match distance(typed, name) {
            0 => return None,
            far if far < best.0 => best = (far, Some(name)),
            _ => {}
        }
    }
    best.1
}

/// Edits (insert, delete, replace) between two words; long words are never near.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_shows_the_line_with_a_caret() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            source: Source::new("Dockerfile", b"FROM a\nRUNN x\n"),
            span: Span {
                line: 2,
                end_line: 2,
                column: 1,
                len: 4,
            },
            message: "unknown instruction `RUNN`".into(),
            help: Some("did you mean `RUN`?".into()),
        };
        assert_eq!(
            diagnostic.render(),
            "error: unknown instruction `RUNN`\n --> Dockerfile:2:1\n2 | RUNN x\n  | ^^^^\n  = help: did you mean `RUN`?\n"
        );
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(did_you_mean("RUNN", ["RUN", "USER"]), Some("RUN"));
        assert_eq!(did_you_mean("xyzzy", ["RUN", "USER"]), None);
    }
}

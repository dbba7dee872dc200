//! What is wrong, where, and what to do: errors and warnings of a load.

use std::fmt;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::source::{Location, Sources, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The project cannot be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
    /// Nothing is wrong with it by itself: it goes with another message.
    Note,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name (`unknown-key`, `unset-variable`), for `--format json` and silencing.
    pub code: &'static str,
    /// What is wrong, naming the thing.
    pub message: String,
    /// Dotted path in the project (`services.web.ports[1]`); empty when there is none.
    pub path: String,
    /// Where.
    pub span: Span,
    /// What the caret says.
    pub label: String,
    /// Other places that belong to it, with what each is.
    pub related: Vec<(Span, String)>,
    /// Facts that explain it.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

/// Every error by its stable name. Warnings are in [`super::silence::WARNINGS`].
pub const ERRORS: &[&str] = &[
    "alias-cycle",
    "bad-command",
    "bad-duration",
    "bad-encoding",
    "bad-env-file",
    "bad-host",
    "bad-interpolation",
    "bad-merge",
    "bad-mode",
    "bad-mount",
    "bad-name",
    "bad-port",
    "bad-project-name",
    "bad-reference",
    "bad-size",
    "bad-tag",
    "bad-type",
    "bad-value",
    "bad-variable",
    "bad-variable-name",
    "cannot-override",
    "conflicting-name",
    "dependency-cycle",
    "duplicate-key",
    "empty-file",
    "exclusive-keys",
    "extends-cycle",
    "include-conflict",
    "include-cycle",
    "missing-key",
    "no-compose-file",
    "no-image",
    "no-services",
    "no-such-file",
    "non-string-key",
    "repeated-item",
    "repeated-name",
    "repeated-target",
    "required-variable",
    "too-big",
    "too-deep",
    "too-many-nodes",
    "undefined-reference",
    "unknown-key",
    "unknown-service",
    "unreadable",
    "yaml-syntax",
    "yaml-version",
];

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            path: String::new(),
            span,
            label: String::new(),
            related: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// With the dotted path.
    #[must_use]
    pub fn at(mut self, path: impl fmt::Display) -> Self {
        self.path = path.to_string();
        self
    }

    /// With what the caret says.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        if span.is_some() && span != self.span {
            self.related.push((span, label.into()));
        }
        self
    }

    /// With a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to do, when it is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        if help.is_some() {
            self.help = help;
        }
        self
    }
}

/// Problems with the texts they point into.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// Problems, in file order.
    pub list: Vec<Diagnostic>,
    /// The texts.
    pub sources: Sources,
}

impl Diagnostics {
    /// Adds one unless the same was said already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let said = self.list.iter().any(|d| {
            d.span == diagnostic.span
                && d.code == diagnostic.code
                && d.message == diagnostic.message
        });
        if !said {
            self.list.push(diagnostic);
        }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Puts them in file order; those without a place come first.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| {
            if d.span.is_some() {
                (1, d.span.file, d.span.start)
            } else {
                (0, d.span.file, 0)
            }
        });
    }

    /// As a compiler would print them.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&self.render_one(diagnostic, &renderer));
            out.push_str("\n\n");
        }
        out.truncate(out.trim_end().len());
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    fn render_one(&self, d: &Diagnostic, renderer: &Renderer) -> String {
        let level = match d.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut title = level.primary_title(visible(&d.message));
        if d.severity == Severity::Warning {
            // Its name is what `silence` takes.
            title = title.id(d.code);
        }
        let mut group = match self.excerpt(d.span) {
            None => title.element(annotate_snippets::Padding),
            Some(excerpt) => {
                let mut annotation = AnnotationKind::Primary.span(excerpt.range.clone());
                if !d.label.is_empty() {
                    annotation = annotation.label(visible(&d.label));
                }
                title.element(excerpt.snippet().annotation(annotation))
            }
        };
        for (span, label) in &d.related {
            if let Some(excerpt) = self.excerpt(*span) {
                let annotation = AnnotationKind::Context.span(excerpt.range.clone());
                group = group.element(
                    excerpt
                        .snippet()
                        .annotation(annotation.label(visible(label))),
                );
            }
        }
        if !d.path.is_empty() {
            group = group.element(Level::NOTE.with_name("at").message(visible(&d.path)));
        }
        for note in &d.notes {
            group = group.element(Level::NOTE.message(visible(note)));
        }
        if let Some(help) = &d.help {
            group = group.element(Level::HELP.message(visible(help)));
        }
        renderer.render(&[group])
    }

    /// The line that a span begins in: a caret under it is enough for a block, and drawing
    /// does not depend on how long the file is.
    fn excerpt(&self, span: Span) -> Option<Excerpt<'_>> {
        let source = self.sources.get(span.file)?;
        let len = source.text.len();
        let mut start = (span.start as usize).min(len);
        while !source.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = (span.end as usize).clamp(start, len);
        let (number, line) = source.line(start);
        start = start.max(line);
        let end_of_line = source.text[start..].find(['\n', '\r']);
        let line_end = end_of_line.map_or(len, |i| start + i);
        end = end.clamp(start, line_end);
        while !source.text.is_char_boundary(end) {
            end += 1;
        }
        Some(Excerpt {
            path: source.path.display().to_string(),
            text: &source.text[line..line_end],
            number,
            range: start - line..end - line,
        })
    }

    /// Where one of them is.
    pub fn location(&self, diagnostic: &Diagnostic) -> Option<Location> {
        self.sources.locate(diagnostic.span)
    }

    /// One JSON object per problem, for editors.
    pub fn to_json(&self) -> serde_json::Value {
        let place = |span: Span| {
            let begin = self.sources.locate(span)?;
            let end = self.sources.locate(Span {
                start: span.end,
                ..span
            });
            let end = end.map(|l| serde_json::json!({"line": l.line, "column": l.column}));
            Some(serde_json::json!({
                "file": begin.file,
                "line": begin.line,
                "column": begin.column,
                "end": end,
            }))
        };
        self.list
            .iter()
            .map(|d| {
                serde_json::json!({
                    "severity": match d.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                        Severity::Note => "note",
                    },
                    "code": d.code,
                    "message": d.message,
                    "path": d.path,
                    "location": place(d.span),
                    "related": d.related.iter().map(|(span, label)| {
                        serde_json::json!({"location": place(*span), "message": label})
                    }).collect::<Vec<_>>(),
                    "notes": d.notes,
                    "help": d.help,
                })
            })
            .collect()
    }
}

/// A line of a text and what is marked in it.
struct Excerpt<'a> {
    path: String,
    text: &'a str,
    number: usize,
    range: std::ops::Range<usize>,
}

impl<'a> Excerpt<'a> {
    fn snippet<T: Clone>(&self) -> Snippet<'a, T> {
        Snippet::source(self.text)
            .line_start(self.number)
            .path(self.path.clone())
    }
}

/// Control characters of foreign text never reach the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl gantry_engine::error::Classify for Diagnostics {
    fn kind(&self) -> gantry_engine::error::ErrorKind {
        gantry_engine::error::ErrorKind::Invalid
    }
}

/// The candidate most like what was typed, when it is like enough.
pub fn did_you_mean<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let typed = typed.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let score = if lower.replace(['-', '_'], "") == typed.replace(['-', '_'], "") {
            1.0
        } else {
            strsim::jaro_winkler(&typed, &lower).min(
                if strsim::osa_distance(&typed, &lower) <= 1 + typed.chars().count() / 4 {
                    1.0
                } else {
                    0.0
                },
            )
        };
        if score > 0.75 && best.is_none_or(|(s, _)| score > s) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

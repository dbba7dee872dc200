//! The loader's problems as the protocol's diagnostics, by file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use lsp_types::{
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location,
    NumberOrString, Range, Url,
};

use crate::loader::{self, Severity, Span};

use super::position::Encoding;
use super::workspace::Project;

/// Most problems shown of one file; the rest would only bury them.
const MOST: usize = 500;

/// How the client wants them.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Its columns.
    pub encoding: Encoding,
    /// Whether it shows other places that belong to a problem.
    pub related: bool,
}

/// Problems by file. A project's files without problems are there too, so that what they had is
/// taken away.
pub fn by_file(projects: &[Rc<Project>], style: Style) -> BTreeMap<PathBuf, Vec<Diagnostic>> {
    let mut found: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
    for project in projects {
        found.entry(project.asked_for.clone()).or_default();
        for text in project.texts() {
            found.entry(text.path.clone()).or_default();
        }
        for problem in &project.diagnostics().list {
            let (path, range) = place(project, problem.span, style.encoding).unwrap_or_else(|| {
                // What has no place of its own is shown at the top of the text that is edited.
                (project.asked_for.clone(), Range::default())
            });
            let list = found.entry(path).or_default();
            let diagnostic = convert(project, problem, range, style);
            if list.len() < MOST && !list.contains(&diagnostic) {
                list.push(diagnostic);
            }
        }
    }
    found
}

fn convert(
    project: &Project,
    problem: &loader::Diagnostic,
    range: Range,
    style: Style,
) -> Diagnostic {
    let mut message = problem.message.clone();
    let mut related = Vec::new();
    for (span, label) in &problem.related {
        let Some(location) = location(project, *span, style.encoding) else {
            continue;
        };
        if style.related {
            related.push(DiagnosticRelatedInformation {
                location,
                message: label.clone(),
            });
        } else if let Some(place) = project.diagnostics().sources.locate(*span) {
            message.push_str(&format!("\n{place}: {label}"));
        }
    }
    for note in &problem.notes {
        message.push_str(&format!("\nnote: {note}"));
    }
    if let Some(help) = &problem.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    Diagnostic {
        range,
        severity: Some(match problem.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
            Severity::Note => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(problem.code.to_owned())),
        source: Some("gantry".to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: (problem.code == "obsolete-version").then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..Diagnostic::default()
    }
}

/// A span as file and range; only its first line, as a whole block underlined says nothing. Where
/// something is missing there is nothing to underline: its line is, then.
fn place(project: &Project, span: Span, encoding: Encoding) -> Option<(PathBuf, Range)> {
    let text = project.text(span.file)?;
    let (start, end) = (span.start as usize, span.end as usize);
    let lines = text.lines();
    let line = lines.range(&text.text, lines.line_of(start));
    let end = end.min(line.end).max(start);
    let content = text.text.get(line.clone()).unwrap_or_default();
    let start = if start == end && !content.trim().is_empty() {
        line.start + content.len() - content.trim_start().len()
    } else {
        start
    };
    let end = if start < end {
        end
    } else {
        line.end.max(start)
    };
    let range = lines.positions(&text.text, &(start..end), encoding);
    Some((text.path.clone(), range))
}

/// A span as the protocol says it.
pub fn location(project: &Project, span: Span, encoding: Encoding) -> Option<Location> {
    let (path, range) = place(project, span, encoding)?;
    Some(Location::new(Url::from_file_path(path).ok()?, range))
}

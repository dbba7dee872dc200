//! What `image build --check` prints: Docker's words in Docker's order, so that what reads them
//! there reads them here.

use std::fmt::Write as _;

use gantry_engine::build::{Diagnostic, Severity, Span};

/// The result of a check.
pub fn report(warnings: &[Diagnostic]) -> String {
    let mut text = match warnings.len() {
        0 => return "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        several => format!("Check complete, {several} warnings have been found!\n"),
    };
    for warning in warnings {
        let _ = match warning.severity {
            Severity::Warning(Some(rule)) => match rule.url() {
                Some(url) => writeln!(text, "\nWARNING: {} - {url}", rule.name),
                None => writeln!(text, "\nWARNING: {}", rule.name),
            },
            Severity::Warning(None) | Severity::Error => writeln!(text, "\nWARNING"),
        };
        let _ = writeln!(text, "{}", warning.message);
        excerpt(&mut text, warning);
    }
    text
}

/// The lines with some around them, those that are meant marked by `>>>`.
fn excerpt(text: &mut String, warning: &Diagnostic) {
    let lines = &warning.source.lines;
    let Span { line, end_line, .. } = warning.span;
    if line == 0 || line > lines.len() {
        return;
    }
    let marked = line..=end_line.clamp(line, lines.len());
    let (mut first, mut last) = (*marked.start(), *marked.end());
    // Docker's own arithmetic: a round counts for itself and for each line that it adds.
    let room = if first == last { 4 } else { 2 };
    let mut used = 0;
    while used < room {
        if first > 1 {
            first -= 1;
            used += 1;
        }
        if last != lines.len() {
            last += 1;
            used += 1;
        }
        used += 1;
    }
    let _ = writeln!(text, "{}:{line}\n--------------------", warning.source.name);
    for number in first..=last {
        let mark = if marked.contains(&number) {
            ">>>"
        } else {
            "   "
        };
        let _ = writeln!(text, " {number:3} | {mark} {}", lines[number - 1]);
    }
    text.push_str("--------------------\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_engine::build::Source;

    #[test]
    fn the_lines_around_are_shown() {
        let warning = |line, end_line| Diagnostic {
            severity: Severity::Warning(None),
            source: Source::new("Dockerfile", b"one\ntwo\nthree\nfour\nfive\nsix\n"),
            span: Span::lines(line, end_line),
            message: "what".into(),
            help: None,
        };
        assert_eq!(report(&[]), "Check complete, no warnings found.\n");
        let text = report(&[warning(3, 3), warning(1, 2)]);
        let expected = "Check complete, 2 warnings have been found!\n\nWARNING\nwhat\nDockerfile:3\n--------------------\n   1 |     one\n   2 |     two\n   3 | >>> three\n   4 |     four\n   5 |     five\n--------------------\n\nWARNING\nwhat\nDockerfile:1\n--------------------\n   1 | >>> one\n   2 | >>> two\n   3 |     three\n--------------------\n";
        assert_eq!(text, expected);
    }
}

//! Rules about the file as text: casing, names, deprecated forms, comments that describe.

use std::collections::BTreeSet;

use super::rules::{
    CONSISTENT_INSTRUCTION_CASING, DUPLICATE_STAGE_NAME, FROM_AS_CASING,
    INVALID_DEFINITION_DESCRIPTION, MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION,
    RESERVED_STAGE_NAME, STAGE_NAME_CASING,
};
use super::{Report, Subject};
use crate::build::diagnostic::Span;
use crate::build::parse::{Instruction, Kind};

/// Runs them.
pub(super) fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for line in &subject.file.blank_continuations {
        let span = Span::lines(*line, *line);
        report.add(
            NO_EMPTY_CONTINUATION,
            span,
            &[],
            "Empty continuation line".into(),
        );
    }
    for instruction in &subject.file.instructions {
        written(instruction, report);
    }
    stage_names(subject, report);
    keywords(subject, report);
}

/// Rules about one instruction as it was written.
fn written(instruction: &Instruction, report: &mut Report<'_>) {
    let (span, comments) = (instruction.span, &instruction.comments);
    match &instruction.kind {
        Kind::Maintainer(_) => report.add(
            MAINTAINER_DEPRECATED,
            span,
            comments,
            "Maintainer instruction is deprecated in favor of using label".into(),
        ),
        Kind::From(from) => {
            let Some(name) = &from.name else { return };
            let words: Vec<&str> = instruction.text.split_whitespace().collect();
            if let [.., keyword, written] = words.as_slice() {
                if is_not_lower(written) {
                    let message = format!("Stage name '{written}' should be lowercase");
                    report.add(STAGE_NAME_CASING, span, comments, message);
                }
                let from = &instruction.keyword;
                let matches = match (is_not_lower(from), is_not_upper(from)) {
                    (false, _) => !is_not_lower(keyword),
                    (true, false) => !is_not_upper(keyword),
                    // Mixed already: that is another rule's business.
                    (true, true) => true,
                };
                if !matches {
                    let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
                    report.add(FROM_AS_CASING, span, comments, message);
                }
            }
            described(instruction, "FROM", &[name], report);
        }
        Kind::Arg(arguments) => {
            let names: Vec<&String> = arguments.iter().map(|argument| &argument.name).collect();
            described(instruction, "ARG", &names, report);
        }
        _ => {}
    }
}

fn is_not_lower(word: &str) -> bool {
    word != word.to_lowercase()
}

fn is_not_upper(word: &str) -> bool {
    word != word.to_uppercase()
}

/// The comment above a definition begins with the name of what it describes.
fn described(instruction: &Instruction, kind: &str, names: &[&String], report: &mut Report<'_>) {
    let (Some(comment), [first, others @ ..]) = (instruction.comments.last(), names) else {
        return;
    };
    let word = comment.split(' ').next().unwrap_or_default();
    if names.iter().any(|name| *name == word) {
        return;
    }
    let shown = if others.is_empty() {
        first.as_str()
    } else {
        "<arg_key>"
    };
    report.add(
        INVALID_DEFINITION_DESCRIPTION,
        instruction.span,
        &instruction.comments,
        format!("Comment for {kind} should follow the format: `# {shown} <description>`"),
    );
}

fn stage_names(subject: &Subject<'_>, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for stage in &subject.stages.list {
        let Some(name) = &stage.from.name else {
            continue;
        };
        if ["context", "scratch"].contains(&name.as_str()) {
            let message =
                format!("Stage name should not use the same name as reserved stage {name:?}");
            report.add(RESERVED_STAGE_NAME, stage.span, &[], message);
        }
        if !seen.insert(name) {
            let message = format!("Duplicate stage name {name:?}, stage names should be unique");
            report.add(DUPLICATE_STAGE_NAME, stage.span, &[], message);
        }
    }
}

/// The case of most instructions is the case of all. Arguments before the first `FROM` do not count.
fn keywords(subject: &Subject<'_>, report: &mut Report<'_>) {
    let counted = || {
        subject
            .file
            .instructions
            .iter()
            .skip_while(|instruction| !matches!(instruction.kind, Kind::From(_)))
    };
    let lower = counted().filter(|i| !is_not_lower(&i.keyword)).count();
    let upper = counted().filter(|i| !is_not_upper(&i.keyword)).count();
    for instruction in counted() {
        let keyword = &instruction.keyword;
        let case = match lower > upper {
            true if is_not_lower(keyword) => "lowercase",
            false if is_not_upper(keyword) => "uppercase",
            _ => continue,
        };
        let message =
            format!("Command '{keyword}' should match the case of the command majority ({case})");
        report.add(
            CONSISTENT_INSTRUCTION_CASING,
            instruction.span,
            &[],
            message,
        );
    }
}

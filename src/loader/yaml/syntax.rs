//! Errors of the parser as problems with a remedy.

use saphyr_parser::ScanError;

use super::places::Places;
use crate::loader::diagnostic::Diagnostic;
use crate::loader::source::Span;

/// What is wrong, where, and what to do about it.
pub(super) fn problem(error: &ScanError, places: &Places<'_>) -> Diagnostic {
    let index = places.byte(error.marker().index());
    let mut start = index as usize;
    if start >= places.text.len() {
        start = places.text.trim_end().len();
    }
    let span = Span {
        file: places.file,
        start: start as u32,
        end: (start as u32 + 1)
            .min(places.text.len() as u32)
            .max(start as u32),
    };
    let line = places.text[..start].rfind('\n').map_or(0, |i| i + 1);
    let indent: String = places.text[line..]
        .chars()
        .take_while(|c| c.is_whitespace() && *c != '\n')
        .collect();
    let line_text = places.text[line..].lines().next().unwrap_or_default();
    let help =
        if line_text.contains("${") && line_text.contains(['{', '[']) && !line_text.contains('"') {
            "quote values with `${…}` inside braces and brackets: `{ key: \"${NAME}\" }`"
        } else if indent.contains('\t') {
            "indent with spaces; YAML forbids tabs there"
        } else {
            advice(error.info())
        };
    Diagnostic::error(
        "yaml-syntax",
        span,
        format!("this is not valid YAML: {}", error.info()),
    )
    .help(help)
}

/// What to do about what the parser says. It has no kinds of errors, only texts.
fn advice(info: &str) -> &'static str {
    const ADVICE: [(&str, &str); 9] = [
        (
            "mapping values are not allowed",
            "quote a value that holds `: `, or begin its key on a line of its own",
        ),
        (
            "flow mapping",
            "close it with `}`, and put commas between its entries",
        ),
        (
            "flow sequence",
            "close it with `]`, and put commas between its items",
        ),
        ("quoted scalar", "close the quote"),
        (
            "unknown anchor",
            "define it before, as in `x-name: &name …`",
        ),
        (
            "unexpected character",
            "quote a value that begins with a special character",
        ),
        (
            "block mapping",
            "indent this line as the keys that it belongs to",
        ),
        (
            "block collection",
            "indent this line as the items that it belongs to",
        ),
        (
            "could not find expected ':'",
            "put a colon and a space after each key",
        ),
    ];
    ADVICE.iter().find(|(text, _)| info.contains(text)).map_or(
        "check indentation, quotes, and that each `key:` is followed by a space",
        |(_, advice)| *advice,
    )
}

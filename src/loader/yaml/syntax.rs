//! What is wrong with a text as YAML, with a remedy.

use super::places::Places;
use super::scan::Version;
use crate::loader::diagnostic::Diagnostic;

/// Something wrong, and the byte where it is noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Control,
    Character,
    Tab,
    NoColon,
    EntryHere,
    KeyHere,
    ValueHere,
    Quote,
    Escape,
    BlockHeader,
    AnchorName,
    UnknownAnchor,
    Tag,
    TagPrefix,
    Directive,
    Version(Version),
    DocumentStart,
    Value,
    BlockItem,
    BlockKey,
    FlowItem,
    FlowKey,
}

impl Wrong {
    /// What is wrong, and what to do about it.
    fn words(self) -> (&'static str, &'static str) {
        const QUOTE: &str = "quote a value that begins with a special character";
        const DIRECTIVE: &str = "write `%TAG !name! prefix`, or remove the line";
        match self {
            Self::Control => (
                "an unprintable character",
                "remove it, or write it as an escape in double quotes",
            ),
            Self::Character => ("no value can begin with this character", QUOTE),
            Self::Tab => (
                "a tab stands where lines are indented",
                "indent with spaces; YAML forbids tabs there",
            ),
            Self::NoColon => (
                "a `:` is expected after this key",
                "put a colon and a space after each key",
            ),
            Self::EntryHere => ("no list can begin here", "begin it on a line of its own"),
            Self::KeyHere | Self::ValueHere => (
                "no mapping can begin here",
                "quote a value that holds `: `, or begin its key on a line of its own",
            ),
            Self::Quote => ("this quoted text does not end", "close the quote"),
            Self::Escape => (
                "this is no escape sequence",
                "double the backslash, or use single quotes",
            ),
            Self::BlockHeader => (
                "only `+`, `-` and a digit from 1 to 9 can follow `|` and `>`",
                "begin the text on the next line",
            ),
            Self::AnchorName => (
                "this is no name of an anchor",
                "use letters, digits, `_` and `-`; quote a text that begins with `*` or `&`",
            ),
            Self::UnknownAnchor => (
                "unknown anchor",
                "define it before, as in `x-name: &name …`",
            ),
            Self::Tag => ("this is no tag", "quote a text that begins with `!`"),
            Self::TagPrefix => ("this tag has an unknown prefix", DIRECTIVE),
            Self::Directive => ("this is no `%TAG` and no `%YAML` line", DIRECTIVE),
            Self::Version(_) => ("another version of YAML", "remove the `%YAML` line"),
            Self::DocumentStart => (
                "a document has ended before this",
                "begin the next document with `---`",
            ),
            Self::Value => ("there is no value here", QUOTE),
            Self::BlockItem => (
                "an item that begins with `-` is expected here",
                "indent this line as the items that it belongs to",
            ),
            Self::BlockKey => (
                "a key is expected here",
                "indent this line as the keys that it belongs to",
            ),
            Self::FlowItem => (
                "a `,` or `]` is expected here",
                "close it with `]`, and put commas between its items",
            ),
            Self::FlowKey => (
                "a `,` or `}` is expected here",
                "close it with `}`, and put commas between its entries",
            ),
        }
    }
}

/// What is wrong, where, and what to do about it.
pub(super) fn problem(fault: Fault, places: &Places<'_>) -> Diagnostic {
    let start = match fault.at {
        at if at >= places.text.len() => places.text.trim_end().len(),
        at => at,
    };
    let (what, advice) = fault.wrong.words();
    if let Wrong::Version(Version { major, minor }) = fault.wrong {
        let message = format!("YAML version `{major}.{minor}` is not supported");
        return Diagnostic::error("yaml-version", places.rest_of_line(start), message).help(advice);
    }
    Diagnostic::error(
        "yaml-syntax",
        places.character(start),
        format!("this is not valid YAML: {what}"),
    )
    .help(remedy(places.line(start)).unwrap_or(advice))
}

/// What to do about the most usual faults, which a line shows as a whole.
fn remedy(line: &str) -> Option<&'static str> {
    let indent = &line[..line.len() - line.trim_start().len()];
    if has_braces_around_variable(line) && !line.contains('"') {
        Some("quote values with `${…}` inside braces and brackets: `{ key: \"${NAME}\" }`")
    } else if indent.contains('\t') {
        Some("indent with spaces; YAML forbids tabs there")
    } else {
        None
    }
}

/// Whether a line has a variable and, outside of its braces, a brace or a bracket.
fn has_braces_around_variable(line: &str) -> bool {
    let outside = |part: &str| part.contains(['{', '[']);
    let after = |part: &str| part.split_once('}').is_some_and(|(_, rest)| outside(rest));
    line.split_once("${")
        .is_some_and(|(before, variables)| outside(before) || variables.split("${").any(after))
}

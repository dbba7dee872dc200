//! Documents as YAML text, in the style of go-yaml v3, so that the output reads as docker
//! compose's does: text of several lines as a literal block, quotes only where a reader of YAML 1.1
//! or 1.2 could take a string for something else. Lines are never folded.

use serde_json::{Map, Value};

use super::tree;
use super::yaml;
use crate::model::SCALAR;

/// A document as YAML.
pub fn yaml(document: &Value) -> String {
    let mut out = String::new();
    match document {
        Value::Object(map) if is_mapping(map) => mapping(map, 0, Begin::OwnLine, &mut out),
        other => {
            scalar(other, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

/// Where the first line of a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// On a line of its own.
    OwnLine,
    /// On the line of a dash.
    AfterDash,
}

impl Begin {
    /// What stands before one of the block's lines.
    fn pad(self, index: usize, indent: usize, out: &mut String) {
        if index > 0 || self == Self::OwnLine {
            pad(indent, out);
        }
    }
}

fn mapping(map: &Map<String, Value>, indent: usize, begin: Begin, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        begin.pad(index, indent, out);
        string(key, Place::Key, out);
        out.push(':');
        nested(value, indent + 1, out);
    }
}

/// What follows `key:`.
fn nested(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if is_mapping(map) => {
            out.push('\n');
            mapping(map, indent, Begin::OwnLine, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            sequence(list, indent, Begin::OwnLine, out);
        }
        other => {
            out.push(' ');
            scalar(other, indent, out);
            end_line(out);
        }
    }
}

fn sequence(list: &[Value], indent: usize, begin: Begin, out: &mut String) {
    for (index, item) in list.iter().enumerate() {
        begin.pad(index, indent, out);
        out.push_str("- ");
        match item {
            Value::Object(map) if is_mapping(map) => {
                mapping(map, indent + 1, Begin::AfterDash, out);
            }
            Value::Array(inner) if !inner.is_empty() => {
                sequence(inner, indent + 1, Begin::AfterDash, out);
            }
            other => {
                scalar(other, indent + 1, out);
                end_line(out);
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    for _ in 0..indent {
        out.push_str("  ");
    }
}

/// A value without parts; `indent` is that of the lines of a literal block.
fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_f64() {
            Some(v) if n.is_f64() => out.push_str(&tree::go_float(v)),
            _ => out.push_str(&n.to_string()),
        },
        Value::String(s) => string(s, Place::Value { indent }, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(map) => match map.get(SCALAR).and_then(Value::as_str) {
            Some(text) => out.push_str(text),
            None => out.push_str("{}"),
        },
    }
}

/// Whether it has lines of its own: neither empty nor a scalar.
fn is_mapping(map: &Map<String, Value>) -> bool {
    !map.is_empty() && !map.contains_key(SCALAR)
}

/// Where a string stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a colon: on one line.
    Key,
    /// After it, or after a dash.
    Value { indent: usize },
}

fn string(text: &str, place: Place, out: &mut String) {
    if is_simple(text) {
        return out.push_str(text);
    }
    if is_digits(text) {
        out.push('"');
        out.push_str(text);
        return out.push('"');
    }
    // As a key it would merge. Docker compose prints it so; what it prints does not read back.
    let merges = text == "<<" && place == Place::Key;
    if merges || !text.contains('\n') && !is_plainly_a_string(text) {
        return double_quoted(text, out);
    }
    let allowed = Allowed::of(text);
    let indent = match place {
        Place::Value { indent } => indent,
        // A key stands on one line.
        Place::Key if text.contains(is_break) => return double_quoted(text, out),
        Place::Key => 0,
    };
    let several_lines = text.contains('\n');
    if several_lines && allowed.block {
        literal(text, indent, out);
    } else if several_lines {
        double_quoted(text, out);
    } else if allowed.plain {
        out.push_str(text);
    } else if allowed.single_quoted {
        out.push('\'');
        lines(&text.replace('\'', "''"), indent, Line::GoesOn, out);
        out.push('\'');
    } else {
        double_quoted(text, out);
    }
}

/// Whether a closer look is not worth while, as with most texts: a letter or a slash, and letters,
/// digits and a few marks, that are no word of YAML.
fn is_simple(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "yes", "on", "n", "no", "off", "true", "false", "null"];
    let mark = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    let [first, rest @ ..] = text.as_bytes() else {
        return false;
    };
    (first.is_ascii_alphabetic() || *first == b'/')
        && rest.iter().all(mark)
        && !(text.len() <= 5 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)))
}

/// Whether a text is digits alone: a number, without quotes.
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether no reader takes the unquoted text for something else: neither one of YAML 1.2, nor one
/// of YAML 1.1 with its many booleans and its sexagesimal numbers.
fn is_plainly_a_string(text: &str) -> bool {
    let old_bool = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "yes" | "on" | "n" | "no" | "off"
    );
    !old_bool && !is_sexagesimal(text) && matches!(yaml::resolve(text), tree::Value::Str(_))
}

/// A number of YAML 1.1 to the base of 60: `12:30`, `1:00:59.5`.
fn is_sexagesimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let Some((first, rest)) = digits.split_once(':') else {
        return false;
    };
    let digit_or_mark = |c: char| c.is_ascii_digit() || c == '_';
    let (rest, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let below_sixty = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.chars().all(digit_or_mark)
        && rest.split(':').all(below_sixty)
        && fraction.chars().all(digit_or_mark)
}

/// The styles that keep a text as it is.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        let special = text.chars().any(|c| c != '\t' && !is_printable(c));
        let pair = |first: fn(char) -> bool, second: fn(char) -> bool| {
            let mut pairs = text.chars().zip(text.chars().skip(1));
            pairs.any(|(a, b)| first(a) && second(b))
        };
        let is_space = |c: char| c == ' ';
        let quotable = !special
            && !text.contains('\t')
            && !pair(is_space, is_break)
            && !pair(is_break, is_space);
        let at_an_end = |c: char| is_space(c) || is_break(c);
        Self {
            plain: quotable
                && !text.contains(is_break)
                && !text.starts_with(at_an_end)
                && !text.ends_with(at_an_end)
                && !has_indicators(text),
            single_quoted: quotable,
            block: !special && !pair(is_space, is_break) && !text.ends_with(' '),
        }
    }
}

/// Whether something in the text would be read as the syntax of a block.
fn has_indicators(text: &str) -> bool {
    let blank = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t') || is_break(c));
    let mut chars = text.chars();
    let opens = match chars.next() {
        Some(
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
            | '@' | '`',
        ) => true,
        Some('?' | ':' | '-') => blank(chars.next()),
        _ => false,
    };
    let marker = text.starts_with("---") || text.starts_with("...");
    let colon = text
        .match_indices(':')
        .any(|(i, _)| i > 0 && blank(text[i + 1..].chars().next()));
    let comment = text
        .match_indices('#')
        .any(|(i, _)| i > 0 && blank(text[..i].chars().next_back()));
    opens || marker || colon || comment
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What stands in the text as it is; characters above the basic plane do not.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

/// A literal block: its head, and its lines at an indentation. Each break begins a line.
fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with(|c| c == ' ' || is_break(c)) {
        out.push('2');
    }
    let mut from_end = text.chars().rev();
    match (from_end.next().is_some_and(is_break), from_end.next()) {
        (false, _) => out.push('-'),
        (true, before) if before.is_none_or(is_break) => out.push('+'),
        _ => {}
    }
    out.push('\n');
    lines(text, indent, Line::Begins, out);
}

/// Whether a text begins on a line of its own.
#[derive(Clone, Copy, PartialEq)]
enum Line {
    Begins,
    GoesOn,
}

/// A text, with an indentation before each line that is not empty.
fn lines(text: &str, indent: usize, mut line: Line, out: &mut String) {
    for c in text.chars() {
        if is_break(c) {
            line = Line::Begins;
        } else if std::mem::replace(&mut line, Line::GoesOn) == Line::Begins {
            pad(indent, out);
        }
        out.push(c);
    }
}

/// Ends a line, unless the text of a block has done so.
fn end_line(out: &mut String) {
    if !out.ends_with(is_break) {
        out.push('\n');
    }
}

fn double_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        let short = match c {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ if is_printable(c) => {
                out.push(c);
                continue;
            }
            _ => {
                out.push_str(&match u32::from(c) {
                    code @ ..=0xff => format!("\\x{code:02X}"),
                    code @ ..=0xffff => format!("\\u{code:04X}"),
                    code => format!("\\U{code:08X}"),
                });
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_docker_compose_writes_them() {
        let cases = [
            ("a", "a"),
            ("y", "\"y\""),
            ("12:30", "\"12:30\""),
            ("1000:1000", "1000:1000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("'s", "'''s'"),
            ("a\tb", "\"a\\tb\""),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n\n  b\n", "|\n  a\n\n    b"),
            ("a \nb", "\"a \\nb\""),
            (" a\n", "|2\n   a"),
            ("a\nb\u{2028}c", "|-\n  a\n  b\u{2028}  c"),
            ("a\u{2028}b", "'a\u{2028}  b'"),
            ("\u{2028}a\nb", "|2-\n\u{2028}  a\n  b"),
            ("a\nb\u{85}c\n", "\"a\\nb\\Nc\\n\""),
        ];
        for (text, want) in cases {
            let printed = yaml(&serde_json::json!({ "k": text }));
            assert_eq!(printed, format!("k: {want}\n"));
        }
    }

    #[test]
    fn strings_read_back() {
        for s in [
            "a",
            "",
            "yes",
            "1",
            "0755",
            "1_000",
            "2024-01-02",
            "a: b",
            "#x",
            "a #b",
            "x\ny",
            "'",
            "\"",
            "*a",
            "!b",
            "-",
            "~",
            "1e3",
            " x",
            "x ",
            "é",
            "\t",
            "y",
            "off",
            "12:30:45",
            "<<",
            "a\nb",
            "a\nb\n",
            "a\n\n",
            "\n",
            "\n\n",
            "\na",
            " a\nb\n",
            "a\n  b\n",
            "a \nb",
            "a\tb\nc",
            "\u{1f600}",
            "\u{feff}a",
            "\r\n",
            "a\u{85}b\nc",
            "a\nb\u{2028}c",
            "a\u{2028}b",
            "\u{2029}a\nb",
            "a\n\u{2028}b\n",
            "a\n\u{2028}",
            "a\nb\u{2029}",
            "\u{2028}\n",
            "a\u{2028}\n",
            "a\n\u{2028}\n",
            "\0\x1b",
            "---",
            "- a",
            "?",
            "a:",
            "a:b",
            "'a'",
        ] {
            let document = serde_json::json!({ "k": s, "l": [s, [s], {"m": s}], "n": {s: 1} });
            let printed = yaml(&document);
            let mut problems = Vec::new();
            let documents = yaml::parse(&printed, crate::loader::FileId(0), &mut problems);
            assert!(problems.is_empty(), "{printed}: {problems:?}");
            let root = &documents[0].root;
            for path in [&["k"][..], &["l", "0"], &["l", "1", "0"], &["l", "2", "m"]] {
                assert!(root.find(&["n", s]).is_some(), "{printed}");
                assert_eq!(
                    root.find(path).and_then(tree::Node::as_str),
                    Some(s),
                    "{printed}"
                );
            }
        }
    }
}

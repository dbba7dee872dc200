//! What go-yaml v3 makes of texts, seen with docker compose 2.40: the value, or that there is none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::parse;
use crate::loader::diagnostic::Diagnostic;
use crate::loader::{FileId, document};

/// The value of `q`, or the first problem.
fn read(text: &str) -> Result<Value, Box<Diagnostic>> {
    let text = format!("q: {text}\n");
    let mut problems = Vec::new();
    let documents = parse(&text, FileId(0), &mut problems);
    match problems.into_iter().next() {
        Some(problem) => Err(Box::new(problem)),
        None => Ok(document(documents[0].root.get("q").expect("it is there"))),
    }
}

#[test]
fn values_are_those_of_go_yaml() {
    for (text, want) in [
        ("[tar, xf, -]", json!(["tar", "xf", "-"])),
        ("[-x, --, a-]", json!(["-x", "--", "a-"])),
        ("{a: -}", json!({"a": "-"})),
        ("[a:, b:c, d]", json!(["a:", "b:c", "d"])),
        ("[a: b]", json!([{"a": "b"}])),
        ("[? a : b]", json!([{"a": "b"}])),
        ("[?a]", json!([{"a": null}])),
        ("{a, b: , ? c}", json!({"a": null, "b": null, "c": null})),
        ("{a: b,}", json!({"a": "b"})),
        ("[a, ]", json!(["a"])),
        ("[a b,\n c\n d]", json!(["a b", "c d"])),
        ("{<<: {a: 1}, b: 2}", json!({"b": 2, "a": 1})),
        ("\"a\n   b\n\n\n  c\"", json!("a b\n\nc")),
        ("\"a \\\n   b\"", json!("a b")),
        ("'it''s\ntwo'", json!("it's two")),
        (
            r#""\x41\u00e9\U0001f600\t\_""#,
            json!("A\u{e9}\u{1f600}\t\u{a0}"),
        ),
        ("'a'#c", json!("a")),
        ("[a]#c", json!(["a"])),
        ("a#b #c", json!("a#b")),
        ("a\n  b\n  # c", json!("a b")),
        ("a\n  b\n\n  c", json!("a b\nc")),
        ("\n- a\n- - b\n  - c\n-", json!(["a", ["b", "c"], null])),
        (
            "\n  - a: 1\n    b:\n    - 2\n  - ? c\n    : d",
            json!([{"a": 1, "b": [2]}, {"c": "d"}]),
        ),
        ("\n  # c\n\t# d\n  a", json!("a")),
        ("|\n  a\n   b\n\n", json!("a\n b\n")),
        ("|+\n  a\n", json!("a\n\n")),
        (">-\n  a\n  b\n\n   c\n  d", json!("a b\n\n c\nd")),
        ("|2\n    a\n   b", json!("  a\n b\n")),
        ("\ta", json!("a")),
        ("!!str 1", json!("1")),
        ("! 1", json!(1)),
        ("!x 1", json!("1")),
        ("!<tag:yaml.org,2002:int> 0x10", json!(16)),
        ("!!binary aGk=", json!("hi")),
        ("&x a\nr: *x", json!("a")),
        ("a\r\n  b", json!("a b")),
    ] {
        match read(text) {
            Ok(value) => assert_eq!(value, want, "{text}"),
            Err(problem) => panic!("{text}: {}", problem.message),
        }
    }
}

#[test]
fn what_go_yaml_refuses_is_refused_where_it_is_wrong() {
    for (text, words, place) in [
        ("[- a]", "no value here", 1),
        ("[:a]", "no value here", 1),
        ("[, a]", "no value here", 1),
        ("[a?]", "a `,` or `]`", 2),
        ("[a}", "a `,` or `]`", 2),
        ("{a: b", "a `,` or `}`", 5),
        (r#""\/""#, "no escape sequence", 1),
        ("\"a", "does not end", 0),
        ("\"a\n---\nb\"", "does not end", 0),
        ("|0\n a", "a digit from 1 to 9", 1),
        ("|\n\ta", "a tab", 2),
        ("\n\ta: b", "a tab", 1),
        ("a: b", "no mapping can begin here", 1),
        ("\"a\" b", "a key is expected", 4),
        ("- a", "no list can begin here", 0),
        ("%a", "no value can begin", 0),
        ("@a", "no value can begin", 0),
        ("*y", "unknown anchor", 0),
        ("&", "no name of an anchor", 1),
        ("!e!x a", "unknown prefix", 0),
        ("!<a b", "no tag", 3),
        ("a\n...\nb: 1", "a document has ended", 6),
        ("a\n%FOO\n", "no `%TAG` and no `%YAML`", 6),
        ("a\nb", "a `:` is expected", 2),
        ("a\u{7f}", "unprintable", 1),
    ] {
        let problem = read(text).expect_err(text);
        assert!(
            problem.message.contains(words),
            "{text}: {}",
            problem.message
        );
        assert_eq!(problem.span.start, place + 3, "{text}");
    }
}

#[test]
fn a_key_has_at_most_1024_characters() {
    for (length, fits) in [(1024, true), (1025, false)] {
        let key = "é".repeat(length);
        let mut problems = Vec::new();
        parse(&format!("{key}: a\n"), FileId(0), &mut problems);
        assert_eq!(problems.is_empty(), fits, "{length}");
    }
}

proptest! {
    /// Everything that has places has them within the text, at the borders of characters.
    #[test]
    fn places_are_places_of_the_text(text in "([-?:,\\[\\]{}#&*!|>'\"%@ \ta-cé\\\\]|: |- |\n|\n  ){0,40}") {
        let mut problems = Vec::new();
        let documents = parse(&text, FileId(0), &mut problems);
        for problem in problems {
            let (start, end) = (problem.span.start as usize, problem.span.end as usize);
            prop_assert!(start <= end && end <= text.len() && text.is_char_boundary(start));
        }
        for document in documents {
            let span = document.root.span;
            prop_assert!(text.get(span.start as usize..span.end as usize).is_some());
        }
    }
}

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
        ("{!!str <<: {b: 1}}", json!({"<<": {"b": 1}})),
        ("{!!merge \"<<\": {b: 1}}", json!({"b": 1})),
        (
            "{? &k foo : 1, r: {*k : 1, foo: 2}}",
            json!({"foo": 1, "r": {"foo": 2}}),
        ),
        (
            "{? &k foo : 1, r: {foo: 1, *k : 2}}",
            json!({"foo": 1, "r": {"foo": 2}}),
        ),
        ("{a: &x {b: &x 1}, c: *x}", json!({"a": {"b": 1}, "c": 1})),
        ("{a: !reset {b: 1, b: 2}, c: &p !reset [*p]}", json!({})),
        ("{a: !reset {<<: ~, 1: !!int x}}", json!({})),
        ("{<<: !reset {a: 1}}", json!({})),
        (
            "{a: &m {i: z}, b: {<<: *m, i: !reset 1}}",
            json!({"a": {"i": "z"}, "b": {"i": "z"}}),
        ),
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
        ("{<<: {a: 1}, <<: {b: 1}}", "`<<` is already defined", 13),
        ("{<<: {a: 1}, \"<<\": 2}", "`<<` is already defined", 13),
        ("{r: !reset 1, r: 2}", "`r` is already defined", 14),
        ("{a: &k b, r: {*k : 1, k: 2}}", "`k` is already defined", 22),
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
fn quotes_are_the_remedy_for_variables_within_braces() {
    for (text, quotes) in [
        ("{a: ${A}b: c}", true),
        ("[${A}, ${B}}", true),
        ("${A} ]: [", true),
        ("${A}: ${B}", false),
        ("[a}", false),
    ] {
        let help = read(text).expect_err(text).help;
        let found = help.is_some_and(|help| help.starts_with("quote values with `${…}`"));
        assert_eq!(found, quotes, "{text}");
    }
}

#[test]
fn a_problem_ends_where_its_character_does() {
    let problem = read("*é").expect_err("no name");
    assert_eq!((problem.span.start, problem.span.end), (4, 6));
}

/// The paths that a document clears.
fn resets(text: &str) -> Vec<String> {
    let documents = parse(text, FileId(0), &mut Vec::new());
    documents[0]
        .resets
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn tags_clear_the_paths_at_which_docker_compose_meets_them() {
    for (text, want) in [
        ("a: {b: !reset 1}", vec!["a.b"]),
        // What an anchor names loses what is reset when it is met first.
        ("a: &a {b: !reset 1}\nc: *a\nd: {<<: *a}", vec!["a.b"]),
        ("a: &a !reset 1\nc: *a", vec!["a", "c"]),
        ("a: {<<: !reset {b: 1}}", vec!["a"]),
        ("a: {<<: !override {b: 1}}", vec!["a"]),
        ("a: {<<: {b: !reset 1, c: 2}}", vec!["a.b"]),
        (
            "a: &a {b: !override 1}\nc: {<<: *a, b: 2}",
            vec!["a.b", "c.b"],
        ),
        ("a: [!reset 1, {b: !reset 2}]", vec!["a[0].b"]),
        ("a: !override {b: !reset 1}", vec!["a"]),
        ("a: !reset {b: !reset 1}", vec!["a"]),
    ] {
        assert_eq!(resets(text), want, "{text}");
    }
}

#[test]
fn two_byte_order_marks_may_begin_a_text() {
    for (marks, fits) in [(1, true), (2, true), (3, false)] {
        let text = "\u{feff}".repeat(marks) + "a: b\n";
        let documents = parse(&text, FileId(0), &mut Vec::new());
        let found = documents[0].root.get("a").is_some();
        assert_eq!(found, fits, "{marks}");
    }
}

#[test]
fn a_version_may_be_followed_by_a_comment() {
    for (text, code) in [
        ("%YAML 1.1 # c\n---\na: b\n", None),
        ("%YAML 1.2\n---\na: b\n", Some("yaml-version")),
        ("# c\n%YAML 2.0 # c\n---\na: b\n", Some("yaml-version")),
        ("%YAML 1.1\n%YAML 1.1\n---\na: b\n", Some("yaml-syntax")),
        ("%YAML 1\n---\na: b\n", Some("yaml-syntax")),
    ] {
        let mut problems = Vec::new();
        parse(text, FileId(0), &mut problems);
        assert_eq!(problems.first().map(|p| p.code), code, "{text}");
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
            prop_assert!(start <= end && text.get(start..end).is_some());
        }
        for document in documents {
            let span = document.root.span;
            prop_assert!(text.get(span.start as usize..span.end as usize).is_some());
        }
    }
}

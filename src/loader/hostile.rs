//! Foreign bytes never panic, hang or overflow the stack; our `.env` reader agrees with dotenvy
//! where the two grammars agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::interpolate::{Trace, substitute};
use super::short::{bytes, duration, port, shell, volume};
use super::source::Span;
use super::tree::Node;
use super::{FileId, LoadOptions, env, load, yaml};

fn variables() -> env::Variables {
    let map = BTreeMap::from([
        ("A".to_owned(), "1".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ]);
    env::Variables::from_process(&map)
}

/// Text made of what the grammars care about.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("${"),
        Just("}"),
        Just("$"),
        Just("$$"),
        Just(":-"),
        Just("?"),
        Just("A"),
        Just("EMPTY"),
        Just("\n"),
        Just(" "),
        Just("\t"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("#"),
        Just("="),
        Just(":"),
        Just("-"),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just(","),
        Just("&a"),
        Just("*a"),
        Just("<<: "),
        Just("!reset"),
        Just("é"),
        Just("0"),
        Just("9"),
        Just("/"),
        Just("services:\n"),
        Just("  web:\n"),
        Just("    ports: "),
        Just("export "),
        Just("|\n"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|v| v.concat())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![tricky(), any::<String>()]
}

proptest! {
    #[test]
    fn every_parser_survives(text in any_text()) {
        let _ = yaml::parse(&text, FileId(0), &mut Vec::new());
        let _ = yaml::resolve(&text);
        let _ = substitute(&text, &variables(), &mut Trace::default());
        let _ = env::parse(&text, FileId(0), &|_| None, BTreeMap::new());
        let _ = env::parse_raw(&text, FileId(0), &|_| None);
        let _ = bytes::parse(&text);
        let _ = duration::parse(&text);
        let _ = port::parse(&text);
        let _ = shell::split(&text);
        let _ = volume::parse(&text);
    }

    #[test]
    fn a_value_without_dollars_is_itself(text in "[^$]*") {
        prop_assert_eq!(substitute(&text, &variables(), &mut Trace::default()), Ok(text));
    }

    #[test]
    fn simple_env_lines_read_as_dotenvy_reads_them(
        lines in prop::collection::vec(("[A-Z][A-Z0-9_]{0,6}", "[a-z0-9./:@-]{0,8}", 0..3), 0..6)
    ) {
        let text: String = lines
            .iter()
            .map(|(key, value, quote)| match quote {
                0 => format!("{key}={value}\n"),
                1 => format!("{key}='{value}'\n"),
                _ => format!("export {key}=\"{value}\"\n"),
            })
            .collect();
        let theirs: BTreeMap<String, String> = dotenvy::from_read_iter(text.as_bytes())
            .filter_map(Result::ok)
            .collect();
        let parsed = env::parse(&text, FileId(0), &|_| None, BTreeMap::new());
        let ours: BTreeMap<String, String> = parsed
            .map(|p| p.entries.into_iter().map(|(k, (v, _))| (k, v)).collect())
            .unwrap_or_default();
        prop_assert_eq!(ours, theirs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn loading_survives(text in any_text()) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("compose.yaml"), &text).expect("writable");
        std::fs::write(dir.path().join(".env"), &text).expect("writable");
        let result = load(&LoadOptions::new(dir.path().to_owned(), BTreeMap::new()));
        if let Err(problems) = result {
            let _ = problems.render(true);
            let _ = problems.to_json();
        }
    }
}

#[test]
fn an_alias_bomb_is_an_error() {
    let mut text = String::from("x0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text += &format!("x{i}: &a{i} [{list}]\n");
    }
    let mut problems = Vec::new();
    let _ = yaml::parse(&text, FileId(0), &mut problems);
    assert_eq!(problems[0].code, "too-many-nodes");
}

#[test]
fn deep_nesting_is_an_error() {
    let mut problems = Vec::new();
    let _ = yaml::parse(&"[".repeat(10_000), FileId(0), &mut problems);
    assert!(!problems.is_empty(), "flow");
    let block: String = (0..400).map(|i| format!("{}k:\n", " ".repeat(i))).collect();
    problems.clear();
    let _ = yaml::parse(&block, FileId(0), &mut problems);
    assert_eq!(problems[0].code, "too-deep");
}

/// As deep as is allowed in every way at once, on the stack of a test, and unoptimized.
#[test]
fn what_is_as_deep_as_may_be_is_read() {
    let levels = yaml::MAX_DEPTH - 5;
    let (open, close) = ("{k: ".repeat(levels), "}".repeat(levels));
    let nested = format!("services: {{s: {{image: host, x-b: {open}1{close}}}}}\n");
    let mut files = vec![
        compose(format!("{nested}include: [c0.yaml]\n")),
        ("compose.override.yaml".to_owned(), nested),
    ];
    for i in 0..90 {
        let next = i + 1;
        let text = format!("include: [c{next}.yaml]\nx-a: 1\n");
        files.push((format!("c{i}.yaml"), text));
    }
    let last = format!("services: {{a: {{image: host, x-b: {open}1{close}}}}}\n");
    files.push(("c90.yaml".to_owned(), last));
    assert_eq!(codes(&files), [""; 0]);
    let further: String = files[0].1.replace("c0.yaml", "d.yaml");
    files[0].1 = further;
    let chain: Vec<String> = (0..40).map(|i| format!("d{i}.yaml")).collect();
    for (i, name) in chain.iter().enumerate() {
        let next = chain.get(i + 1).map_or("c0.yaml", String::as_str);
        files.push((name.clone(), format!("include: [{next}]\nx-a: 1\n")));
    }
    files.push((
        "d.yaml".to_owned(),
        "include: [d0.yaml]\nx-a: 1\n".to_owned(),
    ));
    assert_eq!(codes(&files), ["too-deep"]);
}

/// Each alias is within a few brackets; what they stand for is deep.
#[test]
fn aliases_that_nest_are_an_error() {
    let mut text = String::from("x-0: &a0 [1]\n");
    for i in 1..140 {
        let (open, close) = ("[".repeat(90), "]".repeat(90));
        text += &format!("x-{i}: &a{i} {open}*a{}{close}\n", i - 1);
    }
    assert_eq!(codes(&[compose(text)]), ["too-deep"]);
}

#[test]
fn mappings_that_merge_each_other_do_not_nest() {
    let mut text = String::from("services: {s: {image: host}}\nx-0: &a0 {k: 0}\n");
    for i in 1..600 {
        text += &format!("x-{i}: &a{i} {{k: {i}, <<: *a{}}}\n", i - 1);
    }
    assert_eq!(codes(&[compose(text)]), [""; 0]);
}

#[test]
fn a_long_list_of_merges_takes_time_that_grows_with_its_length() {
    let service = "services: {s: {image: host}}\n";
    let aliases = vec!["*a"; 150_000].join(",");
    let long = format!("{service}x-a: &a {{k: 1}}\nx-b: {{k: 0, <<: [{aliases}]}}\n");
    let keys: String = (0..1000).map(|i| format!("k{i}: 1, ")).collect();
    let aliases = vec!["*a"; 400].join(",");
    let wide = format!("{service}x-a: &a {{{keys}}}\nx-b: {{{keys}<<: [{aliases}]}}\n");
    let begin = std::time::Instant::now();
    assert_eq!(codes(&[compose(long)]), [""; 0]);
    assert_eq!(codes(&[compose(wide)]), [""; 0]);
    // Each value behind all before it would be ten thousand million steps.
    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
}

/// Each takes the place of the one before.
#[test]
fn a_long_row_of_equal_items_is_no_row_of_calls() {
    let items = "      - A=1\n".repeat(100_000);
    let text = format!("services:\n  a:\n    image: host\n    environment:\n{items}");
    assert_eq!(codes(&[compose(text)]), [""; 0]);
}

#[test]
fn anchors_within_anchors_that_hold_much_are_an_error() {
    let open: String = (0..90).map(|i| format!("[&a{i} ")).collect();
    let items = "[x],".repeat(20_000);
    let text = format!("x-a: {open}[{items}]{}\n", "]".repeat(90));
    assert_eq!(codes(&[compose(text)]), ["too-many-nodes"]);
}

/// Loads files of a folder of their own; the codes of what is wrong.
fn codes(files: &[(String, String)]) -> Vec<&'static str> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("writable");
    }
    match load(&LoadOptions::new(dir.path().to_owned(), BTreeMap::new())) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            let _ = problems.render(false);
            problems.list.iter().map(|p| p.code).collect()
        }
    }
}

fn compose(text: impl Into<String>) -> (String, String) {
    ("compose.yaml".to_owned(), text.into())
}

fn env_file(text: impl Into<String>) -> (String, String) {
    (".env".to_owned(), text.into())
}

#[test]
fn a_long_text_that_aliases_repeat_is_an_error() {
    let aliases = vec!["*a"; 200].join(", ");
    let text = format!("x-a: &a {}\nx-b: [{aliases}]\n", "a".repeat(1 << 20));
    assert_eq!(codes(&[compose(text)]), ["too-many-nodes"]);
}

#[test]
fn variables_that_double_are_an_error() {
    let mut env = format!("A0={}\n", "x".repeat(1024));
    for i in 1..30 {
        env += &format!("A{i}=$A{0}$A{0}\n", i - 1);
    }
    let file = compose("services: {a: {image: host, hostname: $A29}}\n");
    assert_eq!(codes(&[file, env_file(env)]), ["bad-env-file"]);
}

#[test]
fn a_long_variable_that_is_used_often_is_an_error() {
    let labels: String = (0..200).map(|i| format!("k{i}: $A, ")).collect();
    let file = compose(format!(
        "services: {{a: {{image: host, labels: {{{labels}}}}}}}\n"
    ));
    let env = env_file(format!("A={}\n", "x".repeat(1 << 20)));
    assert_eq!(codes(&[file, env]), ["too-big"]);
}

#[test]
fn includes_that_fan_out_are_an_error() {
    let mut files = vec![compose("include: [c0.yaml]\n")];
    for i in 0..25 {
        let next = i + 1;
        files.push((
            format!("c{i}.yaml"),
            format!("include: [c{next}.yaml, ./c{next}.yaml]\nx-a: 1\n"),
        ));
    }
    files.push((
        "c25.yaml".to_owned(),
        "services: {a: {image: host}}\n".to_owned(),
    ));
    assert_eq!(codes(&files), ["too-big"]);
}

#[test]
fn includes_that_lead_back_are_shown_as_a_path() {
    let files = [
        compose("include: [b.yaml]\n"),
        ("b.yaml".to_owned(), "include: [compose.yaml]\n".to_owned()),
    ];
    assert_eq!(codes(&files)[0], "include-cycle");
}

#[test]
fn a_long_row_of_extends_is_an_error() {
    let services: String = (0..5000)
        .map(|i| format!("  s{i}: {{extends: s{}}}\n", i + 1))
        .collect();
    let text = format!("services:\n{services}  s5000: {{image: host}}\n");
    assert!(codes(&[compose(text)]).contains(&"too-deep"));
}

#[test]
fn extends_that_copy_too_much_are_an_error() {
    let big: String = (0..20_000).map(|i| format!("      - x{i}\n")).collect();
    let services: String = (0..60)
        .map(|i| format!("  s{i}: {{extends: base}}\n"))
        .collect();
    let text = format!("services:\n  base:\n    image: host\n    command:\n{big}{services}");
    assert!(codes(&[compose(text)]).contains(&"too-big"));
}

#[test]
fn a_line_with_many_variables_is_searched_once() {
    let many = "${A-}".repeat(200_000);
    let nested = "${A-".repeat(200_000) + &"}".repeat(200_000);
    let open = "${A-".repeat(200_000);
    let begin = std::time::Instant::now();
    for (text, used) in [(many, 1), (nested, 1), (open, 1)] {
        let root = Node::str(text, Span::NONE);
        assert_eq!(super::variables::of(&root).len(), used);
    }
    let many = "${A-}".repeat(200_000);
    let _ = substitute(&many, &variables(), &mut Trace::default());
    // From each variable to the end of the line would be a hundred thousand million bytes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
fn many_resets_take_time_that_grows_with_their_number() {
    let keys = |value: &str| {
        (0..30_000)
            .map(|i| format!("k{i}: {value}, "))
            .collect::<String>()
    };
    let files = [
        compose(format!(
            "services: {{a: {{image: host, x-b: {{{}}}}}}}\n",
            keys("1")
        )),
        (
            "compose.override.yaml".to_owned(),
            format!("x-a: {{{}}}\n", keys("!reset 1")),
        ),
    ];
    let begin = std::time::Instant::now();
    assert_eq!(codes(&files), [""; 0]);
    // Each with each would be a thousand million comparisons.
    assert!(begin.elapsed() < std::time::Duration::from_secs(30));
}

/// Ports of two files are long by the time they are compared with each other.
#[test]
fn many_ports_are_compared_in_time_that_grows_with_their_number() {
    let ports = |range: &str| format!("services: {{a: {{image: host, ports: ['{range}']}}}}\n");
    let files = [
        compose(ports("1-30000/udp")),
        ("compose.override.yaml".to_owned(), ports("30001-60000/udp")),
    ];
    let begin = std::time::Instant::now();
    assert_eq!(codes(&files), [""; 0]);
    // Each with each would be two thousand million comparisons.
    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
}

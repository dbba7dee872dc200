//! `|` marks the cursor.

use proptest::prelude::*;

use super::*;

/// What fits, as text: `key PARENT <replaced>`, `value PATH <replaced>`, and so on.
fn at(marked: &str) -> String {
    let offset = marked.find('|').expect("a cursor");
    let text = marked.replacen('|', "", 1);
    let outline = Outline::of(&text);
    let cursor = Cursor::at(&text, &outline, offset);
    let path = |steps: &[Step]| {
        let parts: Vec<String> = steps
            .iter()
            .map(|step| match step {
                Step::Key(name) => name.clone(),
                Step::Item(index) => format!("[{index}]"),
            })
            .collect();
        parts.join(".")
    };
    let mut found = Vec::new();
    if let Some(key) = cursor.key {
        let parent = key.parent.map_or_else(Vec::new, |p| outline.path(p));
        let colon = if key.colon { ":" } else { "" };
        found.push(format!(
            "key {}<{}{colon}>",
            path(&parent),
            &text[key.replace]
        ));
    }
    if let Some(value) = cursor.value {
        let blank = if value.blank { "_" } else { "" };
        found.push(format!(
            "value {}<{blank}{}>",
            path(&value.path),
            &text[value.replace]
        ));
    }
    if let Some(variable) = cursor.variable {
        let braces = if variable.braced { "{" } else { "" };
        let closed = if variable.closed { "}" } else { "" };
        found.push(format!("${braces}{}{closed}", &text[variable.name]));
    }
    if let Some(alias) = cursor.alias {
        found.push(format!("*{}", &text[alias]));
    }
    found.join(", ")
}

#[test]
fn keys() {
    assert_eq!(at("|"), "key <>");
    assert_eq!(at("ser|"), "key <ser>");
    assert_eq!(
        at("services:\n  web:\n    ima|\n    ports: []\n"),
        "key services.web<ima>"
    );
    assert_eq!(
        at("services:\n  web:\n    im|age: x\n"),
        "key services.web<image:>"
    );
    assert_eq!(
        at("services:\n  web:\n    image: x\n    |\n"),
        "key services.web<>"
    );
    assert_eq!(
        at("services:\n  web:\n    image: x\n    |"),
        "key services.web<>"
    );
    assert_eq!(
        at("services:\n  web:\n    image: x\n  |\n  db:\n"),
        "key services<>"
    );
    assert_eq!(at("services:\n  web:\n    image: x\n|\n"), "key <>");
    assert_eq!(
        at("services:\n  web:\n    |\n  db:\n    image: y\n"),
        "key services.web<>"
    );
    assert_eq!(
        at("services:\n  web:\n    healthcheck:\n      |"),
        "key services.web.healthcheck<>"
    );
}

#[test]
fn no_keys_below_a_scalar() {
    assert_eq!(at("services:\n  web:\n    image: x\n      |\n"), "");
    assert_eq!(at("services:\n  web:\n    command: >\n      |\n"), "");
    assert_eq!(
        at("services:\n  web:\n    command: |\n"),
        "value services.web.command<>"
    );
}

#[test]
fn values() {
    let service = |line: &str| at(&format!("services:\n  web:\n    {line}\n    image: x\n"));
    assert_eq!(service("restart: |"), "value services.web.restart<>");
    assert_eq!(service("restart:|"), "value services.web.restart<_>");
    assert_eq!(service("restart: un|"), "value services.web.restart<un>");
    assert_eq!(service("restart: 'un|'"), "value services.web.restart<un>");
    assert_eq!(service("restart: \"|"), "value services.web.restart<>");
    assert_eq!(service("restart: a | # c"), "");
    assert_eq!(service("restart: a # |"), "");
    assert_eq!(service("# |"), "");
}

#[test]
fn items() {
    let service = |lines: &str| at(&format!("services:\n  web:\n    {lines}\n    image: x\n"));
    assert_eq!(
        service("depends_on:\n      - |"),
        "key services.web.depends_on.[0]<>, value services.web.depends_on.[0]<>"
    );
    assert_eq!(
        service("depends_on:\n    - db\n    - c|"),
        "key services.web.depends_on.[1]<c>, value services.web.depends_on.[1]<c>"
    );
    assert_eq!(
        service("volumes:\n      - type: b|"),
        "value services.web.volumes.[0].type<b>"
    );
    assert_eq!(
        service("volumes:\n      - type: bind\n        |"),
        "key services.web.volumes.[0]<>"
    );
    assert_eq!(service("depends_on:\n      -|"), "");
}

#[test]
fn flows() {
    let service = |line: &str| at(&format!("services:\n  web:\n    {line}\n    image: x\n"));
    assert_eq!(
        service("depends_on: [|]"),
        "value services.web.depends_on.[0]<>"
    );
    assert_eq!(
        service("depends_on: [|"),
        "value services.web.depends_on.[0]<>"
    );
    assert_eq!(
        service("depends_on: [db, |]"),
        "value services.web.depends_on.[1]<>"
    );
    assert_eq!(
        service("depends_on: [db, c|"),
        "value services.web.depends_on.[1]<c>"
    );
    assert_eq!(
        service("depends_on: {db: {con|}}"),
        "key services.web.depends_on.db<con>"
    );
    assert_eq!(
        service("depends_on: {db: {condition: |}}"),
        "value services.web.depends_on.db.condition<>"
    );
    assert_eq!(
        service("depends_on: {db: {condition: service_h|, required: true}}"),
        "value services.web.depends_on.db.condition<service_h>"
    );
    assert_eq!(
        service("depends_on: {db: {condition: x, |}}"),
        "key services.web.depends_on.db<>"
    );
    assert_eq!(
        service("healthcheck: {|}"),
        "key services.web.healthcheck<>"
    );
    assert_eq!(at("{\"services\": {\"web\": {|}}}"), "key services.web<>");
    assert_eq!(at("{|}"), "");
    assert_eq!(service("depends_on: [db] |"), "");
}

#[test]
fn variables_and_aliases() {
    assert_eq!(at("a: ${|"), "${");
    assert_eq!(at("a: x-${NA|ME:-d}"), "${NAME}");
    assert_eq!(at("a: ${NA|}"), "${NA}");
    assert_eq!(at("a: $NA|"), "$NA");
    assert_eq!(at("a: $$NA|"), "value a<$$NA>");
    assert_eq!(at("a: ${A:-${B|}}"), "${B}");
    assert_eq!(at("# ${|"), "");
    assert_eq!(at("a: >\n  text ${N|\n"), "${N");
    assert_eq!(at("x: &base\n  k: v\na: *ba|\n"), "*ba");
    assert_eq!(at("x: &base\n  k: v\na:\n  <<: *|\n"), "*");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_place_of_any_text_has_an_answer(
        text in "[a&*!:#\\-\\[\\]{}'\"|>, \r\n\u{fc}$]{0,50}"
    ) {
        let outline = Outline::of(&text);
        for offset in (0..=text.len()).filter(|i| text.is_char_boundary(*i)) {
            let cursor = Cursor::at(&text, &outline, offset);
            for range in [
                cursor.key.map(|key| key.replace),
                cursor.value.map(|value| value.replace),
                cursor.variable.map(|variable| variable.name),
                cursor.alias,
            ]
            .into_iter()
            .flatten()
            {
                prop_assert!(text.get(range).is_some());
            }
        }
    }
}

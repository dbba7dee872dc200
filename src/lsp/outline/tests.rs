//! Texts that are right have the loader's keys at the loader's places; broken ones have those
//! that a person sees.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::loader::tree::{Node, Value};
use crate::loader::{FileId, yaml};

/// Paths of all entries, with `=` and the value where there is one.
fn lines(text: &str) -> Vec<String> {
    let outline = Outline::of(text);
    (0..outline.entries().len())
        .map(|i| {
            let path: Vec<String> = outline
                .path(i)
                .into_iter()
                .map(|step| match step {
                    Step::Key(name) => name,
                    Step::Item(index) => format!("[{index}]"),
                })
                .collect();
            let entry = &outline.entries()[i];
            let value = &text[entry.value.clone()];
            let sign = if entry.colon.is_none() && entry.key().is_some() {
                "?"
            } else {
                ""
            };
            if value.is_empty() {
                format!("{}{sign}", path.join("."))
            } else {
                format!("{}{sign}={value}", path.join("."))
            }
        })
        .collect()
}

#[test]
fn blocks() {
    let text = "\
services:
  web: # comment
    image: a b # c
    command: >
      not: a key
       - nor an item
    ports:
    - 80:80
    -   target: 1
        mode: host
    - - x
      - y
    \"quoted key\": 'it''s'
volumes:
";
    let expected = [
        "services",
        "services.web",
        "services.web.image=a b",
        "services.web.command=>\n      not: a key\n       - nor an item",
        "services.web.ports",
        "services.web.ports.[0]=80:80",
        "services.web.ports.[1]",
        "services.web.ports.[1].target=1",
        "services.web.ports.[1].mode=host",
        "services.web.ports.[2]",
        "services.web.ports.[2].[0]=x",
        "services.web.ports.[2].[1]=y",
        "services.web.quoted key='it''s'",
        "volumes",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn keys_before_their_colon() {
    let text = "a:\n  ? x\n  : v\n  ? 'y z'\n  : - w\n  u: 1\n";
    let expected = ["a", "a.x=v", "a.y z=- w", "a.u=1"];
    assert_eq!(lines(text), expected);
}

#[test]
fn flows() {
    let text = "\
a: [x, 'y, z', {k: v, w: [1]}, p: q]
b: {c: d,
  e: *f, \"g\":h}
";
    let expected = [
        "a=[x, 'y, z', {k: v, w: [1]}, p: q]",
        "a.[0]=x",
        "a.[1]='y, z'",
        "a.[2]={k: v, w: [1]}",
        "a.[2].k=v",
        "a.[2].w=[1]",
        "a.[2].w.[0]=1",
        "a.[3]",
        "a.[3].p=q",
        "b={c: d,\n  e: *f, \"g\":h}",
        "b.c=d",
        "b.e=*f",
        "b.g=h",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn half_typed_keys_and_open_brackets_end_where_the_next_key_begins() {
    let text = "\
services:
  web:
    ima
    depends_on: [db, ca
    command: \"open
    restart: x
  db: {image: y
  ca:
    image: z
";
    let expected = [
        "services",
        "services.web",
        "services.web.ima?",
        "services.web.depends_on=[db, ca",
        "services.web.depends_on.[0]=db",
        "services.web.depends_on.[1]=ca",
        "services.web.command=\"open",
        "services.web.restart=x",
        "services.db={image: y",
        "services.db.image=y",
        "services.ca",
        "services.ca.image=z",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn anchors_and_aliases() {
    let text = "x-a: &a\n  k: &b v\nservices:\n  web:\n    <<: [*a, *b]\n    init: *b\n";
    let outline = Outline::of(text);
    let names = |marks: &[Mark]| {
        marks
            .iter()
            .map(|mark| (mark.name.clone(), text[mark.at.clone()].to_owned()))
            .collect::<Vec<_>>()
    };
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(names(&outline.anchors), [pair("a", "&a"), pair("b", "&b")]);
    assert_eq!(
        names(&outline.aliases),
        [pair("a", "*a"), pair("b", "*b"), pair("b", "*b")]
    );
    assert_eq!(outline.anchors[0].entry, outline.top("x-a"));
}

/// Every key of the loader's tree with its place.
fn keys_of(node: &Node, found: &mut BTreeSet<(usize, String)>) {
    match &node.value {
        Value::Map(map) => {
            for (key, child) in map {
                found.insert((child.key.start as usize, key.clone()));
                keys_of(child, found);
            }
        }
        Value::Seq(items) => items.iter().for_each(|item| keys_of(item, found)),
        _ => {}
    }
}

fn yaml_files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            found.push(path);
        }
    }
}

#[test]
fn right_texts_have_the_loaders_keys() {
    let mut files = Vec::new();
    for dir in ["examples", "compose-spec-tests"] {
        yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut files);
    }
    assert!(files.len() > 20, "only {} files", files.len());
    let mut differences = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut problems = Vec::new();
        let documents = yaml::parse(&text, FileId(0), &mut problems);
        if !problems.is_empty() {
            continue;
        }
        let mut theirs = BTreeSet::new();
        for document in &documents {
            keys_of(&document.root, &mut theirs);
        }
        let outline = Outline::of(&text);
        let mut ours: BTreeSet<(usize, String)> = outline
            .entries()
            .iter()
            .filter(|entry| entry.colon.is_some())
            .filter_map(|entry| Some((entry.at.start, entry.key()?.to_owned())))
            .collect();
        if text.contains("!reset") {
            // What a tag removes is not in the loader's tree.
            ours.retain(|key| theirs.contains(key));
        }
        // A mapping's `<<` is gone once it is merged, and what it brings has the anchor's place.
        ours.retain(|(_, key)| key != "<<");
        theirs.retain(|(_, key)| key != "<<");
        let differs: Vec<_> = ours.symmetric_difference(&theirs).collect();
        if !differs.is_empty() {
            differences.push(format!("{}: {differs:?}", file.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn check(text: &str) {
    let outline = Outline::of(text);
    let mut last = 0;
    for (i, entry) in outline.entries().iter().enumerate() {
        assert!(text.get(entry.at.clone()).is_some(), "{text:?} {entry:?}");
        assert!(
            text.get(entry.value.clone()).is_some(),
            "{text:?} {entry:?}"
        );
        assert!(entry.parent.is_none_or(|parent| parent < i));
        assert!(entry.at.start >= last, "{text:?} {entry:?}");
        last = entry.at.start;
        outline.path(i);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_has_an_outline(text in "\\PC{0,60}") {
        check(&text);
    }

    #[test]
    fn any_punctuation_has_an_outline(
        text in "[a&*!?:#\\-\\[\\]{}'\"|>, \t\r\n\\\\\u{fc}$%]{0,60}"
    ) {
        check(&text);
    }
}

#[test]
fn blanks_are_those_of_yaml() {
    for text in [
        "{\u{a0}{",
        "{\u{2003}a: b\u{a0}}",
        "\u{a0}: \u{a0}",
        "[\u{c}, \u{b}{",
    ] {
        check(text);
    }
}

#[test]
fn deep_nesting_and_long_texts_end() {
    check(&"[".repeat(100_000));
    check(&"{a: ".repeat(100_000));
    check(&"- ".repeat(10_000));
    check(&"\"\n".repeat(20_000));
    check(&"a: [\n".repeat(5_000));
    check(&"a: \"\n".repeat(5_000));
    let deep: String = (0..2_000)
        .map(|i| format!("{}k:\n", " ".repeat(i)))
        .collect();
    check(&deep);
}

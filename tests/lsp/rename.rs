//! Another name for a thing, in all files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, position, uri};
use crate::{project, stack};

/// Asks for another name at the place after the only occurrence of a text.
fn rename(client: &mut Client, file: &Path, whole: &str, place: &str, new: &str) -> Value {
    let offset = whole.find(place).expect("there") + place.len();
    let params = json!({
        "textDocument": { "uri": uri(file) },
        "position": position(whole, offset),
        "newName": new,
    });
    client.answer("textDocument/rename", params)
}

/// The lines that an answer changes, by file.
fn lines(answer: &Value) -> BTreeMap<String, Vec<u64>> {
    let changes = answer["result"]["changes"].as_object();
    let changes = changes.unwrap_or_else(|| panic!("no changes: {answer}"));
    let line = |edit: &Value| edit["range"]["start"]["line"].as_u64().expect("a line");
    changes
        .iter()
        .map(|(uri, edits)| {
            let name = uri.rsplit('/').next().expect("a name").to_owned();
            let mut lines: Vec<u64> = edits.as_array().expect("a list").iter().map(line).collect();
            lines.sort_unstable();
            (name, lines)
        })
        .collect()
}

fn expected(files: &[(&str, &[u64])]) -> BTreeMap<String, Vec<u64>> {
    let owned = |(name, lines): &(&str, &[u64])| ((*name).to_owned(), lines.to_vec());
    files.iter().map(owned).collect()
}

const COMPOSE: &str = "\
include: [part.yaml]
services:
  web:
    extends: {file: base.yaml, service: db}
    image: a
    depends_on: {db: {condition: service_started}}
    links: [\"db:alias\"]
    network_mode: service:db
  db:
    image: b
    networks: [back]
    volumes: [\"data:/var/lib\", \"./data:/x\"]
    secrets: [{source: key}]
    configs: [conf]
networks: {back: {}}
volumes: {data: {}}
secrets: {key: {file: ./key}}
configs: {conf: {file: ./conf}}
";
const PART: &str = "\
services:
  part:
    image: c
    networks: {back: {aliases: [back]}}
    secrets: [key]
    volumes: [\"data:/y\"]
    depends_on: [db]
";

#[test]
fn a_name_is_changed_in_every_file_that_means_it() {
    let dir = project(&[
        ("compose.yaml", COMPOSE),
        ("part.yaml", PART),
        ("base.yaml", "services:\n  db: {image: x}\n"),
        ("key", ""),
        ("conf", ""),
    ]);
    let (compose, base) = (
        dir.path().join("compose.yaml"),
        dir.path().join("base.yaml"),
    );
    let capabilities = json!({ "textDocument": { "rename": { "prepareSupport": true } } });
    let (mut client, result) = Client::start(dir.path(), &[], capabilities);
    assert_eq!(
        result["capabilities"]["renameProvider"]["prepareProvider"],
        true
    );
    client.open(&compose);
    client.open(&base);
    let mut at = |file, whole, place| lines(&rename(&mut client, file, whole, place, "other"));
    // The service that is extended is another one of that name.
    let service: &[(&str, &[u64])] = &[("compose.yaml", &[5, 6, 7, 8]), ("part.yaml", &[6])];
    assert_eq!(at(&compose, COMPOSE, "\n  d"), expected(service));
    assert_eq!(at(&compose, COMPOSE, "links: [\"d"), expected(service));
    let extended: &[(&str, &[u64])] = &[("compose.yaml", &[3]), ("base.yaml", &[1])];
    assert_eq!(at(&compose, COMPOSE, "service: d"), expected(extended));
    let text = "services:\n  db: {image: x}\n";
    assert_eq!(at(&base, text, "  d"), expected(extended));
    for (place, ours, theirs) in [
        ("networks: {ba", &[10, 14][..], &[3][..]),
        ("volumes: {da", &[11, 15], &[5]),
        ("secrets: {ke", &[12, 16], &[4]),
    ] {
        let files = [("compose.yaml", ours), ("part.yaml", theirs)];
        assert_eq!(at(&compose, COMPOSE, place), expected(&files), "{place}");
    }
    let files: &[(&str, &[u64])] = &[("compose.yaml", &[13, 17])];
    assert_eq!(at(&compose, COMPOSE, "configs: [co"), expected(files));
    assert!(client.finish().success());
}

#[test]
fn what_cannot_be_renamed_says_why() {
    let (dir, file) = stack();
    let (mut client, result) = Client::start(dir.path(), &[], json!({}));
    assert_eq!(result["capabilities"]["renameProvider"], true);
    client.open(&file);
    let mut refused = |place, new| {
        let answer = rename(&mut client, &file, crate::COMPOSE, place, new);
        assert_eq!(answer["error"]["code"], -32803, "{answer}");
        answer["error"]["message"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    assert!(refused("[d", "a b").contains("letters, digits"));
    assert!(refused("[d", "cache").contains("`cache` already"));
    assert!(refused("image: post", "x").contains("no name"));
    let place = client.after(&file, "[d", "prepareRename");
    assert_eq!(place["placeholder"], "db");
    let place = client.after(&file, "image: post", "prepareRename");
    assert_eq!(place, Value::Null);
    assert!(client.finish().success());
}

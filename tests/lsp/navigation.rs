//! What a thing means, where it is defined, and where it is named.

use std::path::Path;

use serde_json::json;

use crate::client::{Client, position, uri};
use crate::{COMPOSE, project, stack};

#[test]
fn hover_and_definition_reach_other_files() {
    let (dir, file) = stack();
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    client.open(&file);

    let hover = client.after(&file, "image: postgres", "hover");
    let text = hover["contents"]["value"].as_str().expect("text");
    assert!(text.contains("postgres:16"), "the value: {text}");
    assert!(text.contains(".env`, line 1"), "and its source: {text}");
    let hover = client.after(&file, "    rest", "hover");
    let text = hover["contents"]["value"].as_str().expect("text");
    assert!(text.contains("`unless-stopped`"), "the meaning: {text}");

    let mut definition = |place: &str| {
        let found = client.after(&file, place, "definition");
        let found = found.as_array().expect("a list").clone();
        assert_eq!(found.len(), 1, "{place}: {found:?}");
        let name = found[0]["uri"].as_str().expect("a name").to_owned();
        let line = found[0]["range"]["start"]["line"].as_u64().expect("a line");
        (name.rsplit('/').next().expect("a name").to_owned(), line)
    };
    assert_eq!(definition("service: ba"), ("base.yaml".to_owned(), 1));
    assert_eq!(definition("file: ba"), ("base.yaml".to_owned(), 0));
    assert_eq!(definition("[ca"), ("cache.yaml".to_owned(), 0));
    assert_eq!(definition("[db, ca"), ("cache.yaml".to_owned(), 1));
    assert_eq!(definition("[d"), ("compose.yaml".to_owned(), 6));
    assert_eq!(definition("postgres:${T"), (".env".to_owned(), 0));

    let start = COMPOSE.find("db, cache").expect("there");
    let place = json!({
        "textDocument": { "uri": uri(&file) },
        "position": position(COMPOSE, start),
        "context": { "includeDeclaration": false },
    });
    let uses = client.ask("textDocument/references", place);
    assert_eq!(uses.as_array().expect("a list").len(), 1);

    let document = json!({ "textDocument": { "uri": uri(&file) } });
    let symbols = client.ask("textDocument/documentSymbol", document);
    let names: Vec<&str> = symbols
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|symbol| symbol["name"].as_str())
        .collect();
    assert_eq!(names, ["web", "db"]);
    assert!(client.finish().success());
}

/// A variable's value is that of the file it stands in: an include may have an `.env` of its own.
#[test]
fn hover_of_a_variable_shows_its_value_and_its_line() {
    let dir = project(&[
        (
            "compose.yaml",
            "include: [{path: part.yaml, env_file: [part.env]}]\nservices:\n  web: {image: \"web:${TAG}\"}\n",
        ),
        (
            "part.yaml",
            "services:\n  part: {image: \"part:${TAG}${OWN}\"}\n",
        ),
        ("part.env", "# of the part\nOWN=-slim\n\nTAG=2\n"),
        ("main.env", "\nTAG=1\n"),
    ]);
    let flags = ["--env-file", "main.env"];
    let (mut client, _) = Client::start(dir.path(), &flags, json!({}));
    let (main, part) = (
        dir.path().join("compose.yaml"),
        dir.path().join("part.yaml"),
    );
    client.open(&main);
    client.open(&part);
    let mut hover = |file: &Path, place: &str| {
        let hover = client.after(file, place, "hover");
        hover["contents"]["value"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let text = hover(&main, "${TA");
    assert!(
        text.contains("main.env`, line 2") && text.contains("\n1\n"),
        "{text}"
    );
    let text = hover(&part, "${OW");
    assert!(
        text.contains("part.env`, line 2") && text.contains("\n-slim\n"),
        "{text}"
    );
    // What the project itself knows counts more than the file of the include.
    let text = hover(&part, "${TA");
    assert!(
        text.contains("main.env`, line 2") && text.contains("\n1\n"),
        "{text}"
    );
    let found = client.after(&part, "${OW", "definition");
    let name = found[0]["uri"].as_str().expect("a name");
    assert!(name.ends_with("/part.env"), "{name}");
    assert_eq!(found[0]["range"]["start"]["line"], 1);
    assert!(client.finish().success());
}

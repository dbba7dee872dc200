//! Beginnings, ends, and what should not be said.

use std::fs;
use std::io::Write as _;

use serde_json::json;

use crate::client::{Client, codes};
use crate::{project, stack};

#[test]
fn a_text_that_was_never_saved_is_checked_too() {
    let dir = project(&[]);
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    let name = "untitled:Untitled-1";
    let text = "x-base: &base\n  imaeg: a:1\nservices:\n  web:\n    <<: *base\n    image: a:1\n";
    let document = json!({ "uri": name, "languageId": "yaml", "version": 1, "text": text });
    client.say("textDocument/didOpen", json!({ "textDocument": document }));
    let problems = client.problems_until(name, |list| !list.is_empty());
    assert_eq!(codes(&problems), ["unknown-key"], "{problems:?}");
    assert_eq!(problems[0]["range"]["start"]["line"], 1, "in the fragment");
    let place = |line: u32, character: u32| {
        json!({
            "textDocument": { "uri": name },
            "position": { "line": line, "character": character },
        })
    };
    let found = client.ask("textDocument/definition", place(4, 11));
    assert_eq!(found[0]["uri"], name, "as the editor calls it");
    assert_eq!(
        found[0]["range"]["start"],
        json!({ "line": 0, "character": 8 })
    );
    let keys = client.ask("textDocument/completion", place(1, 4));
    let keys = keys.as_array().expect("a list").iter();
    let labels: Vec<&str> = keys.filter_map(|key| key["label"].as_str()).collect();
    assert!(
        labels.contains(&"image"),
        "a fragment holds what its use holds"
    );
    assert!(client.finish().success());
}

#[test]
fn nothing_that_is_said_ends_the_server_but_broken_framing() {
    let (dir, file) = stack();
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    let input = client.input.as_mut().expect("a pipe");
    input
        .write_all(b"Content-Length: 1\r\n\r\n{")
        .expect("a listener");
    let refused = client.receive();
    assert_eq!(refused["error"]["code"], -32700);
    let unknown = client.answer("textDocument/onTypeFormatting", json!({}));
    assert_eq!(unknown["error"]["code"], -32601);
    // Half-typed paths must not lead the loader to what never ends.
    fs::write(
        &file,
        "services:\n  a:\n    image: x\n    env_file: [/dev/stdin, /dev/zero]\n    extends: {file: /dev/zero, service: a}\n",
    )
    .expect("writable");
    client.open(&file);
    let problems = client.problems_until("compose.yaml", |list| !list.is_empty());
    assert!(codes(&problems).contains(&"unreadable"), "{problems:?}");
    let input = client.input.as_mut().expect("a pipe");
    input
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("a listener");
    assert_eq!(client.server.wait().expect("an end").code(), Some(1));
}

#[test]
fn an_editor_that_dies_takes_the_server_with_it() {
    let (dir, _) = stack();
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    drop(client.input.take());
    assert_eq!(client.server.wait().expect("an end").code(), Some(1));
}

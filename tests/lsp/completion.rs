//! What can be typed.

use std::fs;

use serde_json::{Value, json};

use crate::client::{Client, codes};
use crate::{project, stack};

#[test]
fn completion_knows_the_place_and_the_names() {
    let (dir, file) = stack();
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    client.open(&file);
    client.problems_until("compose.yaml", <[Value]>::is_empty);

    let labels = client.labels(&file, "depends_on: [db, ");
    assert_eq!(labels, ["cache"], "those that are not there yet");
    // Broken, and known to be: names of other files stay known.
    client.replace(&file, "restart: always", "links: [\"");
    client.problems_until("compose.yaml", |list| codes(list) == ["yaml-syntax"]);
    let labels = client.labels(&file, "links: [\"");
    assert_eq!(labels, ["cache", "web"]);
    client.replace(&file, "links: [\"", "res");
    let keys = client.after(&file, "\n    res", "completion");
    let restart = keys
        .as_array()
        .expect("a list")
        .iter()
        .find(|item| item["label"] == "restart")
        .expect("the key that is being typed");
    assert_eq!(restart["textEdit"]["newText"], "restart: ");
    let start = json!({ "line": 8, "character": 4 });
    assert_eq!(restart["textEdit"]["range"]["start"], start);
    let meaning = restart["documentation"]["value"].as_str().expect("text");
    assert!(meaning.contains("started again"), "{meaning}");
    let labels = client.labels(&file, "\n    res");
    assert!(!labels.contains(&"image".to_owned()), "it is there already");

    client.replace(&file, "    res\n", "    restart: \n");
    let labels = client.labels(&file, "restart: ");
    assert_eq!(labels, ["no", "always", "on-failure", "unless-stopped"]);
    client.replace(&file, "restart: \n", "labels: [\"${\n");
    let labels = client.labels(&file, "labels: [\"${");
    for name in ["TAG", "FROM_OUTSIDE"] {
        assert!(labels.contains(&name.to_owned()), "{labels:?}");
    }
    assert!(client.finish().success());
}

#[test]
fn completion_knows_the_paths_that_fit() {
    let dir = project(&[
        (
            "compose.yaml",
            "services:\n  web:\n    build: \n    image: a\n",
        ),
        ("base.yaml", "services: {base: {image: b}}\n"),
        ("web.env", "A=1\n"),
        (".env", "B=1\n"),
    ]);
    fs::create_dir_all(dir.path().join("app/src")).expect("writable");
    fs::write(dir.path().join("app/more.yaml"), "").expect("writable");
    let file = dir.path().join("compose.yaml");
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    client.open(&file);
    let paths = |labels: Vec<String>| -> Vec<String> {
        let is_path = |label: &String| label.contains(['.', '/']);
        labels.into_iter().filter(is_path).collect()
    };
    assert_eq!(paths(client.labels(&file, "build: ")), ["app/"]);
    client.replace(&file, "build: \n", "build: {context: ./app/}\n");
    let items = client.after(&file, "context: ./app/", "completion");
    assert_eq!(items[0]["label"], "./app/src/");
    assert_eq!(items[0]["textEdit"]["newText"], "./app/src/");
    let start = json!({ "line": 2, "character": 21 });
    assert_eq!(items[0]["textEdit"]["range"]["start"], start, "all of it");
    client.replace(&file, "build: {context: ./app/}\n", "env_file: \n");
    let labels = paths(client.labels(&file, "env_file: "));
    assert_eq!(
        labels,
        [".env", "app/", "base.yaml", "compose.yaml", "web.env"]
    );
    client.replace(&file, "env_file: \n", "extends: {file: }\n");
    let labels = paths(client.labels(&file, "file: "));
    assert_eq!(labels, ["app/", "base.yaml", "compose.yaml"]);
    client.replace(&file, "extends: {file: }\n", "volumes: [\"./a:/data\"]\n");
    let items = client.after(&file, "[\"./a", "completion");
    let bind = items.as_array().expect("a list").iter();
    let bind: Vec<_> = bind.filter(|item| item["label"] == "./app/").collect();
    let end = &bind[0]["textEdit"]["range"]["end"];
    assert_eq!(
        *end,
        json!({ "line": 2, "character": 18 }),
        "the target stays"
    );
    client.replace(&file, "services:\n", "include: [ ]\nservices:\n");
    let labels = paths(client.labels(&file, "include: ["));
    assert_eq!(labels, ["app/", "base.yaml", "compose.yaml"]);
    assert!(client.finish().success());
}

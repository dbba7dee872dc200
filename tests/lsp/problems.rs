//! Problems, as they are typed and in which file.

use std::fs;

use serde_json::{Value, json};

use crate::client::{Client, codes, uri};
use crate::{COMPOSE, project, stack};

#[test]
fn a_mistake_is_shown_while_it_is_typed_and_goes_with_it() {
    let (dir, file) = stack();
    let capabilities = json!({ "textDocument": {
        "publishDiagnostics": { "relatedInformation": true },
        "codeAction": { "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [] } } },
    } });
    let (mut client, result) = Client::start(dir.path(), &[], capabilities);
    assert_eq!(result["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(result["serverInfo"]["name"], "gantry");
    client.open(&file);
    client.problems_until("compose.yaml", <[Value]>::is_empty);

    client.replace(&file, "restart: always", "restrat: always");
    let problems = client.problems_until("compose.yaml", |list| !list.is_empty());
    assert_eq!(codes(&problems), ["unknown-key"]);
    assert_eq!(problems[0]["severity"], 1);
    assert_eq!(problems[0]["source"], "gantry");
    let range = json!({
        "start": { "line": 8, "character": 4 }, "end": { "line": 8, "character": 11 }
    });
    assert_eq!(problems[0]["range"], range);
    let message = problems[0]["message"].as_str().expect("text");
    assert!(message.contains("did you mean `restart`?"), "{message}");
    let actions = client.ask(
        "textDocument/codeAction",
        json!({
            "textDocument": { "uri": uri(&file) }, "range": range,
            "context": { "diagnostics": problems },
        }),
    );
    assert!(!actions[0].is_null(), "{actions}");
    let edit = &actions[0]["edit"]["changes"][uri(&file)][0];
    assert_eq!(edit["newText"], "restart");
    assert_eq!(edit["range"], range);

    client.replace(&file, "restrat: always", "restart: always");
    client.problems_until("compose.yaml", <[Value]>::is_empty);

    // Columns beyond a character of two UTF-16 units.
    client.replace(&file, "\"${TAG}\"}", "\"${TAG\"}");
    let problems = client.problems_until("compose.yaml", |list| !list.is_empty());
    let line = COMPOSE.lines().nth(4).expect("a line");
    let column = line[..line.find("${").expect("there")]
        .encode_utf16()
        .count();
    assert_eq!(problems[0]["range"]["start"]["character"], column);
    assert_eq!(fs::read_to_string(&file).expect("a file"), COMPOSE);
    assert!(client.finish().success());
}

#[test]
fn unsaved_texts_of_other_files_count() {
    let (dir, file) = stack();
    let base = dir.path().join("base.yaml");
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    client.open(&file);
    client.open(&base);
    client.problems_until("compose.yaml", <[Value]>::is_empty);
    // A mistake in the file that is extended is shown there,
    client.replace(&base, "image: base:1", "imaeg: base:1");
    let problems = client.problems_until("base.yaml", |list| !list.is_empty());
    assert_eq!(codes(&problems)[0], "unknown-key");
    client.replace(&base, "imaeg: base:1", "image: base:1");
    client.problems_until("base.yaml", <[Value]>::is_empty);
    // and one that it makes elsewhere, elsewhere.
    client.replace(&base, "  base:\n", "  bass:\n");
    let problems = client.problems_until("compose.yaml", |list| !list.is_empty());
    assert_eq!(codes(&problems)[0], "unknown-service");
    // What is closed without saving is as on the disk again.
    let document = json!({ "textDocument": { "uri": uri(&base) } });
    client.say("textDocument/didClose", document);
    client.problems_until("compose.yaml", <[Value]>::is_empty);
    assert!(client.finish().success());
}

#[test]
fn a_file_beside_the_project_is_checked_as_what_it_can_be() {
    let dir = project(&[
        ("compose.yaml", "services:\n  web:\n    image: a:1\n"),
        // Without the project it would lack an image.
        (
            "compose.prod.yaml",
            "services:\n  web:\n    restart: always\n",
        ),
        ("pod.yaml", "kind: Pod\nspec: {containers: []}\n"),
    ]);
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    for name in ["compose.prod.yaml", "pod.yaml"] {
        client.open(&dir.path().join(name));
    }
    client.problems_until("compose.prod.yaml", <[Value]>::is_empty);
    assert!(!client.problems.contains_key("pod.yaml"), "not ours");
    let prod = dir.path().join("compose.prod.yaml");
    client.replace(&prod, "restart", "restrat");
    let problems = client.problems_until("compose.prod.yaml", |list| !list.is_empty());
    assert_eq!(codes(&problems), ["unknown-key"]);
    assert!(client.finish().success());
}

#[test]
fn files_of_the_command_line_are_the_project() {
    let dir = project(&[
        (
            "a.yaml",
            "services:\n  web:\n    image: a:1\n    depends_on: [db]\n",
        ),
        ("b.yaml", "services:\n  db:\n    image: b:1\n"),
    ]);
    let flags = ["-f", "a.yaml", "-f", "b.yaml"];
    let (mut client, _) = Client::start(dir.path(), &flags, json!({}));
    client.open(&dir.path().join("a.yaml"));
    client.problems_until("a.yaml", <[Value]>::is_empty);
    assert!(client.finish().success());
    let (mut client, _) = Client::start(dir.path(), &[], json!({}));
    client.open(&dir.path().join("a.yaml"));
    client.problems_until("a.yaml", |list| !list.is_empty());
    assert!(client.finish().success());
}

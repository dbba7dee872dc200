//! Conversations in memory.

use std::sync::mpsc::sync_channel;

use proptest::prelude::*;

use super::*;

/// Says everything at once and gives back what is answered, and how it ended.
fn converse(messages: Vec<Incoming>) -> (Vec<Value>, End) {
    let (sender, receiver) = sync_channel(messages.len());
    for message in messages {
        sender.send(Ok(message)).expect("room");
    }
    drop(sender);
    let mut output = Vec::new();
    let directory = PathBuf::from("/nowhere");
    let options = LoadOptions::new(directory, [("HOME".to_owned(), "/root".to_owned())].into());
    let end = Server::new(&mut output, options)
        .run(&receiver)
        .expect("memory");
    let text = String::from_utf8(output).expect("text");
    let bodies = text.split("Content-Length: ").skip(1).map(|framed| {
        let (_, body) = framed.split_once("\r\n\r\n").expect("a header");
        serde_json::from_str(body).expect("JSON")
    });
    (bodies.collect(), end)
}

fn ask(id: i32, method: &str, params: Value) -> Incoming {
    Incoming::Request {
        id: json!(id),
        method: method.to_owned(),
        params,
    }
}

fn say(method: &str, params: Value) -> Incoming {
    Incoming::Notification {
        method: method.to_owned(),
        params,
    }
}

fn initialize() -> Incoming {
    ask(0, "initialize", json!({ "capabilities": {} }))
}

fn open(text: &str) -> Incoming {
    let document = json!({
        "uri": "file:///nowhere/compose.yaml", "languageId": "yaml", "version": 1, "text": text
    });
    say("textDocument/didOpen", json!({ "textDocument": document }))
}

fn place(line: u32, character: u32) -> Value {
    json!({
        "textDocument": { "uri": "file:///nowhere/compose.yaml" },
        "position": { "line": line, "character": character },
    })
}

fn error_of(messages: &[Value], id: i32) -> Option<i64> {
    let answer = messages.iter().find(|m| m["id"] == json!(id))?;
    answer["error"]["code"].as_i64()
}

#[test]
fn an_orderly_conversation() {
    let (messages, end) = converse(vec![
        ask(9, "textDocument/hover", place(0, 0)),
        initialize(),
        ask(1, "initialize", json!({ "capabilities": {} })),
        ask(2, "workspace/unknown", Value::Null),
        ask(3, "textDocument/hover", json!({ "position": "?" })),
        ask(4, "textDocument/hover", place(0, 0)),
        say("$/unknown", Value::Null),
        say("textDocument/didChange", json!(7)),
        Incoming::Invalid(code::PARSE, "why".to_owned()),
        ask(5, "shutdown", Value::Null),
        ask(6, "textDocument/hover", place(0, 0)),
        say("exit", Value::Null),
    ]);
    assert_eq!(end, End::Orderly);
    assert_eq!(error_of(&messages, 9), Some(-32002));
    assert_eq!(error_of(&messages, 0), None);
    assert_eq!(error_of(&messages, 1), Some(-32600));
    assert_eq!(error_of(&messages, 2), Some(-32601));
    assert_eq!(error_of(&messages, 3), Some(-32602));
    assert_eq!(error_of(&messages, 4), None);
    assert_eq!(error_of(&messages, 6), Some(-32600));
    assert!(
        messages
            .iter()
            .any(|m| m["id"].is_null() && m["error"]["code"] == -32700)
    );
    // Every request once, and the message that was none.
    assert_eq!(messages.len(), 9);
}

#[test]
fn leaving_without_a_word_is_a_failure() {
    assert_eq!(converse(vec![initialize()]).1, End::Cut);
    let unannounced = vec![initialize(), say("exit", Value::Null)];
    assert_eq!(converse(unannounced).1, End::Cut);
}

#[test]
fn what_is_taken_back_is_not_worked_on() {
    let (messages, _) = converse(vec![
        initialize(),
        open("services: {}\n"),
        ask(1, "textDocument/completion", place(1, 0)),
        ask(2, "textDocument/completion", place(1, 0)),
        say("$/cancelRequest", json!({ "id": 1 })),
    ]);
    assert_eq!(error_of(&messages, 1), Some(-32800));
    assert_eq!(error_of(&messages, 2), None);
}

/// Texts to be damaged.
const SAMPLES: [&str; 3] = [
    "include: [a.yaml]\nservices:\n  web:\n    <<: *x\n    image: a:${B:-c}\n    depends_on: {db: {condition: service_healthy}}\n    volumes:\n      - data:/x\n      - type: bind\n",
    "x-a: &x\n  restart: always\nservices:\n  db: {extends: {file: compose.yaml, service: 'w'}, ports: [\"80:80\", {target: 1}]}\n",
    "services:\n  \u{1f600}:\n    command: >\n      a ${B}\n    networks:\n      back:\n        aliases: [ü]\nnetworks:\n  back:\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_text_gets_answers_at_every_place(
        sample in 0..SAMPLES.len(),
        edits in prop::collection::vec(
            (0u32..12, 0u32..30, 0u32..3, 0u32..8, "[a-z:*&${}\\[\\]'\"|>,# \n\u{fc}-]{0,6}"), 0..6
        ),
    ) {
        let mut messages = vec![initialize(), open(SAMPLES[sample])];
        let mut id = 1;
        for (line, column, lines, columns, text) in edits {
            let change = json!({
                "range": {
                    "start": { "line": line, "character": column },
                    "end": { "line": line + lines, "character": columns },
                },
                "text": text,
            });
            messages.push(say("textDocument/didChange", json!({
                "textDocument": { "uri": "file:///nowhere/compose.yaml", "version": 2 },
                "contentChanges": [change],
            })));
            for character in 0..24 {
                for method in ["completion", "hover", "definition", "references"] {
                    let method = format!("textDocument/{method}");
                    let mut params = place(line, character);
                    params["context"] = json!({ "includeDeclaration": true, "triggerKind": 1 });
                    messages.push(ask(id, &method, params));
                    id += 1;
                }
            }
            let symbols = json!({ "textDocument": { "uri": "file:///nowhere/compose.yaml" } });
            messages.push(ask(id, "textDocument/documentSymbol", symbols));
            id += 1;
        }
        let (answers, _) = converse(messages);
        for asked in 1..id {
            let answered = answers
                .iter()
                .any(|m| m["id"] == json!(asked) && m.get("error").is_none());
            prop_assert!(answered, "request {} was not answered", asked);
        }
    }
}

//! An editor's session: the text is opened, then asked about at the places its first bytes choose.
#![no_main]

use std::io::Cursor;
use std::path::PathBuf;

use gantry::loader::LoadOptions;
use gantry::lsp::{End, serve};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const URI: &str = "file:///nowhere/compose.yaml";
const QUESTIONS: [&str; 5] = ["completion", "hover", "definition", "references", "prepareRename"];

fuzz_target!(|input: ([u8; 4], &str)| {
    let (places, text) = input;
    let mut said = Vec::new();
    let mut say = |message: Value| {
        let body = message.to_string();
        said.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes());
    };
    say(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}}));
    say(json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}));
    say(json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": {
        "uri": URI, "languageId": "yaml", "version": 1, "text": text,
    }}}));
    let mut id = 0;
    for place in places {
        for question in QUESTIONS {
            id += 1;
            say(json!({"jsonrpc": "2.0", "id": id, "method": format!("textDocument/{question}"), "params": {
                "textDocument": {"uri": URI},
                "position": {"line": place >> 5, "character": place & 31},
                "context": {"includeDeclaration": true, "triggerKind": 1},
            }}));
        }
    }
    say(json!({"jsonrpc": "2.0", "id": id + 1, "method": "shutdown"}));
    say(json!({"jsonrpc": "2.0", "method": "exit"}));
    let options = LoadOptions::new(PathBuf::from("/nowhere"), Default::default());
    let end = serve(Cursor::new(said), std::io::sink(), options);
    assert!(matches!(end, Ok(End::Orderly)), "{end:?}");
});

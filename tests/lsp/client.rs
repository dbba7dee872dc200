//! An editor: what it says to the server and what it remembers of the answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any machine needs; a session that takes it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// An editor.
pub struct Client {
    pub server: Child,
    pub input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Diagnostics by file name, as last published.
    pub problems: BTreeMap<String, Vec<Value>>,
    texts: BTreeMap<PathBuf, (i32, String)>,
    next: i32,
}

impl Client {
    pub fn start(directory: &Path, flags: &[&str], capabilities: Value) -> (Self, Value) {
        let mut server = Command::new(env!("CARGO_BIN_EXE_gantry"))
            .args(flags)
            .args(["lsp", "--stdio"])
            .current_dir(directory)
            .env_clear()
            .env("FROM_OUTSIDE", "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the executable");
        let output = server.stdout.take().expect("a pipe");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut client = Self {
            input: server.stdin.take(),
            server,
            messages,
            problems: BTreeMap::new(),
            texts: BTreeMap::new(),
            next: 0,
        };
        let result = client.ask("initialize", json!({ "capabilities": capabilities }));
        client.say("initialized", json!({}));
        (client, result)
    }

    fn write(&mut self, message: &Value) {
        let body = message.to_string();
        let input = self.input.as_mut().expect("an open pipe");
        write!(input, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("a listener");
        input.flush().expect("a listener");
    }

    pub fn say(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    pub fn receive(&mut self) -> Value {
        let message = self
            .messages
            .recv_timeout(DEADLINE)
            .expect("an answer in time");
        if message["method"] == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().expect("a name");
            let name = uri.rsplit('/').next().expect("a name").to_owned();
            let list = message["params"]["diagnostics"].as_array().expect("a list");
            self.problems.insert(name, list.clone());
        }
        message
    }

    /// The whole answer to a request.
    pub fn answer(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub fn open(&mut self, path: &Path) {
        let text = fs::read_to_string(path).expect("a file");
        let document = json!({
            "uri": uri(path), "languageId": "yaml", "version": 1, "text": text
        });
        self.say("textDocument/didOpen", json!({ "textDocument": document }));
        self.texts.insert(path.to_owned(), (1, text));
    }

    /// Types in place of the only occurrence of a text, as one incremental change; nothing is saved.
    pub fn replace(&mut self, path: &Path, old: &str, new: &str) {
        let (version, text) = self.texts.get(path).cloned().expect("open");
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {text}");
        let start = text.find(old).expect("there");
        let change = json!({
            "range": { "start": position(&text, start), "end": position(&text, start + old.len()) },
            "text": new,
        });
        let document = json!({ "uri": uri(path), "version": version + 1 });
        self.say(
            "textDocument/didChange",
            json!({ "textDocument": document, "contentChanges": [change] }),
        );
        self.texts
            .insert(path.to_owned(), (version + 1, text.replacen(old, new, 1)));
    }

    /// Waits until the problems of a file are as wanted.
    pub fn problems_until(&mut self, name: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        loop {
            if let Some(list) = self.problems.get(name)
                && wanted(list)
            {
                return list.clone();
            }
            self.receive();
        }
    }

    /// Asks about the place after the only occurrence of a text.
    pub fn after(&mut self, path: &Path, text: &str, method: &str) -> Value {
        let (_, whole) = self.texts.get(path).expect("open");
        assert_eq!(whole.matches(text).count(), 1, "`{text}` in {whole}");
        let offset = whole.find(text).expect("there") + text.len();
        let place = position(whole, offset);
        let document = json!({ "uri": uri(path) });
        self.ask(
            &format!("textDocument/{method}"),
            json!({ "textDocument": document, "position": place }),
        )
    }

    pub fn labels(&mut self, path: &Path, text: &str) -> Vec<String> {
        let items = self.after(path, text, "completion");
        let items = items.as_array().expect("a list");
        let label = |item: &Value| item["label"].as_str().expect("a label").to_owned();
        items.iter().map(label).collect()
    }

    pub fn finish(mut self) -> ExitStatus {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.say("exit", Value::Null);
        self.server.wait().expect("an end")
    }
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("JSON"))
}

pub fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Columns in UTF-16, the protocol's default.
pub fn position(text: &str, offset: usize) -> Value {
    let before = &text[..offset];
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    json!({ "line": line, "character": before[start..].encode_utf16().count() })
}

pub fn codes(problems: &[Value]) -> Vec<&str> {
    problems
        .iter()
        .map(|problem| problem["code"].as_str().expect("a code"))
        .collect()
}

//! A session of an editor with `gantry lsp`, over standard input and output of the executable.

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
struct Client {
    server: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Diagnostics by file name, as last published.
    problems: BTreeMap<String, Vec<Value>>,
    texts: BTreeMap<PathBuf, (i32, String)>,
    next: i32,
}

impl Client {
    fn start(directory: &Path, flags: &[&str], capabilities: Value) -> (Self, Value) {
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

    fn say(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn receive(&mut self) -> Value {
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
    fn answer(&mut self, method: &str, params: Value) -> Value {
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

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn open(&mut self, path: &Path) {
        let text = fs::read_to_string(path).expect("a file");
        let document = json!({
            "uri": uri(path), "languageId": "yaml", "version": 1, "text": text
        });
        self.say("textDocument/didOpen", json!({ "textDocument": document }));
        self.texts.insert(path.to_owned(), (1, text));
    }

    /// Types in place of the only occurrence of a text, as one incremental change; nothing is saved.
    fn replace(&mut self, path: &Path, old: &str, new: &str) {
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
    fn problems_until(&mut self, name: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
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
    fn after(&mut self, path: &Path, text: &str, method: &str) -> Value {
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

    fn labels(&mut self, path: &Path, text: &str) -> Vec<String> {
        let items = self.after(path, text, "completion");
        let items = items.as_array().expect("a list");
        let label = |item: &Value| item["label"].as_str().expect("a label").to_owned();
        items.iter().map(label).collect()
    }

    fn finish(mut self) -> ExitStatus {
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

fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Columns in UTF-16, the protocol's default.
fn position(text: &str, offset: usize) -> Value {
    let before = &text[..offset];
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    json!({ "line": line, "character": before[start..].encode_utf16().count() })
}

fn codes(problems: &[Value]) -> Vec<&str> {
    problems
        .iter()
        .map(|problem| problem["code"].as_str().expect("a code"))
        .collect()
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("writable");
    }
    dir
}

const COMPOSE: &str = "\
include: [cache.yaml]
services:
  web:
    extends: {file: base.yaml, service: base}
    environment: {SMILE: \"😀\", TAG: \"${TAG}\"}
    depends_on: [db, cache]
  db:
    image: postgres:${TAG}
    restart: always
";
const BASE: &str = "services:\n  base:\n    image: base:1\n";
const CACHE: &str = "services:\n  cache:\n    image: redis:7\n";

fn stack() -> (tempfile::TempDir, PathBuf) {
    let dir = project(&[
        ("compose.yaml", COMPOSE),
        ("base.yaml", BASE),
        ("cache.yaml", CACHE),
        (".env", "TAG=16\n"),
    ]);
    let file = dir.path().join("compose.yaml");
    (dir, file)
}

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

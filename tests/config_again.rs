//! `config` of what `config` prints is that text again, as YAML and as JSON: for the project's own
//! cases, for projects put together at random from parts of them, and for every project below
//! the folder that `COMPOSE_CASES` names, where docker compose's cases were unpacked.
//!
//! A few things docker compose prints and does not take back; so do we. [`not_taken_back`] is the
//! whole list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry::loader::tree::{Map as NodeMap, Node};
use gantry::loader::{self, FileId, KeepResources, LoadOptions, emit, yaml};
use gantry::model::canonical;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// What `config` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
}

const FORMS: [Form; 2] = [Form::Yaml, Form::Json];

/// Loads the project of a folder with all that it has; the document that `config` prints of it,
/// and the text.
fn print(folder: &Path, form: Form) -> Result<(Value, String), String> {
    let mut options = LoadOptions::new(folder.to_owned(), BTreeMap::new());
    options.resources = KeepResources::All;
    options.profiles = vec!["*".to_owned()];
    let loaded = loader::load(&options).map_err(|problems| problems.render(false))?;
    let (document, text) = match form {
        Form::Yaml => {
            let document = canonical::yaml(&loaded.project);
            let text = emit::yaml(&document);
            (document, text)
        }
        Form::Json => {
            let document = canonical::json(&loaded.project);
            let text = serde_json::to_string_pretty(&document).expect("JSON");
            (document, canonical::escape_html(&text))
        }
    };
    Ok((document, text.replace('$', "$$")))
}

/// The same of a text in a folder of its own.
fn print_again(text: &str, form: Form) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("compose.yaml"), text).expect("writable");
    print(folder.path(), form).map(|(_, text)| text)
}

/// Why a printed document is not the same again with docker compose either.
fn not_taken_back(document: &Value, form: Form) -> Option<&'static str> {
    let mut odd_key = false;
    visit(document, &mut |map| {
        odd_key |= map.keys().any(|key| key.is_empty() || key.contains('$'));
    });
    if odd_key {
        return Some("`$` is doubled in keys, where no variables are read; names are not empty");
    }
    let entries = |section: &str| -> Vec<&Value> {
        let section = document.get(section).and_then(Value::as_object);
        section.into_iter().flat_map(Map::values).collect()
    };
    let plain_name = |name: &String| {
        let mark = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        name.chars().all(mark)
    };
    let services = document.get("services").and_then(Value::as_object);
    for service in services.into_iter().flat_map(Map::values) {
        let keys = |key: &str| {
            let map = service.get(key).and_then(Value::as_object);
            map.into_iter().flat_map(Map::keys)
        };
        if keys("depends_on").any(|name| services.is_none_or(|all| !all.contains_key(name))) {
            return Some("an optional dependency that is not enabled is printed");
        }
        if !keys("networks").all(plain_name) {
            return Some("names of networks are checked in mappings alone");
        }
        if service
            .get("provider")
            .is_some_and(|p| p.get("type").is_none())
        {
            return Some("a provider of nothing has no type");
        }
        let ports = service.get("ports").and_then(Value::as_array);
        if ports
            .into_iter()
            .flatten()
            .any(|p| p.get("target").is_none())
        {
            return Some("port 0 is printed as none");
        }
        let json_alone = [
            ("blkio_config", "the keys of its devices are capitals"),
            ("models", "top-level `models` are not printed"),
        ];
        for (key, why) in json_alone {
            if form == Form::Json && service.get(key).is_some() {
                return Some(why);
            }
        }
        if service.get("memswap_limit") == Some(&json!("-1")) {
            return Some("a negative size is printed as a text");
        }
        let mut zero_limit = false;
        visit(service, &mut |map| {
            let limits = map.get("ulimits").and_then(Value::as_object);
            let half = |limit: &Value| {
                limit.is_object() && (limit.get("soft").is_none() || limit.get("hard").is_none())
            };
            zero_limit |= limits.into_iter().flat_map(Map::values).any(half);
        });
        if form == Form::Json && zero_limit {
            return Some("a limit of zero is not printed");
        }
    }
    let nameless = ["volumes", "networks", "secrets", "configs"]
        .into_iter()
        .flat_map(entries)
        .any(|entry| entry.get("name").is_none());
    nameless.then_some("a blank name is not printed, and then implied")
}

fn visit(value: &Value, found: &mut dyn FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            found(map);
            map.values().for_each(|value| visit(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| visit(value, found)),
        _ => {}
    }
}

/// Compares what is printed of a folder with what is printed of that; whether there was something
/// to compare.
fn check(folder: &Path) -> Result<bool, String> {
    let mut compared = false;
    for form in FORMS {
        let Ok((document, text)) = print(folder, form) else {
            return Ok(false);
        };
        if not_taken_back(&document, form).is_some() {
            continue;
        }
        let again = print_again(&text, form).map_err(|problems| format!("{problems}\n{text}"))?;
        if again != text {
            return Err(difference(&text, &again));
        }
        compared = true;
    }
    Ok(compared)
}

fn difference(first: &str, second: &str) -> String {
    let line = first.lines().zip(second.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| first.lines().count().min(second.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("the end").to_owned();
    format!(
        "line {}: first `{}`, then `{}`, of\n{first}",
        line + 1,
        at(first),
        at(second)
    )
}

/// The folders of the project's own cases.
fn own_cases() -> Vec<PathBuf> {
    let folders = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("readable").flatten();
        let mut list: Vec<_> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
        list.sort();
        list
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-spec-tests");
    let areas = folders(&root);
    areas.iter().flat_map(|area| folders(area)).collect()
}

#[test]
fn own_cases_are_printed_the_same_again() {
    let mut compared = 0;
    for case in own_cases() {
        match check(&case) {
            Ok(some) => compared += usize::from(some),
            Err(why) => panic!("{}: {why}", case.display()),
        }
    }
    assert!(compared > 10, "only {compared} cases");
}

/// What projects are made of at random.
struct Parts {
    /// Attributes of services, with their values.
    attributes: Vec<(String, Value)>,
    /// Everything that an attribute may refer to.
    frame: Map<String, Value>,
}

impl Parts {
    fn of_own_cases() -> Self {
        let mut parts = Self {
            attributes: Vec::new(),
            frame: Map::new(),
        };
        let mut names = BTreeSet::new();
        for case in own_cases() {
            let text = std::fs::read_to_string(case.join("compose.yaml")).unwrap_or_default();
            let mut problems = Vec::new();
            let documents = yaml::parse(&text, FileId(0), &mut problems);
            if !problems.is_empty() || !case.join("expected.json").exists() {
                continue;
            }
            for root in documents.iter().filter_map(|d| d.root.as_map()) {
                parts.take(root, &mut names);
            }
        }
        let service = || json!({"image": "host"});
        let services: Map<String, Value> = names.into_iter().map(|n| (n, service())).collect();
        parts.frame.insert("services".to_owned(), services.into());
        parts
    }

    fn take(&mut self, root: &NodeMap, names: &mut BTreeSet<String>) {
        for (section, node) in root {
            let entries = node.as_map().into_iter().flatten();
            match section.as_str() {
                "services" => {
                    for (name, service) in entries {
                        names.insert(name.clone());
                        self.attributes.extend(attributes(service));
                    }
                }
                "networks" | "volumes" | "secrets" | "configs" | "models" => {
                    let known = self.frame.entry(section).or_insert_with(|| json!({}));
                    for (name, entry) in entries {
                        known[name] = loader::document(entry);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The attributes that need no other file.
fn attributes(service: &Node) -> impl Iterator<Item = (String, Value)> {
    let map = service.as_map().into_iter().flatten();
    map.filter(|(key, _)| !matches!(key.as_str(), "extends" | "env_file" | "label_file"))
        .map(|(key, node)| (key.clone(), loader::document(node)))
}

/// Texts that are something else in YAML, or need care there.
fn odd_text() -> impl Strategy<Value = String> {
    let known = [
        "",
        "yes",
        "~",
        "null",
        "1e3",
        "0x1f",
        "0755",
        "1_000",
        "12:30",
        "2001-01-01",
        "a: b",
        " lead",
        "trail ",
        "two\nlines\n",
        "\n",
        "a\n\n b",
        "\t",
        "#c",
        "a #c",
        "$x",
        "${",
        "$$",
        "é",
        "\u{85}",
        "\u{feff}",
        "- a",
        "?",
        "<<",
        "&a",
        "*a",
        "!t",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "\\",
        "=",
        "[",
        "{",
    ];
    prop_oneof![
        prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        prop::collection::vec(prop::sample::select(known.to_vec()), 1..4).prop_map(|v| v.concat()),
        any::<String>(),
    ]
}

/// One service: some attributes of the cases, and texts.
fn service(attributes: usize) -> impl Strategy<Value = (Vec<usize>, [String; 4])> {
    let texts = prop::array::uniform4(odd_text());
    (prop::collection::vec(0..attributes, 0..12), texts)
}

#[test]
fn projects_made_at_random_are_printed_the_same_again() {
    let parts = Parts::of_own_cases();
    assert!(parts.attributes.len() > 100, "the parts are gone");
    let services = prop::collection::vec(service(parts.attributes.len()), 1..4);
    let (made, compared) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let mut runner = TestRunner::new(Config::with_cases(400));
    let result = runner.run(&services, |services| {
        let mut document = parts.frame.clone();
        for (number, (picks, texts)) in services.iter().enumerate() {
            let [variable, label, word, extension] = texts;
            let mut service = json!({"image": "host"});
            for (key, value) in picks.iter().map(|i| &parts.attributes[*i]) {
                service[key] = value.clone();
            }
            service["environment"] = json!({"TEXT": variable});
            service["labels"] = json!({"text": label});
            service["command"] = json!([word, "second"]);
            service["x-text"] = json!({"a": [extension, {"b": extension}]});
            document["services"][format!("made{number}")] = service;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = emit::yaml(&document.into()).replace('$', "$$");
        std::fs::write(folder.path().join("compose.yaml"), &text).expect("writable");
        made.set(made.get() + 1);
        let found = check(folder.path()).map_err(TestCaseError::fail)?;
        compared.set(compared.get() + usize::from(found));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (made, compared) = (made.get(), compared.get());
    assert!(compared * 3 > made, "only {compared} of {made} loaded");
}

/// A case of docker compose's: what it is run with.
#[derive(serde::Deserialize)]
struct Case {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    stdin: Option<String>,
    cwd: Option<PathBuf>,
}

#[test]
fn docker_composes_cases_are_printed_the_same_again() {
    let Some(root) = std::env::var_os("COMPOSE_CASES").map(PathBuf::from) else {
        eprintln!("skipped: COMPOSE_CASES names no folder");
        return;
    };
    let mut compared = 0;
    let mut wrong = Vec::new();
    for family in std::fs::read_dir(&root)
        .expect("the folder is there")
        .flatten()
    {
        for case in std::fs::read_dir(family.path())
            .expect("readable")
            .flatten()
        {
            for form in FORMS {
                match check_case(&case.path(), form) {
                    Ok(some) => compared += usize::from(some),
                    Err(why) => wrong.push(format!("{}: {why}", case.path().display())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 1000, "only {compared} outputs");
}

/// Runs the executable over a case and over what it printed.
fn check_case(dir: &Path, form: Form) -> Result<bool, String> {
    let text = std::fs::read_to_string(dir.join("case.json")).expect("a case");
    let case: Case = serde_json::from_str(&text).expect("JSON");
    let place = |text: &str| {
        let of = |dir: &Path| dir.display().to_string();
        text.replace("${CASE_DIR}", &of(&dir.join("input")))
            .replace("${CASE_PARENT}", &of(dir))
    };
    let mut first = gantry(&dir.join("input").join(case.cwd.unwrap_or_default()));
    let args: Vec<String> = case.args.iter().map(|arg| place(arg)).collect();
    first.envs(case.env.iter().map(|(key, value)| (key, place(value))));
    let Some(text) = output(
        first,
        &args,
        form,
        case.stdin.as_deref().unwrap_or_default(),
    ) else {
        return Ok(false);
    };
    let documents = yaml::parse(&text, FileId(0), &mut Vec::new());
    let document = documents.first().map(|d| loader::document(&d.root));
    if document.is_none_or(|document| not_taken_back(&document, form).is_some()) {
        return Ok(false);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let second = gantry(folder.path());
    let args = ["-f", "-", "--profile", "*", "--all-resources"].map(str::to_owned);
    match output(second, &args, form, &text) {
        Some(again) if again == text => Ok(true),
        Some(again) => Err(difference(&text, &again)),
        None => Err(format!("is refused:\n{text}")),
    }
}

fn gantry(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/nowhere");
    command
}

/// What `config` prints; `None` when it fails.
fn output(mut command: Command, args: &[String], form: Form, stdin: &str) -> Option<String> {
    use std::io::{Read as _, Seek as _, Write as _};
    let mut input = tempfile::tempfile().expect("a temporary file");
    input.write_all(stdin.as_bytes()).expect("writable");
    input.rewind().expect("a file");
    command.args(args).arg("config").arg("--format");
    command.arg(match form {
        Form::Yaml => "yaml",
        Form::Json => "json",
    });
    let mut child = command
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the executable starts");
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_to_string(&mut text).expect("UTF-8");
    child.wait().expect("it ends").success().then_some(text)
}

//! Runs `compose-spec-tests/`: the project's own Compose cases, and the table that maps every
//! attribute of the specification, every rule of merging and every problem to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry::loader::diagnostic::ERRORS;
use gantry::loader::silence::WARNINGS;
use gantry::loader::{self, FileId, KeepResources, LoadOptions, lint, schema, yaml};
use gantry::model::canonical;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-spec-tests")
}

fn cases() -> Vec<PathBuf> {
    let folders = |dir: &Path| -> Vec<PathBuf> {
        let mut list: Vec<PathBuf> = std::fs::read_dir(dir)
            .expect("the folder is there")
            .map(|e| e.expect("readable").path())
            .filter(|p| p.is_dir())
            .collect();
        list.sort();
        list
    };
    let cases: Vec<PathBuf> = folders(&root())
        .iter()
        .flat_map(|area| folders(area))
        .collect();
    assert!(cases.len() > 20, "the cases are gone");
    cases
}

fn name(case: &Path) -> String {
    let relative = case.strip_prefix(root()).expect("below the root");
    relative.display().to_string()
}

fn options(case: &Path) -> LoadOptions {
    let environment: BTreeMap<String, String> = std::fs::read_to_string(case.join("environment"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let mut options = LoadOptions::new(case.to_owned(), environment);
    options.resources = KeepResources::All;
    options
}

/// An image of which nothing is known but that it lacks every program.
#[derive(Debug)]
struct Bare;

impl lint::Images for Bare {
    fn has_program(&self, _: &str, _: &str) -> Option<bool> {
        Some(false)
    }

    fn has_healthcheck(&self, _: &str) -> Option<bool> {
        Some(false)
    }
}

/// What loading prints: a document or errors, and warnings.
struct Outcome {
    file: &'static str,
    text: String,
    warnings: String,
    /// The names of all problems.
    codes: BTreeSet<&'static str>,
}

fn outcome(case: &Path) -> Outcome {
    let mut options = options(case);
    if name(case).starts_with("lints/") {
        options.lints = Some(Arc::new(Bare));
    }
    let portable = |text: String| text.replace(&case.display().to_string(), "${CASE_DIR}");
    let (file, text, problems) = match loader::load(&options) {
        Ok(loaded) => {
            let document = canonical::json(&loaded.project);
            let text = serde_json::to_string_pretty(&document).expect("JSON");
            ("expected.json", text + "\n", loaded.warnings)
        }
        Err(problems) => ("expected.error", problems.render(false), problems),
    };
    let loaded = file == "expected.json";
    let warnings = if loaded {
        problems.render(false)
    } else {
        String::new()
    };
    Outcome {
        file,
        text: portable(text),
        warnings: portable(warnings),
        codes: problems.list.iter().map(|problem| problem.code).collect(),
    }
}

fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some()
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut wrong = String::new();
    for case in cases() {
        let outcome = outcome(&case);
        for file in ["expected.json", "expected.error", "expected.warnings"] {
            let got = match file {
                "expected.warnings" => outcome.warnings.as_str(),
                _ if file == outcome.file => outcome.text.as_str(),
                _ => "",
            };
            let path = case.join(file);
            if updating() && got.is_empty() {
                let _ = std::fs::remove_file(path);
                continue;
            }
            if updating() {
                std::fs::write(path, got).expect("writable");
                continue;
            }
            let want = std::fs::read_to_string(path).unwrap_or_default();
            if want != got {
                let place = format!("{}/{file}", name(&case));
                let _ = writeln!(wrong, "{place}: {}", difference(&want, got));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The first line that differs.
fn difference(want: &str, got: &str) -> String {
    let (mut want, mut got) = (want.lines(), got.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (want.next(), got.next()) {
            (None, None) => return "line breaks differ".to_owned(),
            (want, got) if want == got => {}
            (want, got) => {
                let show = |line: Option<&str>| line.unwrap_or("the end").to_owned();
                return format!("line {line} is `{}`, not `{}`", show(got), show(want));
            }
        }
    }
}

/// Attributes that the texts of a case use, file by file.
fn used(case: &Path) -> Vec<(PathBuf, BTreeSet<String>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(case).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let documents = yaml::parse(&text, FileId(0), &mut Vec::new());
        let used = documents.iter().flat_map(|d| schema::used(&d.root));
        files.push((path, used.collect()));
    }
    files
}

/// What needs a case, and the cases it has.
fn coverage() -> BTreeMap<String, BTreeSet<String>> {
    let merged: BTreeSet<String> = loader::merged_by_rule().map(|p| p.join(".")).collect();
    // What runs a project says the one, and a flag leads to the other: files alone do not.
    let here = |name: &&&str| !matches!(**name, "no-effect" | "unknown-profile");
    let warnings = WARNINGS.iter().map(|(name, _)| name).filter(here);
    let problems = ERRORS.iter().chain(warnings);
    let mut table: BTreeMap<String, BTreeSet<String>> = schema::attributes()
        .into_iter()
        .chain(merged.iter().map(|path| format!("merged: {path}")))
        .chain(problems.map(|name| format!("problem: {name}")))
        .map(|subject| (subject, BTreeSet::new()))
        .collect();
    for case in cases() {
        let mut add = |subject: String| {
            table.entry(subject).or_default().insert(name(&case));
        };
        for code in outcome(&case).codes {
            add(format!("problem: {code}"));
        }
        if !case.join("expected.json").exists() {
            continue;
        }
        let files = used(&case);
        let uses_in = |file: &str, path: &String| {
            let mut named = files.iter().filter(|(f, _)| f.ends_with(file));
            named.any(|(_, used)| used.contains(path.trim_end_matches(".*")))
        };
        for path in &merged {
            if uses_in("compose.yaml", path) && uses_in("compose.override.yaml", path) {
                add(format!("merged: {path}"));
            }
        }
        files
            .iter()
            .flat_map(|(_, used)| used)
            .cloned()
            .for_each(add);
    }
    table
}

#[test]
fn every_attribute_rule_and_problem_has_a_case() {
    let table = coverage();
    let bare: Vec<&String> = table
        .iter()
        .filter(|(_, cases)| cases.is_empty())
        .map(|(subject, _)| subject)
        .collect();
    assert!(bare.is_empty(), "no case uses {bare:#?}");
    let mut text =
        String::from("# subject: the cases that use it. Rewritten by UPDATE_EXPECTED=1.\n");
    for (subject, cases) in &table {
        let list: Vec<&str> = cases.iter().map(String::as_str).collect();
        let _ = writeln!(text, "{subject}: {}", list.join(" "));
    }
    let file = root().join("coverage.txt");
    if updating() {
        std::fs::write(&file, &text).expect("writable");
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == text,
        "coverage.txt is out of date: {}",
        difference(&known, &text)
    );
}

/// Errors are named in one list; what is made with another name would need no case.
#[test]
fn every_error_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/loader");
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for (at, start) in text.match_indices("Diagnostic::error(") {
            let after = text[at + start.len()..].trim_start();
            if let Some(name) = after.strip_prefix('"').and_then(|a| a.split('"').next()) {
                assert!(ERRORS.contains(&name), "`{name}` is not in the list");
            }
        }
    }
}

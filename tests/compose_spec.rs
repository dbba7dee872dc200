//! Runs `compose-spec-tests/`: the project's own Compose cases, and the table that maps every
//! attribute of the specification to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gantry::loader::{self, FileId, KeepResources, LoadOptions, schema, yaml};
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

/// What loading prints, with the folder's name taken out.
fn outcome(case: &Path) -> (&'static str, String) {
    let (file, text) = match loader::load(&options(case)) {
        Ok(loaded) => {
            let document = canonical::json(&loaded.project);
            let text = serde_json::to_string_pretty(&document).expect("JSON");
            ("expected.json", text + "\n")
        }
        Err(problems) => ("expected.error", problems.render(false)),
    };
    (
        file,
        text.replace(&case.display().to_string(), "${CASE_DIR}"),
    )
}

fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some()
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut wrong = String::new();
    for case in cases() {
        let (file, got) = outcome(&case);
        if updating() {
            for old in ["expected.json", "expected.error"] {
                let _ = std::fs::remove_file(case.join(old));
            }
            std::fs::write(case.join(file), &got).expect("writable");
            continue;
        }
        match std::fs::read_to_string(case.join(file)) {
            Ok(want) if want == got => {}
            Ok(want) => {
                let line = want
                    .lines()
                    .zip(got.lines())
                    .position(|(a, b)| a != b)
                    .unwrap_or(0);
                let _ = writeln!(
                    wrong,
                    "{}: differs from {file} at line {}\n{got}",
                    name(&case),
                    line + 1
                );
            }
            Err(_) => {
                let _ = writeln!(wrong, "{}: has no {file}, but got\n{got}", name(&case));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_attribute_has_a_case() {
    let mut table: BTreeMap<String, BTreeSet<String>> = schema::attributes()
        .into_iter()
        .map(|a| (a, BTreeSet::new()))
        .collect();
    for case in cases() {
        if !case.join("expected.json").exists() {
            continue;
        }
        for entry in std::fs::read_dir(&case).expect("readable") {
            let path = entry.expect("readable").path();
            if path.extension().is_none_or(|e| e != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("readable");
            for document in yaml::parse(&text, FileId(0), &mut Vec::new()) {
                for attribute in schema::used(&document.root) {
                    table.entry(attribute).or_default().insert(name(&case));
                }
            }
        }
    }
    let bare: Vec<&String> = table
        .iter()
        .filter(|(_, c)| c.is_empty())
        .map(|(a, _)| a)
        .collect();
    assert!(bare.is_empty(), "no case uses {bare:#?}");
    let mut text =
        String::from("# attribute: the cases that use it. Rewritten by UPDATE_EXPECTED=1.\n");
    for (attribute, cases) in &table {
        let list: Vec<&str> = cases.iter().map(String::as_str).collect();
        let _ = writeln!(text, "{attribute}: {}", list.join(" "));
    }
    let file = root().join("coverage.txt");
    if updating() && bare.is_empty() {
        std::fs::write(&file, &text).expect("writable");
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap_or_default(),
        text,
        "coverage.txt is out of date"
    );
}

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
fn loading_what_config_prints_gives_the_same_model() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for case in cases() {
        let Ok(first) = loader::load(&options(&case)) else {
            continue;
        };
        for (file, text) in [
            (
                "compose.yaml",
                loader::emit::yaml(&canonical::yaml(&first.project)),
            ),
            ("compose.json", canonical::json(&first.project).to_string()),
        ] {
            // docker compose's JSON lacks top-level `models`, has odd keys in `blkio_config`,
            // and writes -1 as a text that is no size.
            if file == "compose.json"
                && (text.contains("blkio_config")
                    || text.contains("models\":")
                    || text.contains("\"-1\""))
            {
                continue;
            }
            let path = dir.path().join(file);
            std::fs::write(&path, text.replace('$', "$$")).expect("writable");
            let mut again = options(&case);
            again.files = vec![path];
            let second = loader::load(&again)
                .unwrap_or_else(|e| panic!("{}: {}\n{text}", name(&case), e.render(false)));
            assert_eq!(
                canonical::json(&first.project),
                canonical::json(&second.project),
                "{} through {file}",
                name(&case)
            );
        }
    }
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

/// `config` of `config`'s output is that output.
#[test]
fn the_output_of_config_is_its_own_output() {
    use gantry::loader::{KeepResources, LoadOptions, emit, load};
    use gantry::model::canonical;
    let print = |folder: &Path| {
        let mut options = LoadOptions::new(folder.to_owned(), BTreeMap::new());
        options.resources = KeepResources::All;
        options.profiles = vec!["*".to_owned()];
        let loaded = load(&options).map_err(|problems| problems.render(false))?;
        Ok::<_, String>(emit::yaml(&canonical::yaml(&loaded.project)).replace('$', "$$"))
    };
    let mut seen = 0;
    let areas = std::fs::read_dir(root()).expect("the cases").flatten();
    for area in areas.filter(|a| a.path().is_dir()) {
        for case in std::fs::read_dir(area.path()).expect("an area").flatten() {
            // Errors, and cases that need an environment of their own, have no output here.
            let Ok(first) = print(&case.path()) else {
                continue;
            };
            let again = tempfile::tempdir().expect("a temporary folder");
            std::fs::write(again.path().join("compose.yaml"), &first).expect("writable");
            let second = print(again.path());
            assert_eq!(second.as_ref(), Ok(&first), "{}", case.path().display());
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} cases");
}

//! Warnings have stable names, point at the text, and can be silenced in the file and by flag.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gantry::loader::silence::WARNINGS;
use support::Sandbox;

/// A lint and a file that deserves it; `§` marks where it must point.
const LINTS: &[(&str, &str)] = &[
    ("latest-tag", "services:\n  web:\n    image: §nginx\n"),
    (
        "latest-tag",
        "services:\n  web:\n    image: §registry.example:5000/a/nginx:latest\n",
    ),
    (
        "duplicate-port",
        "services:\n  a:\n    image: host\n    ports: [\"8080:80\"]\n  b:\n    image: host\n    ports: [§\"127.0.0.1:8080:81\"]\n",
    ),
    (
        "duplicate-port",
        "services:\n  a:\n    image: host\n    scale: 2\n    ports: [§\"8080:80\"]\n",
    ),
    (
        "missing-health-tool",
        "services:\n  a:\n    image: host\n    healthcheck:\n      test: §no-such-program --check || exit 1\n",
    ),
    (
        "no-healthcheck",
        "services:\n  a:\n    image: host\n    depends_on:\n      §b: {condition: service_healthy}\n  b:\n    image: host\n",
    ),
    (
        "missing-bind-source",
        "services:\n  a:\n    image: host\n    volumes: [§./nowhere:/x]\n",
    ),
    (
        "plain-secret",
        "services:\n  a:\n    image: host\n    environment:\n      - §DB_PASSWORD=hunter2\n",
    ),
    (
        "plain-secret",
        "services:\n  a:\n    image: host\n    environment:\n      URL: §postgres://me:hunter2@db/x\n",
    ),
    (
        "unknown-word",
        "services:\n  a:\n    image: host\n    restart: §alwys\n",
    ),
    (
        "unknown-word",
        "services:\n  a:\n    image: host\n    pid: §hosts\n",
    ),
    (
        "unknown-word",
        "services:\n  a:\n    image: host\n    deploy: {endpoint_mode: §vipp}\n",
    ),
    (
        "unused-volume",
        "services:\n  a:\n    image: host\nvolumes:\n  §data: {}\n",
    ),
    (
        "unused-network",
        "services:\n  a:\n    image: host\nnetworks:\n  §back: {}\n",
    ),
    (
        "unused-secret",
        "services:\n  a:\n    image: host\nsecrets:\n  §s: {file: ./compose.yaml}\n",
    ),
    (
        "unused-config",
        "services:\n  a:\n    image: host\nconfigs:\n  §c: {content: x}\n",
    ),
];

/// What looks like one and is none.
const CLEAN: &str = r#"
services:
  web:
    image: host
    ports: ["127.0.0.1:8080:80", "127.0.0.2:8080:80", "8080:80/udp", "9000-9010:90", "91"]
    depends_on:
      db: {condition: service_healthy}
    environment:
      DB_PASSWORD: ${PW:-x}
      TOKEN_FILE: /run/secrets/token
      ALLOW_EMPTY_PASSWORD: "yes"
    volumes: [".:/x", "data:/data"]
    networks: [back]
  db:
    image: postgres:16.1
    healthcheck: {test: ["CMD", "pg_isready"]}
  tool:
    image: x@sha256:0000000000000000000000000000000000000000000000000000000000000000
    profiles: [tools]
    networks: [tools]
networks: {back: {}, default: {}, tools: {}}
volumes: {data: {}}
"#;

fn place(text: &str) -> String {
    let before = &text[..text.find('§').expect("a mark")];
    let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
    format!(
        "compose.yaml:{}:{column}\n",
        before.matches('\n').count() + 1
    )
}

#[test]
fn every_lint_is_named_and_points_at_the_text() {
    for (name, text) in LINTS {
        let sandbox = Sandbox::of_compose(&text.replace('§', ""));
        let title = format!("warning[{name}]: ");
        let run = sandbox.ok(&["config", "--lint"]);
        assert_eq!(run.stdout(), "");
        run.expect_stderr(&[&title, &place(text), "= help: "]);
        let json = sandbox
            .ok(&["config", "--lint", "--format", "json"])
            .stdout();
        let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert!(
            list.as_array()
                .is_some_and(|l| l.iter().any(|d| d["code"] == *name)),
            "{json}"
        );
    }
}

#[test]
fn nothing_is_said_without_being_asked() {
    for (_, text) in LINTS {
        let sandbox = Sandbox::of_compose(&text.replace('§', ""));
        assert_eq!(sandbox.ok(&["config"]).stderr(), "");
    }
}

#[test]
fn every_lint_can_be_silenced() {
    for (name, text) in LINTS {
        let text = text.replace('§', "");
        let title = format!("[{name}]");
        let sandbox = Sandbox::of_compose(&text);
        let by_flag = sandbox.ok(&["config", "--lint", "--silence", name]);
        assert!(!by_flag.stderr().contains(&title), "{}", by_flag.stderr());
        sandbox.write(
            "compose.yaml",
            &format!("x-gantry: {{silence: [{name}]}}\n{text}"),
        );
        let by_file = sandbox.ok(&["config", "--lint"]);
        assert!(!by_file.stderr().contains(&title), "{}", by_file.stderr());
    }
}

#[test]
fn a_service_silences_only_itself() {
    let sandbox = Sandbox::of_compose(
        "services:\n  a:\n    image: nginx\n    x-gantry: {silence: latest-tag}\n  b:\n    image: redis\n",
    );
    let stderr = sandbox.ok(&["config", "--lint"]).stderr();
    assert!(
        !stderr.contains("nginx") && stderr.contains("redis"),
        "{stderr}"
    );
}

#[test]
fn a_clean_file_is_clean() {
    let sandbox = Sandbox::of_compose(CLEAN);
    let run = sandbox.ok(&["config", "--lint", "--format", "json"]);
    assert_eq!(run.stdout(), "[]\n");
}

#[test]
fn unknown_names_are_told() {
    let sandbox = Sandbox::of_compose(
        "x-gantry: {silence: [latest-tga]}\nservices:\n  a:\n    image: host\n",
    );
    sandbox
        .ok(&["config"])
        .expect_stderr(&["compose.yaml:1:22", "did you mean `latest-tag`?"]);
    sandbox
        .run(&["config", "--silence", "latest-tga"])
        .expect_code(2)
        .expect_stderr(&["did you mean `latest-tag`?"]);
    sandbox
        .ok(&["--profile", "debgu", "config"])
        .expect_stderr(&["no service has the profile `debgu`"]);
}

#[test]
fn a_model_that_cannot_be_made_is_a_list_of_problems_in_json() {
    let sandbox = Sandbox::of_compose("services:\n  a:\n    imge: host\n");
    let run = sandbox.run(&["config", "--format", "json"]).expect_code(1);
    let list: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
    assert_eq!(list[0]["code"], "unknown-key");
    assert_eq!(list[0]["location"]["line"], 3);
    assert_eq!(list[0]["location"]["end"]["column"], 9);
    run.expect_stderr(&["did you mean `image`?"]);
}

/// Every name that the sources give to a warning is in the table that `silence` knows, and the
/// other way round.
#[test]
fn the_table_of_names_is_whole() {
    let mut named = BTreeSet::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![src.join("loader"), src.join("cli")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("readable");
            for (name, _) in WARNINGS {
                let mentions = text.contains(&format!("\"{name}\""));
                if mentions && entry.file_name() != "silence.rs" || *name == "bad-silence" {
                    named.insert(*name);
                }
            }
            for start in ["Diagnostic::warning(", "self.warn("] {
                for (at, _) in text.match_indices(start) {
                    let after = text[at + start.len()..].trim_start();
                    if let Some(name) = after.strip_prefix('"').and_then(|a| a.split('"').next()) {
                        assert!(
                            WARNINGS.iter().any(|(n, _)| *n == name),
                            "`{name}` is missing"
                        );
                    }
                }
            }
        }
    }
    for (name, _) in WARNINGS {
        assert!(named.contains(name), "nothing is called `{name}`");
    }
}

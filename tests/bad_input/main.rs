//! Wrong input of every kind: what the user reads, with file, line and column where there is
//! one, the exit code, and never a panic. Tables; one line is one mistake.

mod attributes;
mod files;
mod flags;
mod images;
mod machine;
#[path = "../support/mod.rs"]
mod support;

use std::fs;

use support::Sandbox;

const UP: &[&str] = &["up", "-d"];

/// A project of one service with one more attribute, which begins at line 4, column 5.
fn service(attribute: &str) -> String {
    format!("services:\n  web:\n    image: host\n    {attribute}\n    labels: {{ a: b }}\n")
}

/// Runs the executable on a compose file and expects a refusal with these pieces of text.
#[track_caller]
fn refuse(sandbox: &Sandbox, compose: &[u8], args: &[&str], code: i32, pieces: &[&str]) {
    fs::write(sandbox.project().join("compose.yaml"), compose).expect("compose file");
    refuse_args(sandbox, args, code, pieces);
}

#[track_caller]
fn refuse_args(sandbox: &Sandbox, args: &[&str], code: i32, pieces: &[&str]) {
    let run = sandbox.run(args);
    let stderr = run.stderr();
    let file = fs::read(sandbox.project().join("compose.yaml")).unwrap_or_default();
    let context = format!(
        "gantry {}\n{}\n--- stderr, code {}\n{stderr}",
        args.join(" "),
        String::from_utf8_lossy(&file[..file.len().min(2000)]),
        run.code()
    );
    assert_eq!(run.code(), code, "{context}");
    assert!(!stderr.contains("panicked"), "{context}");
    for piece in pieces {
        assert!(stderr.contains(piece), "no `{piece}`: {context}");
    }
}

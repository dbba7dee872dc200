//! Sessions of an editor with `gantry lsp`, over standard input and output of the executable.

mod client;
mod completion;
mod navigation;
mod problems;
mod rename;
mod session;

use std::fs;
use std::path::PathBuf;

/// A folder with files.
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

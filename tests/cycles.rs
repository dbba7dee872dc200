//! A hundred times up and down: the machine is as before.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::Sandbox;

/// Files below the engine's root, without the trash, whose emptying nobody waits for.
fn files(root: &Path) -> BTreeSet<String> {
    fn walk(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name() == "trash" {
                continue;
            }
            let path = entry.path();
            found.insert(path.display().to_string());
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                walk(&path, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, &mut found);
    found
}

#[test]
fn a_hundred_cycles_leave_nothing() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  a:
    image: host
    command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]
    ports: [\"127.0.0.1::80\"]
  b:
    image: host
    command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]
    volumes: [\"/anonymous\", \"named:/named\"]
    depends_on: [a]
volumes:
  named:
",
    );
    // The first cycle makes what stays: the image's mask, folders, lock files.
    sandbox.ok(&["up", "-d"]);
    sandbox.ok(&["down", "-v"]);
    let before = files(&sandbox.root());
    for _ in 0..100 {
        sandbox.ok(&["up", "-d"]);
        sandbox.ok(&["down", "-v"]);
    }
    assert_eq!(files(&sandbox.root()), before);
    sandbox.finish();
}

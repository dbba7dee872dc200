//! Attacks from inside a container, from an image, or by another user of the machine. Each test fails when the defence
//! that it is about is taken away.

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod archives;
mod images;
mod kernel;
mod paths;
mod processes;
mod reach;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// Runs a container `one` of the `host` image with these flags, until it has written `up`.
#[track_caller]
fn until_up(sandbox: &Sandbox, flags: &[&str], command: &[&str]) {
    let mut args = vec!["container", "run", "-d", "--name", "one"];
    args.extend(flags);
    args.push("host");
    args.extend(command);
    sandbox.ok(&args);
    await_log(sandbox, "up");
}

/// Waits until `one` has written this; everything that it wrote.
#[track_caller]
fn await_log(sandbox: &Sandbox, text: &str) -> String {
    let look = || {
        let log = log(sandbox);
        log.contains(text).then_some(log)
    };
    wait_for(LIMIT, look).unwrap_or_else(|| panic!("no `{text}`: {}", log(sandbox)))
}

/// What `one` has written.
fn log(sandbox: &Sandbox) -> String {
    sandbox.ok(&["container", "logs", "one"]).stdout()
}

/// Names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

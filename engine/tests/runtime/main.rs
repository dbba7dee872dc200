//! The runtime against the real kernel: every case launches containers over this machine's
//! own root and looks at what is true inside.
//!
//! A runner of its own: cloning a container needs a process with one thread. Arguments
//! are filters, as usual. The same executable is the probe inside the containers (`--inside`).
//! Needs root and says so where it is not.

mod confinement;
mod control;
mod fixture;
mod hygiene;
mod identity;
mod limits;
mod mounts;
mod probe;

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A case: its name and what it does.
type Case = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == "--inside"
    {
        return probe::run(rest);
    }
    let cases: Vec<Case> = [
        confinement::CASES,
        control::CASES,
        hygiene::CASES,
        identity::CASES,
        limits::CASES,
        mounts::CASES,
    ]
    .concat();
    if arguments.iter().any(|a| a == "--list") {
        for (name, _) in &cases {
            say(&format!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        say("skipped: launching containers needs root here");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    let mut failed = Vec::new();
    let mut count = 0;
    for (name, case) in cases.iter().filter(|(name, _)| wanted(name)) {
        count += 1;
        if catch_unwind(case).is_err() {
            failed.push(*name);
            say(&format!("test {name} ... FAILED"));
        } else {
            say(&format!("test {name} ... ok"));
        }
    }
    say(&format!(
        "{} passed; {} failed",
        count - failed.len(),
        failed.len()
    ));
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        say(&format!("failures: {}", failed.join(", ")));
        ExitCode::FAILURE
    }
}

/// The runner's own voice.
#[expect(clippy::print_stdout, reason = "a test runner talks on stdout")]
fn say(line: &str) {
    println!("{line}");
}

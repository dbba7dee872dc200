//! Verbs of `container` on real containers: limits, files, images, tables, events.

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod files;
mod life;
mod limits;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

fn inspect(sandbox: &Sandbox, name: &str, template: &str) -> String {
    let args = ["container", "inspect", "-f", template, name];
    sandbox.ok(&args).stdout().trim().to_owned()
}

/// The text of a file of the container's cgroup, of either version.
fn limit(sandbox: &Sandbox, name: &str, files: [&str; 2]) -> Option<String> {
    let cgroup = inspect(sandbox, name, "{{.HostConfig.Cgroup}}");
    let [v1, v2] = files;
    let (controller, file) = v1.split_once('/').expect("controller/file");
    let candidates = [
        format!("/sys/fs/cgroup/{controller}/{cgroup}/{file}"),
        format!("/sys/fs/cgroup/{cgroup}/{v2}"),
    ];
    let found = candidates
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    found.map(|text| text.trim().to_owned())
}

/// The paths in a tar file of the project, sorted.
fn paths_in(sandbox: &Sandbox, archive: &str) -> Vec<String> {
    let file = fs::File::open(sandbox.project().join(archive)).expect("written");
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().expect("a tar");
    let path = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let entry = entry.expect("whole");
        entry.path().expect("a path").display().to_string()
    };
    let mut paths: Vec<String> = entries.map(path).collect();
    paths.sort();
    paths
}

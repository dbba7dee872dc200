//! Dockerfiles in the form of well-known projects' (`tests/dockerfiles`): they build, the result does what it
//! should, and building again changes nothing.
//!
//! Each folder has a `Dockerfile` and its context, `args` for it, a command to `check` the image with, and what that
//! is `expected` to print. All begin with `base`, a static busybox; nothing comes from a network.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Sandbox, copy_tree, find_program};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfiles")
}

fn shell(directory: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .status();
    assert!(status.expect("sh").success(), "{script}");
}

/// The contexts, with archives that stand for downloads.
fn prepare() -> Sandbox {
    let sandbox = Sandbox::new();
    let project = sandbox.project();
    copy_tree(&folder(), &project);
    fs::copy(
        find_program("busybox").expect("busybox"),
        project.join("base/busybox"),
    )
    .expect("busybox");
    shell(
        &project.join("redis"),
        "mkdir archives; tar -cf archives/redis-7.4.1.tar source; rm -r source",
    );
    shell(
        &project.join("caddy"),
        "mkdir releases; chmod +x source/caddy; for arch in amd64 arm64; do
           tar -C source -czf releases/caddy_2.9.0_$arch.tar.gz caddy
           sha256sum releases/caddy_2.9.0_$arch.tar.gz | cut -d' ' -f1 > releases/$arch.sum
         done; rm -r source",
    );
    sandbox.ok(&["image", "build", "-q", "-t", "base", "base"]);
    sandbox
}

/// Builds a project's image and gives its id.
fn build(sandbox: &Sandbox, name: &str) -> String {
    let args = fs::read_to_string(folder().join(name).join("args")).unwrap_or_default();
    let mut words = vec!["image", "build", "-q", "-t", name];
    for arg in args.split_whitespace() {
        words.extend(["--build-arg", arg]);
    }
    words.push(name);
    sandbox.ok(&words).stdout()
}

#[test]
fn they_build_and_do_what_they_should() {
    need_kernel!();
    need_program!("busybox", "tar", "gzip", "sha256sum");
    let sandbox = prepare();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("text");
        if name != "base" {
            names.push(name);
        }
    }
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    for name in &names {
        let id = build(&sandbox, name);
        let read = |file| fs::read_to_string(folder().join(name).join(file)).expect(file);
        let check = read("check");
        let run = [
            "container",
            "run",
            "--rm",
            "--entrypoint",
            "sh",
            name,
            "-c",
            &check,
        ];
        assert_eq!(sandbox.ok(&run).stdout(), read("expected"), "{name}");
        assert_eq!(
            build(&sandbox, name),
            id,
            "{name} is another image when built again"
        );
    }
    sandbox.finish();
}

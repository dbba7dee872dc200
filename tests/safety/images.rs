//! What an image says about itself, and what it holds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::names;
use crate::support::{self, Sandbox};

/// A root with a shell.
pub fn shell(tree: &Path) {
    fs::create_dir_all(tree.join("bin")).expect("folder");
    let busybox = support::find_program("busybox").expect("there");
    fs::copy(busybox, tree.join("bin/busybox")).expect("copied");
    symlink("busybox", tree.join("bin/sh")).expect("link");
}

/// Makes an image of a root, with changes of its configuration.
#[track_caller]
pub fn import(sandbox: &Sandbox, tree: &Path, name: &str, changes: &[&str]) {
    let archive = sandbox.project().join("tree.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(tree).arg("-cf").arg(&archive).arg(".");
    assert!(tar.status().expect("tar").success());
    let archive = archive.display().to_string();
    let mut args = vec!["image", "import"];
    for change in changes {
        args.extend(["--change", change]);
    }
    args.extend([archive.as_str(), name]);
    sandbox.ok(&args);
}

/// What an image says about its container is a stranger's word.
#[test]
fn a_hostile_configuration_stays_inside() {
    need_kernel!();
    need_program!("busybox");
    let sandbox = Sandbox::new();
    let outside = sandbox.project().join("outside");
    fs::create_dir(&outside).expect("folder");
    let tree = sandbox.project().join("tree");
    shell(&tree);
    for name in ["work", "etc"] {
        symlink(&outside, tree.join(name)).expect("link");
    }
    let import = |name: &str, changes: &[&str]| import(&sandbox, &tree, name, changes);
    fs::create_dir(outside.join("deep")).expect("folder");
    fs::write(outside.join("hosts"), "untouched").expect("file");
    // A working directory, and /etc with its hosts file, that are links to the host, where such things are.
    import("links", &["WORKDIR /work/deep"]);
    let script = ": > here; /bin/busybox cat /etc/hosts";
    sandbox
        .ok(&["container", "run", "--rm", "links", "/bin/sh", "-c", script])
        .expect_stdout(&["localhost"]);
    import("plain", &[]);
    // And a volume, which begins with what the image has at its place.
    sandbox.ok(&[
        "container",
        "create",
        "-v",
        "data:/work",
        "plain",
        "/bin/sh",
    ]);
    assert_eq!(names(&sandbox.root().join("volumes/data/_data")), [""; 0]);
    assert_eq!(names(&outside), ["deep", "hosts"]);
    assert_eq!(names(&outside.join("deep")), [""; 0]);
    let hosts = fs::read_to_string(outside.join("hosts")).expect("there");
    assert_eq!(hosts, "untouched");

    import("user", &["USER ../../root"]);
    sandbox
        .run(&["container", "run", "--rm", "user", "/bin/sh", "-c", ":"])
        .expect_code(125)
        .expect_stderr(&["../../root", "passwd"]);
    // A huge environment: of an image, and of whoever runs it.
    let lines = |before: &str, count: usize| -> String {
        let line = |n| format!("{before}A{n}={}\n", "x".repeat(60_000));
        (0..count).map(line).collect()
    };
    sandbox.write(
        "build/Dockerfile",
        &format!("FROM links\n{}", lines("ENV ", 60)),
    );
    sandbox
        .run(&["image", "build", "-q", "build"])
        .expect_code(1)
        .expect_stderr(&["configuration is refused", "4194304"]);
    sandbox.write("env", &lines("", 60));
    let run = sandbox.run(&[
        "container",
        "run",
        "--rm",
        "--env-file",
        "env",
        "links",
        "/bin/sh",
    ]);
    assert!(
        run.code() == 126 && run.stderr().contains("too long"),
        "{}",
        run.stderr()
    );
    sandbox.finish();
}

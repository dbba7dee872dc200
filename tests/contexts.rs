//! Builds whose files come from elsewhere: an archive on standard input, a repository, named contexts.

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Run, Sandbox, wait_for};

/// Builds with a file as standard input.
fn build(sandbox: &Sandbox, args: &[&str], input: &str) -> Run {
    let file = fs::File::open(sandbox.project().join(input)).expect("the input");
    let mut command = sandbox.command(args);
    Run::of(args, command.stdin(file).output().expect("it starts"))
}

/// What an image has at `/text`.
fn text(sandbox: &Sandbox, image: &str) -> String {
    let run = ["container", "run", "--rm", image, "cat", "/text"];
    sandbox.ok(&run).stdout()
}

fn run(sandbox: &Sandbox, program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    let status = command
        .args(args)
        .current_dir(sandbox.project())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("it starts").success(), "{program} {args:?}");
}

#[test]
fn an_archive_or_a_dockerfile_comes_from_standard_input() {
    need_kernel!();
    need_program!("tar", "gzip");
    let sandbox = Sandbox::new();
    sandbox.write("sub/Dockerfile", "FROM host\nCOPY text /text\n");
    sandbox.write("sub/text", "from the archive");
    run(&sandbox, "tar", &["-C", "sub", "-cf", "plain.tar", "."]);
    run(&sandbox, "tar", &["-C", "sub", "-czf", "packed.tar", "."]);
    for archive in ["plain.tar", "packed.tar"] {
        build(
            &sandbox,
            &["image", "build", "-q", "-t", "app", "-"],
            archive,
        )
        .expect_code(0);
        assert_eq!(text(&sandbox, "app"), "from the archive");
        sandbox.ok(&["image", "rm", "app"]);
    }
    sandbox.write("alone", "FROM host\nCOPY <<END /text\nfrom the file\nEND\n");
    build(
        &sandbox,
        &["image", "build", "-q", "-t", "app", "-"],
        "alone",
    )
    .expect_code(0);
    assert_eq!(text(&sandbox, "app"), "from the file\n");
    sandbox.finish();
}

/// `git daemon` on loopback, serving the project folder.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        drop(listener);
        // The program itself, not the `git` that starts it: ending that would leave it behind.
        let folder = Command::new("git").arg("--exec-path").output();
        let folder = folder.expect("git").stdout;
        let folder = String::from_utf8_lossy(&folder).trim().to_owned();
        let child = Command::new(format!("{folder}/git-daemon"))
            .arg(format!("--base-path={}", sandbox.project().display()))
            .arg(format!("--port={port}"))
            .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"])
            .stderr(Stdio::null())
            .spawn()
            .expect("git daemon starts");
        let address = format!("127.0.0.1:{port}");
        wait_for(Duration::from_secs(20), || {
            TcpStream::connect(&address).ok()
        })
        .expect("git daemon answers");
        Self { child, address }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; the child is ours.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_repository_is_a_context_and_a_named_one() {
    need_kernel!();
    need_program!("git");
    let has_daemon = Command::new("git")
        .arg("--exec-path")
        .output()
        .is_ok_and(|output| {
            let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            std::path::Path::new(&folder).join("git-daemon").is_file()
        });
    if !has_daemon {
        eprintln!("skipped: needs git daemon");
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("repo/sub/Dockerfile", "FROM host\nCOPY text /text\n");
    sandbox.write("repo/sub/text", "of the branch");
    let git = |args: &[&str]| {
        let who = ["-C", "repo", "-c", "user.name=a", "-c", "user.email=a@b"];
        run(&sandbox, "git", &[&who[..], args].concat());
    };
    git(&["init", "-q", "-b", "topic"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "first"]);
    let daemon = Daemon::start(&sandbox);
    let url = format!("git://{}/repo/.git", daemon.address);
    let context = format!("{url}#topic:sub");
    sandbox.ok(&["image", "build", "-q", "-t", "app", &context]);
    assert_eq!(text(&sandbox, "app"), "of the branch");
    sandbox.write("Dockerfile", "FROM host\nCOPY --from=other text /text\n");
    let named = format!("other={context}");
    sandbox.ok(&[
        "image",
        "build",
        "-q",
        "-t",
        "app",
        "--build-context",
        &named,
        ".",
    ]);
    assert_eq!(text(&sandbox, "app"), "of the branch");
    // Compose's own word for it.
    sandbox.write(
        "compose.yaml",
        &format!("services:\n  app:\n    image: composed\n    build:\n      context: .\n      additional_contexts:\n        other: {context}\n"),
    );
    sandbox.ok(&["build"]);
    assert_eq!(text(&sandbox, "composed"), "of the branch");
    let missing = format!("{url}#nowhere");
    sandbox
        .run(&["image", "build", &missing])
        .expect_code(1)
        .expect_stderr(&["nowhere"]);
    drop(daemon);
    sandbox.finish();
}

/// A repository `repo` with a submodule of its own, and a tag.
fn repositories(sandbox: &Sandbox) {
    sandbox.write("part/inner", "of the submodule");
    sandbox.write("repo/sub/Dockerfile", "FROM host\nCOPY . /repo\n");
    sandbox.write("repo/sub/text", "first");
    let git = |repository: &str, args: &[&str]| {
        let who = [
            "-C",
            repository,
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
        ];
        let files = ["-c", "protocol.file.allow=always"];
        run(sandbox, "git", &[&who[..], &files[..], args].concat());
    };
    for repository in ["part", "repo"] {
        git(repository, &["init", "-q", "-b", "main"]);
        git(repository, &["add", "-A"]);
        git(repository, &["commit", "-q", "-m", "first"]);
    }
    git("repo", &["tag", "-a", "-m", "one", "v1"]);
    let part = format!("{}/part", sandbox.project().display());
    git("repo", &["submodule", "-q", "add", &part, "sub/part"]);
    sandbox.write("repo/sub/text", "second");
    git("repo", &["commit", "-q", "-a", "-m", "second"]);
}

fn list(sandbox: &Sandbox) -> String {
    let find =
        "cd /repo; find . -type f -o -name .git | grep -v '.git/' | sort | tr '\n' ' '; cat text";
    let run = ["container", "run", "--rm", "app", "sh", "-c", find];
    sandbox.ok(&run).stdout()
}

#[test]
fn a_repository_of_this_machine_with_reference_directory_and_submodules() {
    need_kernel!();
    need_program!("git");
    let sandbox = Sandbox::new();
    repositories(&sandbox);
    let url = format!("file://{}/repo", sandbox.project().display());
    let build = |address: &str, more: &[&str]| {
        let words = ["image", "build", "-q", "-t", "app"];
        sandbox.ok(&[&words[..], more, &[address]].concat());
        list(&sandbox)
    };
    let both = "./Dockerfile ./part/inner ./text second";
    assert_eq!(build(&format!("{url}#:sub"), &[]), both);
    assert_eq!(
        build(&format!("{url}#v1:sub"), &[]),
        "./Dockerfile ./text first"
    );
    assert_eq!(
        build(&format!("{url}?tag=v1&subdir=sub"), &[]),
        "./Dockerfile ./text first"
    );
    assert_eq!(
        build(
            &format!("{url}?branch=main&subdir=sub&submodules=false"),
            &[]
        ),
        "./Dockerfile ./text second"
    );
    // The whole repository, with what git knows of it.
    let keep = [
        "--build-arg",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1",
        "-f",
        "sub/Dockerfile",
    ];
    sandbox.ok(&[&["image", "build", "-q", "-t", "app"][..], &keep, &[&url]].concat());
    let head = [
        "container",
        "run",
        "--rm",
        "app",
        "sh",
        "-c",
        "ls -d /repo/.git && cat /repo/sub/text",
    ];
    assert_eq!(sandbox.ok(&head).stdout(), "/repo/.git\nsecond");
    for (address, part) in [
        (format!("{url}#nowhere"), "nowhere"),
        (format!("{url}#main:not/here"), "not/here"),
        (format!("{url}/none"), "none"),
        (format!("{url}?ref=main&checksum=0000000"), "0000000"),
    ] {
        sandbox
            .run(&["image", "build", &address])
            .expect_code(1)
            .expect_stderr(&[part]);
    }
    // A Dockerfile may come from elsewhere: it names nothing of this machine.
    sandbox.write("Dockerfile", &format!("FROM scratch\nADD {url} /repo\n"));
    sandbox
        .run(&["image", "build", "."])
        .expect_code(1)
        .expect_stderr(&["Dockerfile:2", "--build-context"]);
    sandbox.finish();
}

#[test]
fn a_repository_by_ssh() {
    need_kernel!();
    need_program!("git");
    let sandbox = Sandbox::new();
    repositories(&sandbox);
    // In the place of ssh: it does on this machine what the other one is asked to do.
    sandbox.write(
        "ssh",
        "#!/bin/sh\nfor last; do :; done\necho \"$*\" >> \"$0.log\"\nexec sh -c \"$last\"\n",
    );
    let ssh = sandbox.project().join("ssh");
    fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let repo = format!("{}/repo", sandbox.project().display());
    for address in [
        format!("git@far.example:{repo}#v1:sub"),
        format!("someone@far.example:{repo}#v1:sub"),
        format!("ssh://git@far.example{repo}#v1:sub"),
    ] {
        let args = ["image", "build", "-q", "-t", "app", &address];
        let mut command = sandbox.command(&args);
        let output = command.env("GIT_SSH_COMMAND", &ssh).output();
        Run::of(&args, output.expect("it starts")).expect_code(0);
        assert_eq!(list(&sandbox), "./Dockerfile ./text first");
    }
    let log = fs::read_to_string(sandbox.project().join("ssh.log")).expect("ssh was asked");
    assert!(log.contains("someone@far.example git-upload-pack"), "{log}");
    // ADD, with --keep-git-dir.
    sandbox.write(
        "Dockerfile",
        &format!("FROM host\nADD --keep-git-dir git@far.example:{repo}#v1 /repo\n"),
    );
    let args = ["image", "build", "-q", "-t", "app", "."];
    let output = sandbox.command(&args).env("GIT_SSH_COMMAND", &ssh).output();
    Run::of(&args, output.expect("it starts")).expect_code(0);
    let head = [
        "container",
        "run",
        "--rm",
        "app",
        "sh",
        "-c",
        "ls -d /repo/.git && cat /repo/sub/text",
    ];
    assert_eq!(sandbox.ok(&head).stdout(), "/repo/.git\nfirst");
    sandbox.finish();
}

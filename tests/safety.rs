//! Attacks from inside a container, from an image, or by another user of the machine. Each test fails when the defence
//! that it is about is taken away.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// Everything below a directory that another user can list, read or execute.
fn within_reach(dir: &Path) -> String {
    let mut paths = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    let list = tempfile::NamedTempFile::new().expect("a file");
    let text: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    fs::write(list.path(), text.join("\n")).expect("written");
    fs::set_permissions(list.path(), fs::Permissions::from_mode(0o644)).expect("readable");
    let script = "while read -r f; do [ -r \"$f\" ] || [ -w \"$f\" ] || [ -x \"$f\" ] && [ ! -L \"$f\" ] && echo \"$f\"; done; :";
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-c",
            script,
        ])
        .stdin(fs::File::open(list.path()).expect("opens"))
        .output()
        .expect("setpriv");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn another_user_reaches_nothing_of_a_container() {
    need_kernel!();
    need_program!("setpriv");
    let sandbox = Sandbox::new();
    // The way to the root is open, as that to /var/lib is.
    let above = sandbox.root().parent().expect("a folder").to_owned();
    fs::set_permissions(above, fs::Permissions::from_mode(0o755)).expect("opened");
    let script = "cp /bin/id /root-id; chmod 4755 /root-id; cp /root-id /data/; chmod 4755 /data/root-id; echo up; exec sleep 60";
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "one",
        "-v",
        "data:/data",
        "host",
        "sh",
        "-c",
        script,
    ]);
    wait_for(LIMIT, || {
        let log = sandbox.ok(&["container", "logs", "one"]).stdout();
        log.contains("up").then_some(())
    })
    .expect("it runs");
    let reached = within_reach(&sandbox.root());
    let below: Vec<&str> = reached
        .lines()
        .filter(|path| Path::new(path).parent() != Some(&sandbox.root()))
        .collect();
    assert!(below.is_empty(), "{below:#?}");
    // Directories of a root made by an older version are closed by the next command.
    for part in ["volumes", "containers", "run"] {
        let path = sandbox.root().join(part);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opened");
    }
    sandbox.ok(&["container", "ls"]);
    assert_eq!(within_reach(&sandbox.root().join("volumes")), "");
    sandbox.finish();
}

/// A program's name and arguments, a file's name, a label: all of them chosen inside.
#[test]
fn nothing_from_a_container_moves_the_cursor_of_who_looks() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let escape = "\u{1b}]0;owned\u{7}\u{1b}[2J";
    let script = "cp /bin/sleep \"/tmp/$0\"; cd /tmp; exec \"./$0\" 60";
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "one",
        "--label",
        &format!("a={escape}"),
        "host",
        "sh",
        "-c",
        script,
        escape,
    ]);
    let top = || {
        let text = sandbox.ok(&["container", "top", "one"]).stdout();
        text.contains("owned").then_some(text)
    };
    let top = wait_for(LIMIT, top).expect("it runs");
    let mut shown = vec![("top", top)];
    for args in [
        vec!["container", "ls", "--no-trunc"],
        vec!["container", "diff", "one"],
        vec!["container", "inspect", "one"],
    ] {
        shown.push((args[1], sandbox.ok(&args).stdout()));
    }
    let missing = sandbox.run(&["container", "exec", "one", escape]);
    shown.push(("exec", missing.stderr()));
    let nobody = sandbox.run(&["container", "exec", "-u", escape, "one", "true"]);
    shown.push(("exec -u", nobody.stderr()));
    for (verb, text) in &shown {
        assert!(text.contains("owned"), "`{verb}` shows it: {text}");
        let raw = text
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(raw, None, "`{verb}`: {text:?}");
    }
    sandbox.finish();
}

/// A volume at `/dev` with something else in the place of the nothing that hides paths.
#[test]
fn what_lies_in_a_containers_dev_is_not_trusted() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let dev = sandbox.project().join("dev");
    let run = |script: &str| {
        let volume = format!("{}:/dev", dev.display());
        sandbox.run(&[
            "container",
            "run",
            "--rm",
            "-v",
            &volume,
            "host",
            "sh",
            "-c",
            script,
        ])
    };
    // A file of the container's in the place of /dev/null would be what hidden files show, and could be written.
    fs::create_dir(&dev).expect("folder");
    fs::write(dev.join("null"), "owned\n").expect("file");
    let ran = run("cat /proc/keys /proc/timer_list; :");
    assert!(
        ran.code() != 0 && !ran.stdout().contains("owned"),
        "{}",
        ran.stdout()
    );
    ran.expect_stderr(&["/proc/"]);
    // And so would one that is reached by a link.
    fs::rename(dev.join("null"), dev.join("other")).expect("renamed");
    std::os::unix::fs::symlink("other", dev.join("null")).expect("link");
    let ran = run("cat /proc/keys /proc/timer_list; :");
    assert!(
        ran.code() != 0 && !ran.stdout().contains("owned"),
        "{}",
        ran.stdout()
    );
    sandbox.finish();
}

/// Paths that a container swaps for links to the host while others look them up.
#[test]
fn swapped_links_do_not_lead_out_of_a_volume_or_a_copy() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = sandbox.project().join("outside");
    fs::create_dir(&outside).expect("folder");
    let script = format!(
        "mkdir -p /data/real /work/real; ln -s {0} /data/link; ln -s {0} /work/link; echo up; \
         while :; do for d in /data /work; do ln -sfn link $d/swap; ln -sfn real $d/swap; done; done",
        outside.display()
    );
    sandbox.ok(&[
        "container",
        "run",
        "-d",
        "--name",
        "one",
        "-v",
        "data:/data",
        "host",
        "sh",
        "-c",
        &script,
    ]);
    wait_for(LIMIT, || {
        let log = sandbox.ok(&["container", "logs", "one"]).stdout();
        log.contains("up").then_some(())
    })
    .expect("it runs");
    sandbox.write("file", "content");
    let mount = format!("{}:/data/swap/in", sandbox.project().join("file").display());
    for _ in 0..12 {
        // Either may fail; neither may end up outside.
        sandbox.run(&["container", "cp", "file", "one:/work/swap/copied"]);
        sandbox.run(&[
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "data:/data",
            "-v",
            &mount,
            "host",
            "true",
        ]);
    }
    let found: Vec<_> = fs::read_dir(&outside).expect("folder").flatten().collect();
    assert!(found.is_empty(), "{found:?}");
    sandbox.finish();
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
    fs::create_dir_all(tree.join("bin")).expect("folder");
    let busybox = support::find_program("busybox").expect("there");
    fs::copy(busybox, tree.join("bin/busybox")).expect("copied");
    std::os::unix::fs::symlink("busybox", tree.join("bin/sh")).expect("link");
    for name in ["work", "etc"] {
        std::os::unix::fs::symlink(&outside, tree.join(name)).expect("link");
    }
    let archive = sandbox.project().join("tree.tar");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&tree)
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status();
    assert!(tar.expect("tar").success());
    let import = |name: &str, changes: &[&str]| {
        let archive = archive.display().to_string();
        let mut args = vec!["image", "import"];
        for change in changes {
            args.extend(["--change", change]);
        }
        args.extend([archive.as_str(), name]);
        sandbox.ok(&args);
    };
    // A working directory, and /etc with its hosts file, that are links to the host.
    import("links", &["WORKDIR /work/deep"]);
    sandbox.run(&[
        "container",
        "run",
        "--rm",
        "links",
        "/bin/sh",
        "-c",
        ": > here",
    ]);
    let found: Vec<_> = fs::read_dir(&outside).expect("folder").flatten().collect();
    assert!(found.is_empty(), "{found:?}");

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

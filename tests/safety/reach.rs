//! What another user of the machine reaches, and what whoever looks at a container is shown.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Sandbox, wait_for};
use crate::{LIMIT, until_up};

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
    until_up(&sandbox, &["-v", "data:/data"], &["sh", "-c", script]);
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
    for part in ["volumes", "containers", "run"] {
        let data = fs::metadata(sandbox.root().join(part)).expect("there");
        assert_eq!(data.permissions().mode() & 0o077, 0, "{part}");
    }
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

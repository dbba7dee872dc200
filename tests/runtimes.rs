//! Containers in another OCI runtime: `gantry oci` itself behind a script, always; those that are installed, where they are.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{GANTRY, Sandbox, find_program, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// A program that is `gantry oci`, and notes its calls.
fn script(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.project().join("other-runtime");
    let calls = sandbox.project().join("calls");
    let text = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexec {GANTRY} oci \"$@\"\n",
        calls.display()
    );
    fs::write(&path, text).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

/// The operations that were asked for.
fn calls(sandbox: &Sandbox) -> Vec<String> {
    let text = fs::read_to_string(sandbox.project().join("calls")).unwrap_or_default();
    let operations = ["create", "start", "exec", "kill", "delete"];
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        words
            .find(|word| operations.contains(word))
            .map(str::to_owned)
    };
    text.lines().filter_map(of_line).collect()
}

/// What every runtime must do.
fn check(sandbox: &Sandbox, runtime: &str) {
    let run = |args: &[&str]| {
        let all = [&["container", "run", "--runtime", runtime], args].concat();
        sandbox.run(&all)
    };
    let script = "echo out; echo err >&2; id -u; cat /etc/hostname; cat /proc/1/comm; exit 7";
    let ran = run(&[
        "--rm", "-h", "inside", "-u", "nobody", "host", "sh", "-c", script,
    ]);
    assert_eq!(ran.code(), 7, "{}", ran.stderr());
    assert_eq!(ran.stdout(), "out\n65534\ninside\nsh\n");
    assert_eq!(ran.stderr(), "err\n");
    run(&["--rm", "host", "nosuchprogram"]).expect_code(127);

    // A terminal, limits, a filter, the network.
    let script = "tty; cat /sys/class/net/eth0/operstate; grep Seccomp: /proc/self/status | tr '\\t' ' '; \
                  mkdir /proc/sys/x 2>/dev/null || echo closed";
    let ran = run(&["--rm", "-t", "host", "sh", "-c", script]);
    assert_eq!(
        ran.stdout().replace('\r', ""),
        "/dev/pts/0\nup\nSeccomp: 2\nclosed\n",
        "{}",
        ran.stderr()
    );

    // A life: commands in it, a restart, a stop.
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done";
    run(&["-d", "--name", "one", "host", "sh", "-c", script]).expect_code(0);
    let logged = |times: usize| {
        wait_for(LIMIT, || {
            let log = sandbox.ok(&["container", "logs", "one"]).stdout();
            (log.matches("up").count() == times).then_some(())
        })
        .expect("it runs");
    };
    logged(1);
    let inside = [
        "container",
        "exec",
        "-e",
        "A=b",
        "one",
        "sh",
        "-c",
        "echo $A; exit 3",
    ];
    let executed = sandbox.run(&inside);
    assert_eq!(
        (executed.code(), executed.stdout().as_str()),
        (3, "b\n"),
        "{}",
        executed.stderr()
    );
    sandbox
        .run(&["container", "exec", "one", "nosuchprogram"])
        .expect_code(127);
    let inspected = [
        "container",
        "inspect",
        "-f",
        "{{.HostConfig.Runtime}}",
        "one",
    ];
    assert_eq!(sandbox.ok(&inspected).stdout().trim(), runtime);
    sandbox.ok(&["container", "restart", "one"]);
    logged(2);
    sandbox.ok(&["container", "pause", "one"]);
    sandbox.ok(&["container", "unpause", "one"]);
    sandbox.ok(&["container", "stop", "one"]);
    assert_eq!(
        sandbox.ok(&["container", "wait", "one"]).stdout().trim(),
        "5"
    );
    sandbox.ok(&["container", "start", "one"]);
    logged(3);
    sandbox.ok(&["container", "rm", "-f", "one"]);
}

#[test]
fn gantrys_own_as_another() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let runtime = script(&sandbox);
    check(&sandbox, runtime.to_str().expect("text"));
    let calls = calls(&sandbox);
    for operation in ["create", "start", "exec", "kill", "delete"] {
        assert!(
            calls.iter().any(|call| call == operation),
            "{operation}: {calls:?}"
        );
    }
    sandbox.finish();
}

#[test]
fn those_that_are_installed() {
    need_kernel!();
    for name in ["crun", "runc"] {
        if find_program(name).is_none() {
            eprintln!("skipped: needs the program {name}");
            continue;
        }
        // crun takes no machine with hierarchies of both kinds.
        if name == "crun" && Path::new("/sys/fs/cgroup/unified").exists() {
            eprintln!("skipped: crun refuses cgroups in hybrid mode");
            continue;
        }
        let sandbox = Sandbox::new();
        check(&sandbox, name);
        sandbox.finish();
    }
}

#[test]
fn a_compose_file_names_it() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let runtime = script(&sandbox);
    let text = format!(
        "services:\n  web:\n    image: host\n    runtime: {}\n    command: sleep 60\n",
        runtime.display()
    );
    sandbox.write("compose.yaml", &text);
    sandbox.ok(&["up", "-d"]);
    assert_eq!(
        sandbox.ok(&["exec", "-T", "web", "echo", "in"]).stdout(),
        "in\n"
    );
    assert_eq!(calls(&sandbox), ["create", "start", "exec"]);
    sandbox.ok(&["down", "-t", "0"]);
    sandbox.finish();
}

#[test]
fn what_another_cannot_do_is_refused() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let path = script(&sandbox);
    let runtime = path.to_str().expect("text");
    let run = |args: &[&str]| sandbox.run(&[&["container", "run", "--rm"], args].concat());
    run(&["--runtime", "nosuchruntime", "host", "true"])
        .expect_code(125)
        .expect_stderr(&["no OCI runtime `nosuchruntime`"]);
    run(&["--runtime", runtime, "--init", "host", "true"])
        .expect_code(125)
        .expect_stderr(&["init process"]);
    sandbox.ok(&["volume", "create", "data"]);
    let part = "type=volume,source=data,target=/data,volume-subpath=part";
    run(&["-v", "data:/data", "host", "mkdir", "/data/part"]).expect_code(0);
    run(&["--runtime", runtime, "--mount", part, "host", "true"])
        .expect_code(125)
        .expect_stderr(&["/data", "part of a volume"]);
    // Its own words are passed on: they are in its log.
    let text = "#!/bin/sh\nwhile [ \"$1\" != --log ]; do shift; done\n\
                echo '{\"level\":\"error\",\"msg\":\"no luck today\"}' > \"$2\"; exit 1\n";
    fs::write(&path, text).expect("a script");
    run(&["--runtime", runtime, "host", "true"])
        .expect_code(125)
        .expect_stderr(&["no luck today", "create"]);
    sandbox.finish();
}

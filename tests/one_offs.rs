//! Containers of `run`, beside those of `up`.

mod support;

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use support::{Sandbox, wait_for};

const PROJECT: &str = "services:
  web: {image: host, command: [sleep, '1000'], stop_grace_period: 0s}
";

#[test]
fn exec_and_kill_know_them() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(PROJECT);
    sandbox.ok(&["run", "-d", "--name", "alone", "web", "sleep", "1000"]);
    sandbox
        .ok(&["exec", "-T", "web", "cat", "/proc/1/cmdline"])
        .expect_stdout(&["sleep"]);
    sandbox.ok(&["logs", "--index", "0", "web"]);
    sandbox.ok(&["up", "-d"]);
    // Who is no one-off comes first.
    sandbox.ok(&["exec", "-T", "web", "touch", "/here"]);
    sandbox
        .run(&["container", "exec", "alone", "test", "-e", "/here"])
        .expect_code(1);
    sandbox.ok(&["kill"]);
    assert_eq!(sandbox.ok(&["container", "ls", "-q"]).stdout(), "");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn one_that_runs_outlives_the_end_of_our_output() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(PROJECT);
    let script = "echo one; until [ -e /go ]; do sleep 0.05; done; echo two; sleep 1000";
    let run = ["run", "--rm", "--name", "alone", "web", "sh", "-c", script];
    let mut command = sandbox.command(&run);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0; 4]).expect("a line");
    drop(out);
    sandbox.ok(&["container", "exec", "alone", "touch", "/go"]);
    let ended = child.wait_with_output().expect("ended");
    assert!(!ended.status.success());
    sandbox
        .ok(&["container", "inspect", "-f", "{{.State.Running}}", "alone"])
        .expect_stdout(&["true"]);
    // Its supervisor removes it.
    sandbox.ok(&["container", "kill", "alone"]);
    wait_for(Duration::from_secs(10), || {
        sandbox.has_no_container().then_some(())
    })
    .expect("removed");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn an_end_by_hand_is_on_record() {
    need_kernel!();
    let sandbox = Sandbox::new();
    for number in 0..5 {
        let name = format!("it{number}");
        sandbox.start_sleeper(&name, &["--restart", "always"]);
        sandbox.ok(&["container", "kill", &name]);
        sandbox
            .ok(&["container", "inspect", "-f", "{{.State.Status}}", &name])
            .expect_stdout(&["exited"]);
        sandbox.ok(&["container", "rm", &name]);
    }
    sandbox.finish();
}

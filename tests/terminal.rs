//! What only a terminal shows: its size and modes, keys, lists that are redrawn.

mod support;

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use support::{Sandbox, wait_for};

const CTRL_C: &str = "\u{3}";
const CTRL_P_CTRL_Q: &str = "\u{10}\u{11}";

/// Ends the calling test where there is no terminal to be had.
macro_rules! need_terminal {
    () => {
        need_kernel!();
        need_program!("setsid", "bash");
    };
}

/// A service that does nothing until it is stopped.
fn sleeper() -> Sandbox {
    let sandbox = Sandbox::of_compose(
        "services: {box: {image: host, init: true, command: sleep 1000, network_mode: none}}",
    );
    sandbox.ok(&["up", "-d"]);
    sandbox
}

fn bash(sandbox: &Sandbox, verb: &[&str]) -> support::pty::Pty {
    let args: Vec<&str> = verb.iter().copied().chain(["bash", "--norc"]).collect();
    let mut terminal = sandbox.on_terminal(30, 90, &args);
    terminal.expect("# ");
    terminal
}

fn container_runs(sandbox: &Sandbox, name: &str) -> bool {
    let names = sandbox.ok(&["container", "ls", "--format", "{{.Names}}"]);
    names.stdout().lines().any(|line| line == name)
}

#[test]
fn exec_and_run_have_the_terminals_size_and_follow_it() {
    need_terminal!();
    let sandbox = sleeper();
    for verb in [
        &["exec", "box"][..],
        &["run", "--rm", "box"],
        &[
            "container",
            "run",
            "--rm",
            "-it",
            "--network",
            "none",
            "host",
        ],
    ] {
        let mut terminal = bash(&sandbox, verb);
        terminal.type_keys("stty size\r");
        terminal.expect("30 90");
        terminal.resize(41, 101);
        // The new size is on its way: ask until it has arrived.
        terminal
            .type_keys("until [ \"$(stty size)\" = '41 101' ]; do sleep 0.05; done; echo a''ha\r");
        terminal.expect("aha");
        terminal.type_keys("exit 7\r");
        assert_eq!(terminal.exit_code(), 7);
        assert!(terminal.is_cooked());
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

/// As with runc: what is mounted there is the container's /dev, with the terminals that it has.
#[test]
fn a_dev_of_the_users_own_is_taken_as_it_is() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let run = |mount: [&str; 2], more: &[&str]| {
        let mut args = vec!["container", "run", "--rm", "--network", "none", "-t"];
        args.extend(mount);
        args.extend(more);
        sandbox.run(&args)
    };
    for mount in [["-v", "/dev:/dev"], ["--tmpfs", "/dev:dev,mode=755"]] {
        run(mount, &["host", "tty"])
            .expect_code(0)
            .expect_stdout(&["/dev/pts/"]);
    }
    let dev = sandbox.project().join("dev");
    std::fs::create_dir(&dev).expect("folder");
    let mount = format!("{}:/dev", dev.display());
    run(["-v", &mount], &["host", "true"])
        .expect_code(125)
        .expect_stderr(&["/dev/pts/ptmx"]);
    let ran = sandbox.ok(&[
        "container",
        "run",
        "--rm",
        "-v",
        &mount,
        "host",
        "cat",
        "/proc/keys",
    ]);
    assert_eq!(ran.stdout(), "", "hidden without a /dev/null too");
    // Only what is mounted over has a place made for it.
    let made = std::fs::read_dir(&dev).expect("folder").flatten();
    let made: Vec<_> = made.map(|entry| entry.file_name()).collect();
    assert_eq!(made, ["shm"]);
    sandbox.finish();
}

#[test]
fn a_program_finds_the_terminals_size_when_it_begins() {
    need_kernel!();
    let sandbox = sleeper();
    let new = [
        "container",
        "run",
        "--rm",
        "-it",
        "--network",
        "none",
        "host",
    ];
    for verb in [
        &new[..],
        &["exec", "box"],
        &["run", "--rm", "--no-deps", "box"],
    ] {
        // Asked for a second time later, it could have come meanwhile.
        let mut terminal = sandbox.on_terminal(33, 77, &[verb, &["stty", "size"]].concat());
        assert_eq!(terminal.exit_code(), 0, "{verb:?}");
        assert!(
            terminal.shown().contains("33 77"),
            "{verb:?} {}",
            terminal.shown()
        );
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn ctrl_c_goes_to_the_program_in_the_container() {
    need_terminal!();
    let sandbox = sleeper();
    let mut terminal = bash(&sandbox, &["exec", "box"]);
    // The program itself says that it has the terminal: before, the key would be the shell's.
    terminal.type_keys("bash -c \"echo re''ady; exec sleep 1000\"\r");
    terminal.expect("ready");
    terminal.type_keys(CTRL_C);
    // What is typed before is thrown away by the terminal.
    terminal.expect("# ");
    terminal.type_keys("echo code $?; exit\r");
    terminal.expect("code 130");
    assert_eq!(terminal.exit_code(), 0);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_user_who_goes_away_hangs_up() {
    need_terminal!();
    let sandbox = sleeper();
    let mut terminal = bash(&sandbox, &["exec", "box"]);
    terminal.type_keys("echo h''ere\r");
    terminal.expect("here");
    drop(terminal);
    let gone = wait_for(Duration::from_secs(10), || {
        (!sandbox.ok(&["top"]).stdout().contains("bash")).then_some(())
    });
    assert!(gone.is_some(), "{}", sandbox.ok(&["top"]).stdout());
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn detach_keys_leave_and_the_program_lives_on() {
    need_terminal!();
    let sandbox = sleeper();
    let mut terminal = bash(&sandbox, &["exec", "box"]);
    terminal.type_keys(CTRL_P_CTRL_Q);
    assert_eq!(terminal.exit_code(), 0);
    assert!(terminal.is_cooked());
    assert!(sandbox.ok(&["top"]).stdout().contains("bash"));

    let name = "left";
    let mut terminal = bash(&sandbox, &["run", "--rm", "--name", name, "box"]);
    terminal.type_keys(CTRL_P_CTRL_Q);
    assert_eq!(terminal.exit_code(), 0);
    assert!(container_runs(&sandbox, name));

    let keys = ["container", "attach", "--detach-keys", "ctrl-x,y", name];
    let mut terminal = sandbox.on_terminal(30, 90, &keys);
    // Others are the program's.
    terminal.type_keys(CTRL_P_CTRL_Q);
    terminal.type_keys("\recho b''ack\r");
    terminal.expect("back");
    terminal.type_keys("\u{18}y");
    assert_eq!(terminal.exit_code(), 0);
    assert!(container_runs(&sandbox, name));
    sandbox.ok(&["down", "--remove-orphans"]);
    sandbox.finish();
}

#[test]
fn the_terminal_is_restored_when_the_container_is_killed() {
    need_terminal!();
    let sandbox = sleeper();
    let mut terminal = bash(&sandbox, &["run", "--rm", "--name", "victim", "box"]);
    assert!(!terminal.is_cooked());
    sandbox.ok(&["container", "kill", "victim"]);
    assert_eq!(terminal.exit_code(), 137);
    assert!(terminal.is_cooked());
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn the_terminal_is_restored_before_a_signal_ends_us() {
    need_terminal!();
    let sandbox = sleeper();
    let mut terminal = bash(&sandbox, &["exec", "box"]);
    assert!(!terminal.is_cooked());
    let pid = i32::try_from(terminal.pid()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    assert_eq!(terminal.exit_code(), -1);
    assert!(terminal.is_cooked());
    sandbox.ok(&["down"]);
    sandbox.finish();
}

const POLITE: &str = r#"
services:
  polite:
    image: host
    network_mode: none
    command: ["bash", "-c", "trap 'echo good''bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"]
"#;

#[test]
fn ctrl_c_stops_what_up_shows() {
    need_terminal!();
    let sandbox = Sandbox::of_compose(POLITE);
    let mut terminal = sandbox.on_terminal(30, 90, &["up"]);
    terminal.expect("Attaching to polite-1");
    terminal.expect("polite-1  | ");
    terminal.expect("ready");
    terminal.type_keys(CTRL_C);
    terminal.expect("Gracefully Stopping... press Ctrl+C again to force");
    terminal.expect("goodbye");
    terminal.expect("polite-1 exited with code 3");
    assert_eq!(terminal.exit_code(), 130);
    assert!(terminal.shown().contains("Stopped"));
    sandbox.ok(&["down"]);
    sandbox.finish();
}

const STUBBORN: &str = r#"
services:
  stubborn:
    image: host
    network_mode: none
    stop_grace_period: 10m
    command: ["bash", "-c", "trap 'echo never' TERM; echo ready; while :; do sleep 0.05; done"]
"#;

#[test]
fn a_second_ctrl_c_kills() {
    need_terminal!();
    let sandbox = Sandbox::of_compose(STUBBORN);
    let mut terminal = sandbox.on_terminal(30, 90, &["up"]);
    terminal.expect("ready");
    terminal.type_keys(CTRL_C);
    terminal.expect("never");
    terminal.type_keys(CTRL_C);
    terminal.expect("stubborn-1 exited with code 137");
    assert_eq!(terminal.exit_code(), 130);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn the_list_is_complete_before_the_logs_begin() {
    need_terminal!();
    let sandbox = Sandbox::of_compose(
        "services: {box: {image: host, command: echo done, network_mode: none, scale: 6}}",
    );
    let mut terminal = sandbox.on_terminal(30, 90, &["up"]);
    assert_eq!(terminal.exit_code(), 0);
    let shown = terminal.shown();
    let (list, logs) = shown.split_once("Attaching to").expect("logs");
    assert!(list.contains("[+] Running 6/6"), "{shown}");
    assert_eq!(logs.matches("exited with code 0").count(), 6, "{shown}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_failed_build_step_shows_what_it_printed() {
    need_terminal!();
    let sandbox = Sandbox::of_compose(
        r#"services: {app: {build: {dockerfile_inline: "FROM host\nRUN echo wh''y; exit 5\n"}}}"#,
    );
    let mut terminal = sandbox.on_terminal(30, 90, &["build"]);
    terminal.expect("why");
    terminal.expect("exit code: 5");
    assert_eq!(terminal.exit_code(), 1);
    sandbox.finish();
}

#[test]
fn up_stays_while_another_command_replaces_what_it_shows() {
    need_terminal!();
    let sandbox = Sandbox::of_compose(
        "services: {box: {image: host, init: true, network_mode: none, command: sh -c 'echo ready; sleep 1000'}}",
    );
    let mut terminal = sandbox.on_terminal(30, 90, &["up"]);
    terminal.expect("ready");
    sandbox.ok(&["up", "-d", "--force-recreate"]);
    // It is told as an exit when its end is seen before its new name.
    terminal.expect("box-1 ");
    terminal.expect("ready");
    terminal.type_keys(CTRL_C);
    terminal.expect("Gracefully Stopping");
    terminal.expect("box-1 exited with code 143");
    assert_eq!(terminal.exit_code(), 130);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn input_and_output_do_not_wait_for_each_other() {
    need_kernel!();
    const MANY: usize = 8 << 20;
    let sandbox = Sandbox::new();
    let args = [
        "container",
        "run",
        "--rm",
        "-i",
        "--network",
        "none",
        "host",
        "cat",
    ];
    let mut child = sandbox
        .command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the executable starts");
    let mut input = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(&vec![b'x'; MANY]));
    let mut output = Vec::new();
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_to_end(&mut output).expect("read");
    writer.join().expect("no panic").expect("written");
    assert!(child.wait().expect("a child").success());
    assert_eq!(output.len(), MANY);
    sandbox.finish();
}

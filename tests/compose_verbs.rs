//! Verbs as they are typed for Docker Compose: spellings of flags, what is refused, and what holds when they return.

mod support;

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Run, Sandbox};

const SLEEP: &str = "command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]";

/// A project of services that sleep.
fn sleepers(names: &[&str]) -> String {
    let service = |name: &&str| format!("  {name}:\n    image: host\n    {SLEEP}\n");
    let services: String = names.iter().map(service).collect();
    format!("services:\n{services}")
}

/// Containers of a service in these states, as `ps` tells.
fn states(sandbox: &Sandbox, service: &str) -> String {
    let args = ["ps", "-a", "--format", "{{.State}}", service];
    sandbox.ok(&args).stdout()
}

fn id(sandbox: &Sandbox, service: &str) -> String {
    sandbox.ok(&["ps", "-aq", service]).stdout()
}

/// Runs it with something on standard input.
fn fed(sandbox: &Sandbox, args: &[&str], input: &str) -> Run {
    let mut command = sandbox.command(args);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the executable starts");
    let mut stdin = child.stdin.take().expect("piped");
    // Who reads nothing may be gone already.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Run::of(args, child.wait_with_output().expect("ended"))
}

#[test]
fn exec_takes_its_flags_in_every_spelling() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["web"]));
    sandbox.ok(&["up", "-d"]);
    let check = |flags: &[&str], script: &str, expected: &str| {
        let args = [&["exec"], flags, &["web", "bash", "-c", script]].concat();
        assert_eq!(sandbox.ok(&args).stdout().trim(), expected, "{flags:?}");
    };
    let hello: &[&[&str]] = &[
        &["-it"],
        &["-ti"],
        &["-i"],
        &["-t"],
        &["--interactive", "--tty"],
        &["--interactive=false"],
        &["--tty=false"],
        &["-it=false"],
        &["-T=true"],
        &["-T=false"],
        &["-T", "-it"],
        &["--no-TTY"],
        &["--"],
    ];
    for flags in hello {
        check(flags, "echo hello", "hello");
    }
    check(&["-w/tmp"], "pwd", "/tmp");
    check(&["-u1"], "id -u", "1");
    check(&["-eA=1"], "echo $A", "1");
    check(&["-e=A=1"], "echo $A", "1");
    check(&["-Tu1", "-w=/tmp"], "id -u; pwd", "1\n/tmp");
    // What follows the service is the command's.
    sandbox.ok(&["exec", "web", "test", "-u1", "=", "-u1"]);
    sandbox.run(&["exec", "web", "-T"]).expect_code(127);
    sandbox
        .run(&["exec", "--nosuch", "web", "true"])
        .expect_code(2);
    let cat = |flags: &[&str]| {
        let args = [&["exec"], flags, &["web", "cat"]].concat();
        fed(&sandbox, &args, "typed").expect_code(0).stdout()
    };
    assert_eq!(cat(&[]), "typed");
    assert_eq!(cat(&["-i"]), "typed");
    assert_eq!(cat(&["--interactive=false"]), "");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn wait_does_not_believe_in_what_ends_at_once() {
    need_kernel!();
    for delay in ["0", "0.1"] {
        let sandbox = Sandbox::of_compose(&format!(
            "services:
  main:
    image: host
    command: [bash, -c, 'sleep {delay}; exit 3']
  box:
    image: host
    {SLEEP}
"
        ));
        let run = sandbox.run(&["up", "-d", "--wait"]);
        run.expect_code(1).expect_stderr(&["`main`", "3"]);
        sandbox.ok(&["down"]);
        sandbox.finish();
    }
}

#[test]
fn wait_returns_at_once_where_all_has_run_for_a_while() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["box"]));
    sandbox.ok(&["up", "-d", "--wait"]);
    let begun = Instant::now();
    sandbox.ok(&["up", "-d", "--wait", "--force-recreate"]);
    assert!(begun.elapsed() > Duration::from_millis(500));
    let run = sandbox.ok(&["up", "-d", "--wait"]);
    assert!(!run.stderr().contains("Waiting"), "{}", run.stderr());
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn down_leaves_services_of_other_profiles() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "{}  tool:\n    image: host\n    {SLEEP}\n    profiles: [p]\n",
        sleepers(&["web"])
    ));
    sandbox.ok(&["--profile", "p", "up", "-d"]);
    for args in [&["down"][..], &["down", "--remove-orphans"]] {
        sandbox.ok(args);
        assert_eq!(states(&sandbox, "web"), "");
        assert_eq!(states(&sandbox, "tool"), "running\n");
    }
    // Naming a service activates its profile.
    sandbox.ok(&["restart", "tool"]);
    sandbox.ok(&["stop", "tool"]);
    assert_eq!(states(&sandbox, "tool"), "exited\n");
    sandbox.ok(&["start", "tool"]);
    assert_eq!(states(&sandbox, "tool"), "running\n");
    sandbox.ok(&["rm", "-fs", "tool"]);
    sandbox.ok(&["--profile", "p", "up", "-d"]);
    sandbox.ok(&["down", "tool"]);
    assert_eq!(states(&sandbox, "web"), "running\n");
    assert_eq!(states(&sandbox, "tool"), "");
    sandbox.ok(&["--profile", "p", "up", "-d"]);
    sandbox.ok(&["--profile", "p", "down"]);
    assert!(sandbox.has_no_container());
    sandbox.finish();
}

#[test]
fn a_changed_network_keeps_the_containers() {
    need_kernel!();
    let file = |services: &str, label: &str| {
        format!("{services}networks:\n  default:\n    labels: {{ x: '{label}' }}\n")
    };
    let services = sleepers(&["one", "two", "old"]);
    let sandbox = Sandbox::of_compose(&file(&services, "1"));
    sandbox.ok(&["up", "-d"]);
    let reaches = |from: &str, to: &str| {
        let script = format!("getent hosts {to}");
        sandbox.ok(&["exec", "-T", from, "bash", "-c", &script]);
    };
    let label = || {
        let name = sandbox
            .ok(&["network", "ls", "--format", "{{.Name}}"])
            .stdout();
        let name = name.lines().find(|name| name.ends_with("_default"));
        let args = [
            "network",
            "inspect",
            "-f",
            "{{.Labels.x}}",
            name.expect("a network"),
        ];
        sandbox.ok(&args).stdout()
    };
    let before = (id(&sandbox, "one"), id(&sandbox, "two"));
    sandbox.write("compose.yaml", &file(&services, "2"));
    sandbox.ok(&["up", "-d"]);
    assert_eq!((id(&sandbox, "one"), id(&sandbox, "two")), before);
    assert_eq!(label(), "2\n");
    reaches("one", "two");
    // Also what does not run, and those who take no part.
    sandbox.ok(&["stop", "one"]);
    sandbox.write("compose.yaml", &file(&services, "3"));
    sandbox.ok(&["up", "-d", "one"]);
    assert_eq!((id(&sandbox, "one"), id(&sandbox, "two")), before);
    assert_eq!(label(), "3\n");
    reaches("two", "one");
    // An orphan that goes is not started again.
    sandbox.write("compose.yaml", &file(&sleepers(&["one", "two"]), "4"));
    sandbox.ok(&["up", "-d", "--remove-orphans"]);
    assert_eq!((id(&sandbox, "one"), id(&sandbox, "two")), before);
    assert_eq!(label(), "4\n");
    sandbox.ok(&["down"]);
    assert!(sandbox.has_no_container());
    sandbox.finish();
}

#[test]
fn a_changed_network_takes_along_who_shares_a_namespace() {
    need_kernel!();
    let file = |label: &str| {
        format!(
            "{}  guest:
    image: host
    {SLEEP}
    network_mode: service:one
networks:
  default:
    labels: {{ x: '{label}' }}
",
            sleepers(&["one", "two"])
        )
    };
    let sandbox = Sandbox::of_compose(&file("1"));
    sandbox.ok(&["up", "-d"]);
    sandbox.write("compose.yaml", &file("2"));
    sandbox.ok(&["up", "-d"]);
    let look = ["exec", "-T", "guest", "getent", "hosts", "two"];
    sandbox.ok(&look);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn after_kill_the_end_is_on_record() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "{}  again:\n    image: host\n    {SLEEP}\n    restart: always\n",
        sleepers(&["web"])
    ));
    sandbox.ok(&["up", "-d"]);
    for round in 0..5 {
        sandbox.ok(&["kill", "web"]);
        assert_eq!(states(&sandbox, "web"), "exited\n", "round {round}");
        sandbox.ok(&["start", "web"]);
    }
    // Another signal may be survived, and a restart policy does not keep anyone waiting.
    sandbox.ok(&["kill", "-s", "CONT", "web"]);
    assert_eq!(states(&sandbox, "web"), "running\n");
    let begun = Instant::now();
    sandbox.ok(&["kill", "-s", "9"]);
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(states(&sandbox, "web"), "exited\n");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn up_refuses_flags_that_contradict_each_other() {
    let sandbox = Sandbox::of_compose(&sleepers(&["web"]));
    for flags in [
        &["-d", "--attach", "web"][..],
        &["-d", "--attach-dependencies"],
        &["--abort-on-container-exit", "--abort-on-container-failure"],
        &["--wait", "--watch"],
        &["--no-build", "--watch"],
        &["--renew-anon-volumes", "--no-recreate"],
    ] {
        let args = [&["up"], flags].concat();
        sandbox
            .run(&args)
            .expect_code(2)
            .expect_stderr(&["incompatible"]);
    }
    assert!(sandbox.has_no_container());
}

#[test]
fn up_takes_the_last_of_two_and_a_menu_that_nobody_sees() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["web"]));
    sandbox.ok(&["up", "--detach=false", "-d", "--menu"]);
    assert_eq!(states(&sandbox, "web"), "running\n");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn start_needs_something_to_start() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["one", "two"]));
    let refused = |args: &[&str], service: &str| {
        let said = format!("service `{service}` has no container to start");
        sandbox.run(args).expect_code(1).expect_stderr(&[&said]);
    };
    refused(&["start"], "one");
    refused(&["start", "two"], "two");
    sandbox.ok(&["create", "one"]);
    sandbox.ok(&["start", "two"]);
    sandbox.ok(&["start"]);
    assert_eq!(states(&sandbox, "one"), "running\n");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn pausing_what_is_paused_fails_and_pauses_the_rest() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["one", "two"]));
    sandbox.ok(&["up", "-d"]);
    sandbox.ok(&["pause", "one"]);
    sandbox
        .run(&["pause"])
        .expect_code(1)
        .expect_stderr(&["-one-1"]);
    assert_eq!(states(&sandbox, "two"), "paused\n");
    sandbox.ok(&["unpause", "two"]);
    sandbox
        .run(&["unpause"])
        .expect_code(1)
        .expect_stderr(&["-two-1"]);
    assert_eq!(states(&sandbox, "one"), "running\n");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn what_is_said_on_standard_output() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:\n  job:\n    image: host\n    command: [bash, -c, 'echo done']\n",
    );
    let shown = sandbox.ok(&["up"]).stdout();
    assert!(shown.starts_with("Attaching to job-1\n"), "{shown}");
    let removed = sandbox.ok(&["rm", "-f"]).stdout();
    assert!(removed.starts_with("Going to remove "), "{removed}");
    assert!(removed.ends_with("-job-1\n"), "{removed}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_replica_that_is_not_there_has_no_logs() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&sleepers(&["web"]));
    sandbox.ok(&["up", "-d"]);
    sandbox.run(&["logs", "--index", "2", "web"]).expect_code(1);
    sandbox.ok(&["logs", "--index", "1", "web"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn only_enabled_services_have_a_hash() {
    let sandbox = Sandbox::of_compose(
        "services:\n  on: { image: host }\n  off: { image: host, profiles: [p] }\n",
    );
    sandbox.ok(&["config", "--hash", "on"]);
    let run = sandbox.run(&["config", "--hash", "off"]);
    run.expect_code(1).expect_stderr(&["`off`", "p"]);
    sandbox.ok(&["--profile", "p", "config", "--hash", "off"]);
}

#[test]
fn former_names_of_flags_are_understood() {
    let sandbox = Sandbox::new();
    sandbox.write("below/compose.yaml", "services: { on: { image: host } }\n");
    let args = [
        "--workdir",
        "below",
        "--verbose",
        "--no-ansi",
        "config",
        "--services",
    ];
    assert_eq!(sandbox.ok(&args).stdout(), "on\n");
}

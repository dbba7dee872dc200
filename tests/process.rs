//! The process of a service: restarts, signals, its files, its limits, and a machine that is
//! short of descriptors.

mod support;

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

/// One field of a service's container.
fn inspect(sandbox: &Sandbox, service: &str, field: &str) -> String {
    let id = sandbox.ok(&["ps", "-aq", service]).stdout();
    let template = format!("{{{{{field}}}}}");
    let args = ["container", "inspect", "-f", &template, id.trim()];
    sandbox.ok(&args).stdout().trim().to_owned()
}

#[track_caller]
fn wait_until(sandbox: &Sandbox, service: &str, field: &str, value: &str) {
    if wait_for(LONG, || {
        (inspect(sandbox, service, field) == value).then_some(())
    })
    .is_none()
    {
        panic!("{service} {field} is {}", inspect(sandbox, service, field));
    }
}

#[test]
fn restart_policies_count_and_keep_the_exit_code() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  fails: { image: host, command: [bash, -c, \"exit 5\"], restart: \"on-failure:3\" }
  succeeds: { image: host, command: [\"true\"], restart: on-failure }
  never: { image: host, command: [bash, -c, \"exit 6\"] }
  always: { image: host, command: [bash, -c, \"exit 0\"], restart: always }
  unless: { image: host, command: [bash, -c, \"exit 1\"], restart: unless-stopped }
",
    );
    sandbox.ok(&["up", "-d"]);
    for service in ["fails", "succeeds", "never"] {
        wait_until(&sandbox, service, ".State.Status", "exited");
    }
    for (service, count, code) in [
        ("fails", "3", "5"),
        ("succeeds", "0", "0"),
        ("never", "0", "6"),
    ] {
        assert_eq!(
            inspect(&sandbox, service, ".RestartCount"),
            count,
            "{service}"
        );
        assert_eq!(
            inspect(&sandbox, service, ".State.ExitCode"),
            code,
            "{service}"
        );
    }
    for service in ["always", "unless"] {
        let restarts = || {
            inspect(&sandbox, service, ".RestartCount")
                .parse::<u32>()
                .expect("count")
        };
        wait_for(LONG, || (restarts() >= 2).then_some(())).expect("restarts");
        sandbox.ok(&["stop", service]);
        let before = restarts();
        assert_eq!(inspect(&sandbox, service, ".State.Status"), "exited");
        // The pause before the next one would be over by now.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(restarts(), before);
        // By hand it starts, and its policy with it.
        sandbox.ok(&["start", service]);
        wait_for(LONG, || (restarts() >= 1).then_some(())).expect("restarts");
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn stop_sends_the_signal_and_waits_as_long_as_asked() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  polite:
    image: host
    stop_signal: SIGUSR1
    command: [bash, -c, \"trap 'echo told to stop; exit 9' USR1; trap 'exit 1' TERM; echo ready; while :; do sleep 0.01; done\"]
  stubborn:
    image: host
    stop_grace_period: 200ms
    command: [bash, -c, \"trap '' TERM; echo ready; while :; do sleep 0.01; done\"]
",
    );
    sandbox.ok(&["up", "-d"]);
    wait_for(LONG, || {
        let logs = sandbox.ok(&["logs"]).stdout();
        (logs.matches("ready").count() == 2).then_some(())
    })
    .expect("both trap");
    sandbox.ok(&["stop"]);
    assert_eq!(inspect(&sandbox, "polite", ".State.ExitCode"), "9");
    assert_eq!(inspect(&sandbox, "stubborn", ".State.ExitCode"), "137");
    sandbox
        .ok(&["logs", "polite"])
        .expect_stdout(&["told to stop"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn init_reaps_what_others_leave() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  parent:
    image: host
    init: true
    # An orphan becomes the first process's child.
    command: [bash, -c, \"trap 'exit 0' TERM; bash -c 'sleep 0.05 &'; echo ready; sleep 1000 & wait\"]
",
    );
    sandbox.ok(&["up", "-d"]);
    // A process may be gone between the look into /proc and at it.
    let look = "cat /proc/[0-9]*/stat 2>/dev/null; true";
    let processes = || {
        sandbox
            .ok(&["exec", "-T", "parent", "bash", "-c", look])
            .stdout()
    };
    wait_for(LONG, || {
        let all = processes();
        (!all.contains("(sleep) Z") && all.matches("(sleep)").count() == 1).then_some(())
    })
    .expect("the orphan is gone");
    assert!(
        !processes().lines().any(|line| line.starts_with("1 (bash)")),
        "{}",
        processes()
    );
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn attributes_are_in_force_inside() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  look:
    image: host
    read_only: true
    user: \"1234:4321\"
    group_add: [\"77\"]
    hostname: shown
    domainname: example.test
    tmpfs: [\"/scratch:size=64k,mode=1777\"]
    sysctls: { net.core.somaxconn: 99 }
    ulimits: { nofile: { soft: 300, hard: 400 }, core: 0 }
    extra_hosts: { printer: 10.9.8.7 }
    pids_limit: 50
    shm_size: 1m
    cap_drop: [ALL]
    security_opt: [\"no-new-privileges:true\"]
    configs:
      - { source: text, target: /conf/text, mode: 0440, uid: \"1234\" }
      - { source: variable, target: /conf/variable }
      - { source: file, target: /conf/file }
    secrets: [from_env, from_file]
    command:
      - bash
      - -c
      - |
        (touch /forbidden) 2>/dev/null && echo root is writable
        touch /scratch/x && echo scratch works
        head -c 100000 /dev/zero > /scratch/big 2>/dev/null || echo scratch is small
        id; hostname; cat /proc/sys/net/core/somaxconn; ulimit -Sn; ulimit -Hn
        getent hosts printer; df -k /dev/shm | tail -1; grep -e CapEff -e NoNewPrivs /proc/self/status
        stat -c '%a %u' /conf/text; cat /conf/text /conf/variable /conf/file
        cat /run/secrets/from_env /run/secrets/from_file
configs:
  text: { content: \"a text\\n\" }
  variable: { environment: CONFIG }
  file: { file: ./file }
secrets:
  from_env: { environment: TOKEN }
  from_file: { file: ./file }
",
    );
    sandbox.write(".env", "TOKEN=the token\nCONFIG=the config\n");
    sandbox.write("file", "the file\n");
    let output = sandbox.ok(&["up", "--no-log-prefix"]).stdout();
    for expected in [
        "scratch works",
        "scratch is small",
        "uid=1234 gid=4321 groups=4321,77",
        "shown",
        "\n99\n300\n400\n",
        "10.9.8.7",
        " 1024 ",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "440 1234",
        "a text\nthe configthe file\n",
        "the tokenthe file\n",
    ] {
        assert!(output.contains(expected), "no {expected:?} in:\n{output}");
    }
    assert!(!output.contains("root is writable"));
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_limit_of_processes_holds_and_out_of_memory_is_said() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  many:
    image: host
    pids_limit: 10
    command: [bash, -c, \"for i in $$(seq 30); do sleep 5 & done 2>/dev/null; echo $$(jobs -p | wc -l) began\"]
  greedy:
    image: host
    mem_limit: 24m
    command: [tail, /dev/zero]
",
    );
    sandbox.ok(&["up", "-d"]);
    wait_until(&sandbox, "greedy", ".State.Status", "exited");
    assert_eq!(inspect(&sandbox, "greedy", ".State.OOMKilled"), "true");
    assert_eq!(inspect(&sandbox, "greedy", ".State.ExitCode"), "137");
    assert!(!sandbox.ok(&["logs", "many"]).stdout().contains("30 began"));
    sandbox.ok(&["down", "-t", "0"]);
    sandbox.finish();
}

#[test]
fn few_descriptors_are_enough_or_an_error_says_so() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  a: { image: host, command: [sleep, \"1000\"], stop_grace_period: 0s, ports: [\"127.0.0.1::80\"] }
  b: { image: host, command: [sleep, \"1000\"], stop_grace_period: 0s, healthcheck: { test: [CMD, \"true\"], interval: 50ms } }
  c: { image: host, command: [sleep, \"1000\"], stop_grace_period: 0s }
",
    );
    let with_descriptors = |most: u64, args: &[&str]| {
        let mut command = sandbox.command(args);
        // SAFETY: only a system call between fork and exec.
        unsafe {
            command.pre_exec(move || {
                let limit = rustix::process::Rlimit {
                    current: Some(most),
                    maximum: Some(most),
                };
                rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
                    .map_err(Into::into)
            })
        };
        command.output().expect("it starts")
    };
    for most in (6..60).step_by(3).chain([80]) {
        let output = with_descriptors(most, &["up", "-d", "--wait"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{most}: {stderr}");
        if output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(1), "{most}: {stderr}");
            assert!(stderr.contains("Too many open files"), "{most}: {stderr}");
            assert!(most < 80, "{stderr}");
        }
        sandbox.ok(&["down"]);
    }
    sandbox.ok(&["up", "-d", "--wait"]);
    assert_eq!(sandbox.ok(&["ps", "-q"]).stdout().lines().count(), 3);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_one_off_has_the_variables_of_flags_then_files() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:\n  web: {image: host, network_mode: none, command: env, environment: {X: file}}\n",
    );
    sandbox.write(".env", "FROM_PROJECT=p\n");
    sandbox.write("first", "A=${GIVEN}!\nX=\"two words\" # said\nGIVEN=lost\n");
    sandbox.write("second", "A=lost\nB=b\n");
    let files = ["--env-from-file", "first", "--env-from-file", "second"];
    let flags = ["-e", "GIVEN=g", "-e", "FROM_PROJECT"];
    let run = [&["run", "--rm"], &files[..], &flags, &["web"]].concat();
    let told = sandbox.ok(&run).stdout();
    for line in ["GIVEN=g", "A=g!", "B=b", "X=two words", "FROM_PROJECT=p"] {
        assert!(told.lines().any(|other| other == line), "{line}: {told}");
    }
    sandbox.write("first", "A=b\nA=${B\n");
    sandbox
        .run(&["run", "--rm", "--env-from-file", "first", "web"])
        .expect_code(1)
        .expect_stderr(&["first:2:1", "${B"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

//! What goes wrong, and what the user reads: every bad input gets its message and an
//! exit code of 1 or 2, nothing is lost, nothing is left behind.

mod support;

use std::time::Duration;

use support::{Sandbox, wait_for};

const SLEEPER: &str = "[bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]";

fn stack(services: &str) -> Sandbox {
    Sandbox::of_compose(services)
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_a_remedy() {
    let sandbox = stack("services:\n  web:\n    image: host\n    depend_on: [db]\n");
    sandbox.run(&["up", "-d"]).expect_code(1).expect_stderr(&[
        "compose.yaml",
        ":4:",
        "depend_on",
        "did you mean `depends_on`?",
    ]);
    assert!(sandbox.has_no_container());
}

#[test]
fn all_errors_of_a_file_come_at_once() {
    let sandbox = stack(
        "services:\n  web:\n    imagine: host\n    ports: [\"99999:80\"]\n  db:\n    image: 5\n    restrat: always\n",
    );
    sandbox
        .run(&["config"])
        .expect_code(1)
        .expect_stderr(&["imagine", "99999", "restrat"]);
}

#[test]
fn a_missing_image_is_named() {
    need_kernel!();
    let sandbox = stack("services:\n  web:\n    image: 127.0.0.1:9/nothing:1\n");
    let run = sandbox.run(&["up", "-d"]);
    assert!(matches!(run.code(), 1 | 18), "{}", run.code());
    run.expect_stderr(&["web", "127.0.0.1:9/nothing:1"]);
    sandbox.finish();
}

#[test]
fn a_missing_bind_source_is_named_and_not_made() {
    need_kernel!();
    let sandbox = stack(
        "services:\n  web:\n    image: host\n    command: [\"true\"]\n    volumes:\n      - type: bind\n        source: ./nowhere\n        target: /x\n",
    );
    sandbox
        .run(&["up", "-d"])
        .expect_code(1)
        .expect_stderr(&["web", "nowhere"]);
    assert!(!sandbox.project().join("nowhere").exists());
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn what_cannot_be_run_is_shown_where_it_is_written() {
    need_kernel!();
    for (attribute, place) in [
        ("user: nobody-here", "3:11"),
        ("group_add: [none-here]", "3:17"),
        ("command: no-such-program x", "3:5"),
        ("entrypoint: [/etc/passwd]", "3:5"),
        ("devices: [/dev/no-such]", "3:15"),
        ("volumes: [\"./compose.yaml:/usr/share\"]", "3:15"),
    ] {
        let text = format!("services:\n  web:\n    {attribute}\n    image: host\n");
        let sandbox = stack(&text);
        let path = attribute.split(':').next().expect("a name");
        let at = format!("= at: services.web.{path}");
        let up = sandbox.run(&["up", "-d"]);
        let written = format!("compose.yaml:{place}\n");
        up.expect_code(1)
            .expect_stderr(&["note: it is written here", &written, &at]);
        let run = sandbox.run(&["run", "--rm", "web"]);
        assert!(matches!(run.code(), 125..=127), "{}", run.code());
        run.expect_stderr(&["note: it is written here", &written, &at]);
        let one_offs = "label=com.docker.compose.oneoff=True";
        let left = sandbox.ok(&["container", "ls", "-aq", "--filter", one_offs]);
        assert_eq!(left.stdout(), "", "--rm is about this one too");
        sandbox.ok(&["down"]);
        sandbox.finish();
    }
    // What is wrong and written nowhere has no place.
    let sandbox = stack(
        "services:\n  job:\n    image: host\n    command: \"false\"\n  web:\n    image: host\n    \
         depends_on: {job: {condition: service_completed_successfully}}\n",
    );
    let up = sandbox.run(&["up", "-d"]);
    assert!(!up.expect_code(1).stderr().contains("written here"));
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_port_in_use_is_named_with_its_holder() {
    need_kernel!();
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("address").port();
    let sandbox = stack(&format!(
        "services:\n  web:\n    image: host\n    command: {SLEEPER}\n    ports: [\"127.0.0.1:{port}:80\"]\n"
    ));
    sandbox.run(&["up", "-d"]).expect_code(1).expect_stderr(&[
        "web",
        &port.to_string(),
        "taken by process",
        "compose.yaml:5:13",
        "= at: services.web.ports[0]",
    ]);
    drop(held);
    // The same command succeeds once the port is free.
    sandbox.ok(&["up", "-d"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_dependency_that_never_gets_healthy_is_explained() {
    need_kernel!();
    let sandbox = stack(&format!(
        "services:
  db:
    image: host
    command: [bash, -c, \"echo database says hello; trap 'exit 0' TERM; sleep 1000 & wait\"]
    healthcheck:
      test: [CMD-SHELL, \"echo the probe is sad; exit 3\"]
      interval: 50ms
      retries: 2
  web:
    image: host
    command: {SLEEPER}
    depends_on:
      db: {{ condition: service_healthy }}
"
    ));
    sandbox.run(&["up", "-d"]).expect_code(1).expect_stderr(&[
        "db",
        "unhealthy",
        "the probe is sad",
        "database says hello",
        "web",
    ]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_failed_job_stops_what_waits_for_it() {
    need_kernel!();
    let sandbox = stack(&format!(
        "services:
  migrate:
    image: host
    command: [bash, -c, \"echo table is missing >&2; exit 7\"]
  web:
    image: host
    command: {SLEEPER}
    depends_on:
      migrate: {{ condition: service_completed_successfully }}
"
    ));
    sandbox.run(&["up", "-d"]).expect_code(1).expect_stderr(&[
        "migrate",
        "7",
        "table is missing",
        "web",
    ]);
    let names = sandbox.ok(&["ps", "--format", "json"]).stdout();
    assert!(!names.contains("\"web\""), "{names}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn two_ups_at_once_both_succeed() {
    need_kernel!();
    let sandbox = stack(&format!(
        "services:\n  a:\n    image: host\n    command: {SLEEPER}\n  b:\n    image: host\n    command: {SLEEPER}\n"
    ));
    let first = sandbox.spawn(&["up", "-d"]);
    let second = sandbox.spawn(&["up", "-d"]);
    for child in [first, second] {
        let output = child.wait_with_output().expect("up ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(sandbox.ok(&["ps", "-q"]).stdout().lines().count(), 2);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_killed_supervisor_is_replaced_and_nothing_is_lost() {
    need_kernel!();
    let sandbox = stack(
        "services:\n  job:\n    image: host\n    command: [bash, -c, \"echo before; while [ ! -e /go/now ]; do sleep 0.05; done; echo after; exit 9\"]\n    volumes: [\"./go:/go\"]\n",
    );
    sandbox.write("go/empty", "");
    sandbox.ok(&["up", "-d"]);
    let supervisors = support::supervisors(&sandbox);
    assert_eq!(supervisors.len(), 1, "{supervisors:?}");
    support::kill_9(&supervisors);

    // The next command sees a running container and replaces its supervisor.
    assert_eq!(sandbox.ok(&["ps", "-q"]).stdout().lines().count(), 1);
    sandbox.write("go/now", "");
    let code = sandbox.run(&["wait", "job"]);
    assert_eq!(code.code(), 9, "{}{}", code.stdout(), code.stderr());
    let logs = wait_for(Duration::from_secs(5), || {
        let logs = sandbox.ok(&["logs", "--no-log-prefix", "job"]).stdout();
        logs.contains("after").then_some(logs)
    });
    assert_eq!(logs.as_deref(), Some("before\nafter\n"));
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn the_exit_code_survives_a_supervisor_killed_before_the_end() {
    need_kernel!();
    let sandbox = stack(
        "services:\n  job:\n    image: host\n    command: [bash, -c, \"while [ ! -e /go/now ]; do sleep 0.05; done; exit 9\"]\n    volumes: [\"./go:/go\"]\n",
    );
    sandbox.write("go/empty", "");
    sandbox.ok(&["up", "-d"]);
    support::kill_9(&support::supervisors(&sandbox));
    // It ends while nobody supervises it.
    sandbox.write("go/now", "");
    std::thread::sleep(Duration::from_millis(500));
    sandbox
        .ok(&["ps", "-a", "--format", "json"])
        .expect_stdout(&["\"ExitCode\":9"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_container_lives_on_without_supervisor_and_keeper() {
    need_kernel!();
    let sandbox = stack(
        "services:\n  job:\n    image: host\n    command: [bash, -c, \"trap 'exit 0' TERM; echo before; while [ ! -e /go/now ]; do sleep 0.05; done; echo after; sleep 1000 & wait\"]\n    volumes: [\"./go:/go\"]\n",
    );
    sandbox.write("go/empty", "");
    sandbox.ok(&["up", "-d"]);
    let mut both = support::supervisors(&sandbox);
    let keepers = support::children(&both);
    assert_eq!((both.len(), keepers.len()), (1, 1));
    both.extend(keepers);
    support::kill_9(&both);

    sandbox.ok(&["exec", "-T", "job", "true"]);
    sandbox.write("go/now", "");
    let logs = wait_for(Duration::from_secs(5), || {
        let logs = sandbox.ok(&["logs", "--no-log-prefix", "job"]).stdout();
        logs.contains("after").then_some(logs)
    });
    assert_eq!(logs.as_deref(), Some("before\nafter\n"));
    sandbox.ok(&["stop"]);
    sandbox
        .ok(&["ps", "-a", "--format", "json"])
        .expect_stdout(&["\"State\":\"exited\""]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_down_is_not_kept_waiting_by_an_up_that_waits() {
    need_kernel!();
    let sandbox = stack(
        "services:\n  db:\n    image: host\n    command: [sleep, \"1000\"]\n    stop_grace_period: 0s\n    healthcheck: { test: [CMD, \"false\"], interval: 50ms, start_period: 1h }\n  web:\n    image: host\n    command: [sleep, \"1000\"]\n    depends_on: { db: { condition: service_healthy } }\n",
    );
    let up = sandbox.spawn(&["up", "-d"]);
    let waits = wait_for(Duration::from_secs(10), || {
        let running = sandbox.ok(&["ps", "--status", "running", "-q"]).stdout();
        (running.lines().count() == 1).then_some(())
    });
    assert!(waits.is_some(), "db runs");
    sandbox.ok(&["down"]);
    let output = up.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("db") && text.contains("web"), "{text}");
    assert_eq!(sandbox.ok(&["ps", "-aq"]).stdout(), "");
    sandbox.finish();
}

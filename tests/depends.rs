//! Services that wait for each other, and what is said when the wait is in vain.

mod support;

use std::time::Duration;

use support::{Sandbox, wait_for};

const SLEEP: &str = "command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]";
const LONG: Duration = Duration::from_secs(20);

/// When the container of a service was started.
fn started(sandbox: &Sandbox, service: &str) -> String {
    let id = sandbox.ok(&["ps", "-aq", service]).stdout();
    let args = [
        "container",
        "inspect",
        "-f",
        "{{.State.StartedAt}}",
        id.trim(),
    ];
    sandbox.ok(&args).stdout()
}

/// A project whose `up` fails and says these things.
#[track_caller]
fn fails(compose: &str, args: &[&str], said: &[&str]) {
    let sandbox = Sandbox::of_compose(compose);
    sandbox.run(args).expect_code(1).expect_stderr(said);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_restart_reaches_those_who_asked_for_it() {
    need_kernel!();
    let file = |greeting: &str| {
        format!(
            "services:
  db:
    image: host
    environment: {{ GREETING: {greeting} }}
    {SLEEP}
  follows:
    image: host
    {SLEEP}
    depends_on:
      db: {{ condition: service_started, restart: true }}
  stays:
    image: host
    {SLEEP}
    depends_on: [db]
"
        )
    };
    let sandbox = Sandbox::of_compose(&file("one"));
    sandbox.ok(&["up", "-d"]);
    let (follows, stays) = (started(&sandbox, "follows"), started(&sandbox, "stays"));
    sandbox.ok(&["restart", "db"]);
    assert_ne!(started(&sandbox, "follows"), follows);
    assert_eq!(started(&sandbox, "stays"), stays);
    // The same when the dependency is made anew.
    let follows = started(&sandbox, "follows");
    sandbox.write("compose.yaml", &file("two"));
    sandbox.ok(&["up", "-d"]);
    assert_ne!(started(&sandbox, "follows"), follows);
    assert_eq!(started(&sandbox, "stays"), stays);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn what_is_not_required_may_fail() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  cache:
    image: host
    command: [bash, -c, \"exit 3\"]
  web:
    image: host
    {SLEEP}
    depends_on:
      cache: {{ condition: service_completed_successfully, required: false }}
"
    ));
    let run = sandbox.ok(&["up", "-d"]);
    run.expect_stderr(&["cache"]);
    assert_eq!(sandbox.ok(&["ps", "-q", "web"]).stdout().lines().count(), 1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_failure_says_how_it_ended_what_it_said_and_who_waited() {
    need_kernel!();
    let waiting = "image: host
    command: [\"true\"]
    depends_on:
      job: { condition: service_completed_successfully }";
    for (job, pieces) in [
        (
            "command: [bash, -c, \"echo the last word >&2; exit 7\"]",
            &["7", "the last word"][..],
        ),
        (
            "init: true\n    command: [bash, -c, \"echo before the end; kill -9 $$$$\"]",
            &["137", "SIGKILL", "before the end"],
        ),
        (
            "init: true\n    command: [bash, -c, \"echo aborting; kill -ABRT $$$$\"]",
            &["134", "SIGABRT", "aborting"],
        ),
        (
            "mem_limit: 24m\n    command: [bash, -c, \"echo eating; exec tail /dev/zero\"]",
            &["137", "memory", "eating"],
        ),
    ] {
        let compose = format!(
            "services:\n  job:\n    image: host\n    {job}\n  first:\n    {waiting}\n  second:\n    {waiting}\n"
        );
        let all: Vec<&str> = ["`job`", "first", "second"]
            .iter()
            .chain(pieces)
            .copied()
            .collect();
        fails(&compose, &["up", "-d"], &all);
    }
}

#[test]
fn a_dependency_that_ends_before_it_is_healthy_is_told_at_once() {
    need_kernel!();
    let compose = format!(
        "services:
  db:
    image: host
    command: [bash, -c, \"echo cannot open the data; exit 5\"]
    healthcheck: {{ test: [CMD, \"false\"], interval: 1h, retries: 100 }}
  web:
    image: host
    {SLEEP}
    depends_on:
      db: {{ condition: service_healthy }}
"
    );
    let said = ["`db`", "5", "cannot open the data", "web"];
    fails(&compose, &["up", "-d"], &said);
}

#[test]
fn probes_that_hang_or_cannot_run_are_shown() {
    need_kernel!();
    for (test, piece) in [
        ("[CMD, sleep, \"1000\"]", "exceeded timeout"),
        ("[CMD, nosuchprobe]", "nosuchprobe"),
    ] {
        let compose = format!(
            "services:
  db:
    image: host
    {SLEEP}
    healthcheck: {{ test: {test}, interval: 50ms, timeout: 100ms, retries: 2 }}
  web:
    image: host
    {SLEEP}
    depends_on:
      db: {{ condition: service_healthy }}
"
        );
        let said = ["`db`", "unhealthy", piece, "web"];
        fails(&compose, &["up", "-d"], &said);
    }
}

#[test]
fn waiting_ends_when_the_time_is_over() {
    need_kernel!();
    let compose = format!(
        "services:
  slow:
    image: host
    {SLEEP}
    healthcheck: {{ test: [CMD, \"false\"], interval: 1h, start_period: 1h }}
"
    );
    let wait = ["up", "-d", "--wait", "--wait-timeout", "1"];
    fails(&compose, &wait, &["slow"]);
}

#[test]
fn an_unhealthy_service_becomes_healthy_and_releases_who_waits() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  db:
    image: host
    {SLEEP}
    volumes: [\"./go:/go\"]
    healthcheck: {{ test: [CMD, test, \"-e\", /go/now], interval: 50ms, retries: 1000 }}
  web:
    image: host
    {SLEEP}
    depends_on:
      db: {{ condition: service_healthy }}
"
    ));
    sandbox.write("go/empty", "");
    let mut up = sandbox.spawn(&["up", "-d"]);
    wait_for(LONG, || {
        let ps = sandbox.ok(&["ps", "--format", "json", "db"]).stdout();
        ps.contains("starting").then_some(())
    })
    .expect("db runs");
    assert_eq!(sandbox.ok(&["ps", "-q", "web"]).stdout(), "");
    sandbox.write("go/now", "");
    let ended = wait_for(LONG, || up.try_wait().expect("wait"));
    let _ = up.kill();
    assert!(ended.is_some_and(|status| status.success()));
    assert_eq!(sandbox.ok(&["ps", "-q", "web"]).stdout().lines().count(), 1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

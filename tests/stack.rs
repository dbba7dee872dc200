//! What users rely on in a running stack, seen from inside the containers.

mod support;

use std::time::Duration;

use support::{Sandbox, wait_for};

const SLEEP: &str = "command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]";

#[test]
fn services_find_each_other_by_name_alias_and_replica() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:
  one:
    image: host
    {SLEEP}
  two:
    image: host
    {SLEEP}
    scale: 3
    networks:
      default: {{ aliases: [zwei] }}
  alone:
    image: host
    {SLEEP}
    networks: [other]
networks:
  other:
"
    ));
    sandbox.ok(&["up", "-d"]);
    let ask = |name: &str| {
        sandbox
            .run(&["exec", "-T", "one", "getent", "ahostsv4", name])
            .stdout()
    };
    let addresses = |text: &str| {
        let mut found: Vec<String> = text
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        found.sort();
        found.dedup();
        found
    };
    assert_eq!(addresses(&ask("two")).len(), 3, "{}", ask("two"));
    assert_eq!(addresses(&ask("zwei")), addresses(&ask("two")));
    assert_eq!(addresses(&ask("one")).len(), 1);
    // Another network's members cannot be found.
    assert_eq!(ask("alone"), "");
    // Round-robin: within some questions, more than one address comes first.
    let mut firsts = std::collections::BTreeSet::new();
    for _ in 0..40 {
        firsts.extend(ask("two").split_whitespace().next().map(str::to_owned));
    }
    assert!(firsts.len() > 1, "{firsts:?}");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn environment_files_secrets_and_configs_arrive() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  show:
    image: host
    command: [bash, -c, \"echo $$A-$$B-$$C; cat /run/secrets/token /etc/thing.conf; id -u; pwd; hostname; ulimit -n\"]
    environment: { A: \"${FROM_ENV}\", B: given }
    env_file: [vars.env]
    secrets: [token]
    configs: [{ source: thing, target: /etc/thing.conf }]
    user: \"1234\"
    working_dir: /somewhere
    hostname: shown
    ulimits: { nofile: 512 }
secrets:
  token: { file: ./token }
configs:
  thing: { content: \"config text\\n\" }
",
    );
    sandbox.write(".env", "FROM_ENV=dotenv\n");
    sandbox.write("vars.env", "B=hidden\nC=file\n");
    sandbox.write("token", "secret text\n");
    sandbox.ok(&["up"]).expect_stdout(&[
        "dotenv-given-file",
        "secret text",
        "config text",
        "1234",
        "/somewhere",
        "shown",
        "512",
    ]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_change_recreates_only_what_changed() {
    need_kernel!();
    let file = |greeting: &str| {
        format!(
            "services:
  a:
    image: host
    {SLEEP}
  b:
    image: host
    {SLEEP}
    environment: {{ GREETING: {greeting} }}
    volumes: [/keep]
"
        )
    };
    let sandbox = Sandbox::of_compose(&file("hello"));
    sandbox.ok(&["up", "-d"]);
    let id = |service: &str| sandbox.ok(&["ps", "-q", service]).stdout();
    let (a, b) = (id("a"), id("b"));
    sandbox.ok(&["exec", "-T", "b", "touch", "/keep/me"]);
    sandbox.ok(&["up", "-d"]);
    assert_eq!((id("a"), id("b")), (a.clone(), b.clone()));
    sandbox.write("compose.yaml", &file("goodbye"));
    sandbox.ok(&["up", "-d", "--dry-run"]).expect_code(0);
    sandbox.ok(&["up", "-d"]);
    assert_eq!(id("a"), a);
    assert_ne!(id("b"), b);
    // The anonymous volume came along.
    sandbox.ok(&["exec", "-T", "b", "test", "-e", "/keep/me"]);
    sandbox.ok(&["down", "-v"]);
    sandbox.finish();
}

#[test]
fn a_service_restarts_by_its_policy_and_stays_stopped_by_hand() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  flaky:
    image: host
    command: [bash, -c, \"echo life; sleep 0.05; exit 1\"]
    restart: on-failure:2
  steady:
    image: host
    command: [bash, -c, \"echo alive; trap 'exit 0' TERM; sleep 1000 & wait\"]
    restart: always
",
    );
    sandbox.ok(&["up", "-d"]);
    wait_for(Duration::from_secs(10), || {
        let logs = sandbox.ok(&["logs", "--no-log-prefix", "flaky"]).stdout();
        (logs == "life\nlife\nlife\n").then_some(())
    })
    .expect("two restarts");
    wait_for(Duration::from_secs(10), || {
        let all = sandbox
            .ok(&["ps", "-a", "--format", "json", "flaky"])
            .stdout();
        all.contains("\"exited\"").then_some(())
    })
    .expect("it gave up");
    sandbox.ok(&["stop", "steady"]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(sandbox.ok(&["ps", "-q", "steady"]).stdout(), "");
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn run_and_exec_pass_the_exit_code_and_streams() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(&format!(
        "services:\n  one:\n    image: host\n    {SLEEP}\n"
    ));
    sandbox.ok(&["up", "-d"]);
    let run = sandbox.run(&[
        "exec",
        "-T",
        "one",
        "bash",
        "-c",
        "echo out; echo err >&2; exit 42",
    ]);
    assert_eq!((run.code(), run.stdout().as_str()), (42, "out\n"));
    assert!(run.stderr().contains("err"));
    let run = sandbox.run(&[
        "run",
        "--rm",
        "-T",
        "one",
        "bash",
        "-c",
        "echo once; exit 43",
    ]);
    assert_eq!((run.code(), run.stdout().as_str()), (43, "once\n"));
    assert_eq!(
        sandbox
            .run(&["exec", "-T", "one", "/no/such/program"])
            .code(),
        127
    );
    sandbox.ok(&["down"]);
    assert_eq!(sandbox.ok(&["container", "ls", "-aq"]).stdout(), "");
    sandbox.finish();
}

#[test]
fn limits_are_in_force() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:
  greedy:
    image: host
    mem_limit: 32m
    command: [bash, -c, \"x=$$(head -c 200000000 /dev/zero | tr '\\\\0' x); echo survived\"]
",
    );
    let run = sandbox.run(&["up", "--abort-on-container-exit"]);
    assert_ne!(run.code(), 0);
    assert!(!run.stdout().contains("survived"));
    sandbox.ok(&["ps", "-a"]).expect_stdout(&["137"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

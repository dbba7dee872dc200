//! Ends, probes, tables and events.

use super::*;

#[test]
fn a_program_that_must_be_killed_can_be_restarted() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none"]);
    for timeout in ["0", "1"] {
        sandbox.ok(&["container", "restart", "-t", timeout, "web"]);
        assert_eq!(
            inspect(&sandbox, "web", "{{.State.Status}}{{.State.Error}}"),
            "running"
        );
    }
    assert_eq!(inspect(&sandbox, "web", "{{.RestartCount}}"), "0");
    sandbox.inside("web", "true");
    sandbox.finish();
}

#[test]
fn a_probe_that_takes_too_long_ends_with_what_it_started() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let probe = [
        "--network",
        "none",
        "--health-cmd",
        "sleep 1000; true",
        "--health-timeout",
        "200ms",
        "--health-interval",
        "300ms",
        "--health-retries",
        "1",
    ];
    sandbox.start_sleeper("probed", &probe);
    let unhealthy = || {
        let health = inspect(&sandbox, "probed", "{{.State.Health.Status}}");
        (health == "unhealthy").then_some(())
    };
    wait_for(Duration::from_secs(20), unhealthy).expect("unhealthy");
    // The next probe may be under way: one, and not one for each that has been.
    wait_for(Duration::from_secs(10), || {
        let failures = inspect(&sandbox, "probed", "{{.State.Health.FailingStreak}}");
        (failures.parse::<u32>().unwrap_or(0) >= 3).then_some(())
    })
    .expect("several probes");
    let processes = sandbox.ok(&["container", "top", "probed"]).stdout();
    assert!(processes.matches("sleep 1000").count() <= 2, "{processes}");
    sandbox.finish();
}

#[test]
fn stats_and_lists_show_what_docker_shows() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper(
        "web",
        &["--network", "none", "--memory", "64m", "-l", "tier=front"],
    );
    sandbox.ok(&[
        "container",
        "create",
        "--name",
        "idle",
        "--network",
        "none",
        "host",
        "true",
    ]);
    let stats = sandbox.ok(&["container", "stats", "--no-stream"]).stdout();
    assert!(
        stats.starts_with("CONTAINER ID   NAME      CPU %"),
        "{stats}"
    );
    assert!(
        stats.contains("/ 64MiB") && !stats.contains("idle"),
        "{stats}"
    );
    let pids = sandbox
        .ok(&[
            "container",
            "stats",
            "--no-stream",
            "-a",
            "--format",
            "{{.Name}} {{.PIDs}}",
        ])
        .stdout();
    assert_eq!(pids, "idle 0\nweb 1\n");
    sandbox
        .run(&["container", "stats", "--no-stream", "nobody"])
        .expect_code(1);
    sandbox.ok(&["system", "df", "-v"]).expect_stdout(&[
        "Images space usage:",
        "LOCAL VOLUMES",
        "idle",
        "VOLUME NAME",
    ]);
    for (filter, expected) in [
        ("status=running", "web\n"),
        ("status=created", "idle\n"),
        ("label=tier", "web\n"),
        ("label=tier=back", ""),
        ("since=web", "idle\n"),
        ("before=idle", "web\n"),
        ("volume=data", ""),
        ("is-task=true", ""),
    ] {
        let args = [
            "container",
            "ls",
            "-a",
            "--format",
            "{{.Names}}",
            "--filter",
        ];
        let args: Vec<&str> = args.into_iter().chain([filter]).collect();
        assert_eq!(sandbox.ok(&args).stdout(), expected, "{filter}");
    }
    sandbox
        .run(&["container", "ls", "--filter", "status=odd"])
        .expect_code(2)
        .expect_stderr(&["status=odd", "running"]);
    sandbox
        .ok(&["container", "prune", "-f", "--filter", "label=tier"])
        .expect_stdout(&["Total reclaimed space: 0B"]);
    sandbox.ok(&["container", "inspect", "idle"]);
    sandbox
        .ok(&["container", "prune", "-f", "--filter", "label!=tier"])
        .expect_stdout(&["Deleted Containers:"]);
    sandbox
        .run(&["container", "inspect", "idle"])
        .expect_code(1);
    if support::find_program("ps").is_some() {
        let top = sandbox
            .ok(&["container", "top", "web", "-eo", "pid,args"])
            .stdout();
        assert!(top.contains("PID") && top.contains("sleep 1000"), "{top}");
        assert_eq!(top.lines().count(), 2, "{top}");
    }
    sandbox.finish();
}

#[test]
fn events_come_in_dockers_order() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.ok(&["network", "create", "back"]);
    sandbox.start_sleeper("web", &["--network", "back", "-v", "data:/data", "--init"]);
    sandbox.inside("web", "exit 0");
    sandbox.ok(&["container", "restart", "web"]);
    sandbox.ok(&["container", "kill", "web"]);
    sandbox.ok(&["container", "wait", "web"]);
    sandbox.ok(&["container", "rm", "web"]);
    let format = "{{.Type}} {{.Action}}";
    let told = [
        "system", "events", "--since", "1h", "--until", "0s", "--format", format,
    ];
    let told = sandbox.ok(&told).stdout();
    let started = ["volume mount", "network connect", "container start"];
    let ended = ["container die", "network disconnect", "volume unmount"];
    let expected: Vec<&str> = [
        &["network create", "volume create", "container create"][..],
        &started,
        &[
            "container exec_create: sh -c exit 0",
            "container exec_start: sh -c exit 0",
            "container exec_die",
            "container kill",
        ],
        &ended,
        &["container stop"],
        &started,
        &["container restart", "container kill"],
        &ended,
        &["container destroy"],
    ]
    .concat();
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    sandbox.finish();
}

#[test]
fn a_process_that_was_left_keeps_its_terminal_and_tells_of_its_end() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &[]);
    // Without its terminal it would be hung up before it gets to 7.
    let script = "test -t 0 || exit 1; seq 100000; sleep 0.2; exit 7";
    sandbox.ok(&["container", "exec", "-dt", "web", "sh", "-c", script]);
    let told = [
        "system",
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "event=exec_die",
        "--format",
        "{{.Actor.Attributes.exitCode}}",
    ];
    let told = wait_for(Duration::from_secs(10), || {
        Some(sandbox.ok(&told).stdout()).filter(|told| !told.is_empty())
    });
    assert_eq!(told.as_deref(), Some("7\n"));
    sandbox.ok(&["container", "rm", "-f", "web"]);
    sandbox.finish();
}

#[test]
fn a_run_tells_that_it_is_attached() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox
        .run_in_new(&["--network", "none"], &["true"])
        .expect_code(0);
    let format = "{{.Action}}";
    let told = [
        "system", "events", "--since", "1h", "--until", "0s", "--format", format,
    ];
    let told = sandbox.ok(&told).stdout();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told, ["create", "attach", "start", "die", "destroy"]);
    sandbox.finish();
}

#[test]
fn events_are_told_with_filters() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none", "-l", "tier=front"]);
    sandbox.ok(&["container", "update", "--pids-limit", "50", "web"]);
    sandbox.ok(&["volume", "create", "data"]);
    sandbox.ok(&["container", "rm", "-f", "web"]);
    let told = |filter: &[&str]| {
        let mut args = vec![
            "system", "events", "--since", "1h", "--until", "0s", "--format",
        ];
        args.push("{{.Type}} {{.Action}}");
        for text in filter {
            args.extend(["--filter", text]);
        }
        let text = sandbox.ok(&args).stdout();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let of_web = told(&["container=web"]);
    assert_eq!(of_web.first().map(String::as_str), Some("container create"));
    assert!(
        of_web.contains(&"container update".to_owned()),
        "{of_web:?}"
    );
    assert_eq!(
        of_web.last().map(String::as_str),
        Some("container destroy"),
        "{of_web:?}"
    );
    assert_eq!(told(&["type=volume"]), ["volume create"]);
    assert_eq!(
        told(&["label=tier=front", "event=start"]),
        ["container start"]
    );
    assert_eq!(told(&["image=nothing"]), Vec::<String>::new());
    sandbox
        .ok(&[
            "system",
            "events",
            "--since",
            "1h",
            "--until",
            "0s",
            "-f",
            "event=die",
            "--format",
            "json",
        ])
        .expect_stdout(&["\"exitCode\":\"137\"", "\"Actor\":{\"ID\":"]);
    let template = "{{.Status}} {{.From}} {{.Scope}} {{len .ID}} {{.Actor.Attributes.exitCode}} {{.Actor.ID | eq .ID}}";
    let died = ["--since", "1h", "--until", "0s", "-f", "event=die"];
    sandbox
        .ok(&[&["system", "events", "--format", template], &died[..]].concat())
        .expect_stdout(&["die host local 64 137 true"]);
    sandbox
        .run(&["system", "events", "--filter", "colour=red"])
        .expect_code(2)
        .expect_stderr(&["colour"]);
    sandbox.finish();
}

#[test]
fn who_is_paused_is_not_paused_again() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper("web", &["--network", "none", "--log-driver", "local"]);
    let say = |verb: &str| sandbox.run(&["container", verb, "web"]);
    say("unpause").expect_code(1).expect_stderr(&["not paused"]);
    say("pause").expect_code(0);
    say("pause")
        .expect_code(1)
        .expect_stderr(&["paused already"]);
    say("unpause").expect_code(0);
    sandbox.ok(&["container", "rm", "-f", "web"]);
    sandbox.finish();
}

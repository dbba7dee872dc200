//! Verbs of `container` on real containers: limits, files, images, tables, events.

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use support::{Sandbox, wait_for};

const LONG: Duration = Duration::from_secs(20);

fn run(sandbox: &Sandbox, name: &str, flags: &[&str]) {
    let mut args = vec!["container", "run", "-d", "--name", name];
    args.extend(flags);
    args.extend(["host", "sleep", "1000"]);
    sandbox.ok(&args);
}

fn exec(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let args = ["container", "exec", name, "bash", "-c", script];
    sandbox.ok(&args).stdout()
}

fn inspect(sandbox: &Sandbox, name: &str, template: &str) -> String {
    let args = ["container", "inspect", "-f", template, name];
    sandbox.ok(&args).stdout().trim().to_owned()
}

/// The text of a file of the container's cgroup, of either version.
fn limit(sandbox: &Sandbox, name: &str, files: [&str; 2]) -> Option<String> {
    let cgroup = inspect(sandbox, name, "{{.HostConfig.Cgroup}}");
    let [v1, v2] = files;
    let (controller, file) = v1.split_once('/').expect("controller/file");
    let candidates = [
        format!("/sys/fs/cgroup/{controller}/{cgroup}/{file}"),
        format!("/sys/fs/cgroup/{cgroup}/{v2}"),
    ];
    let found = candidates
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    found.map(|text| text.trim().to_owned())
}

#[test]
fn update_changes_a_running_container_and_keeps_the_rest() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        "web",
        &["--cpus", "1", "--memory", "64m", "--network", "none"],
    );
    sandbox
        .ok(&[
            "container",
            "update",
            "--memory",
            "32m",
            "--memory-swap",
            "64m",
            "--pids-limit",
            "40",
            "--restart",
            "on-failure:3",
            "web",
        ])
        .expect_stdout(&["web"]);
    let memory = ["memory/memory.limit_in_bytes", "memory.max"];
    assert_eq!(limit(&sandbox, "web", memory).as_deref(), Some("33554432"));
    assert_eq!(
        limit(&sandbox, "web", ["pids/pids.max", "pids.max"]).as_deref(),
        Some("40")
    );
    let config =
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(
        inspect(&sandbox, "web", config),
        "33554432 1000000000 on-failure"
    );
    // The policy is the new one at once.
    let pid = inspect(&sandbox, "web", "{{.State.Pid}}")
        .parse()
        .expect("a pid");
    support::kill_9(&[pid]);
    wait_for(LONG, || {
        (inspect(&sandbox, "web", "{{.RestartCount}}") == "1").then_some(())
    })
    .expect("started again");
    sandbox.ok(&[
        "container",
        "update",
        "--pids-limit",
        "-1",
        "--restart",
        "no",
        "web",
    ]);
    assert_eq!(
        limit(&sandbox, "web", ["pids/pids.max", "pids.max"]).as_deref(),
        Some("max")
    );
    for (flags, reason) in [
        (&["--memory", "1g"][..], "memory"),
        (&["--memory", "1m"][..], "6 MiB"),
        (&["--cpus", "1", "--cpu-quota", "5000"][..], "choose one"),
        (&["--cpus", "99999"][..], "0.01 to"),
    ] {
        let mut args = vec!["container", "update"];
        args.extend(flags);
        args.push("web");
        sandbox.run(&args).expect_code(1).expect_stderr(&[reason]);
    }
    assert_eq!(inspect(&sandbox, "web", config), "33554432 1000000000 no");
    sandbox.run(&["container", "update", "web"]).expect_code(2);
    sandbox.finish();
}

#[test]
fn a_program_that_must_be_killed_can_be_restarted() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(&sandbox, "web", &["--network", "none"]);
    for timeout in ["0", "1"] {
        sandbox.ok(&["container", "restart", "-t", timeout, "web"]);
        assert_eq!(
            inspect(&sandbox, "web", "{{.State.Status}}{{.State.Error}}"),
            "running"
        );
    }
    exec(&sandbox, "web", "true");
    sandbox.finish();
}

#[test]
fn namespaces_and_memory_mounts_are_as_asked() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let once = |flags: &[&str], script: &str| {
        let mut args = vec!["container", "run", "--rm", "--network", "none"];
        args.extend(flags);
        args.extend(["host", "bash", "-c", script]);
        sandbox.run(&args)
    };
    let names = once(
        &["--uts", "host"],
        "cat /proc/sys/kernel/hostname; echo $HOSTNAME",
    )
    .expect_code(0);
    assert_eq!(names.stdout(), machine.repeat(2));
    once(&["--uts", "host", "--hostname", "other"], "true")
        .expect_code(125)
        .expect_stderr(&["host name", "UTS"]);
    let options = "/t:size=1m,nr_inodes=100,noatime,mode=750,uid=3";
    once(
        &["--tmpfs", options],
        "grep ' /t ' /proc/mounts; stat -c %u:%a /t",
    )
    .expect_code(0)
    .expect_stdout(&["noatime", "nosuid", "size=1024k", "nr_inodes=100", "3:750"]);
    once(&["--tmpfs", "/t:colour=red"], "true")
        .expect_code(125)
        .expect_stderr(&["colour"]);
    sandbox.finish();
}

#[test]
fn diff_and_commit_tell_what_was_changed_and_keep_it() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        "web",
        &["--network", "none", "-e", "A=1", "-v", "data:/data"],
    );
    exec(
        &sandbox,
        "web",
        "echo new > /new; rm -r /usr/share/doc; mkdir /usr/share/doc; echo >> /etc/passwd; echo x > /data/x",
    );
    let diff = sandbox.ok(&["container", "diff", "web"]).stdout();
    let lines: Vec<&str> = diff.lines().collect();
    for line in [
        "A /new",
        "C /etc",
        "C /etc/passwd",
        "C /usr",
        "C /usr/share",
        "C /usr/share/doc",
    ] {
        assert!(lines.contains(&line), "no `{line}` in:\n{diff}");
    }
    // The directory was made anew: what it had is gone.
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("D /usr/share/doc/")),
        "{diff}"
    );
    for absent in ["/data", "/etc/hosts", "/proc", "/dev"] {
        assert!(
            !lines.iter().any(|line| line.ends_with(absent)),
            "{absent} in:\n{diff}"
        );
    }
    let id = sandbox
        .ok(&[
            "container",
            "commit",
            "-a",
            "me",
            "-m",
            "why",
            "-c",
            "CMD [\"cat\", \"/new\"]",
            "-c",
            "ENV B=2",
            "web",
            "shop:1",
        ])
        .stdout();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(inspect(&sandbox, "web", "{{.State.Status}}"), "running");
    sandbox
        .ok(&["container", "run", "--rm", "--network", "none", "shop:1"])
        .expect_stdout(&["new"]);
    let script = "ls /usr/share/doc | wc -l; echo $A$B; ls -d /data 2>/dev/null; true";
    let seen = sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "shop:1",
            "bash",
            "-c",
            script,
        ])
        .stdout();
    assert_eq!(seen, "0\n12\n");
    sandbox
        .ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Author}} {{.Config.Cmd}} {{.Id}}",
            "shop:1",
        ])
        .expect_stdout(&["me [cat /new]", id.trim()]);
    sandbox
        .ok(&["image", "history", "shop:1"])
        .expect_stdout(&["why"]);
    sandbox
        .run(&["container", "commit", "-c", "RUN rm -rf /", "web"])
        .expect_code(1)
        .expect_stderr(&["RUN rm -rf /", "CMD, ENTRYPOINT"]);
    sandbox.ok(&["image", "rm", "-f", "shop:1"]);
    sandbox.finish();
}

#[test]
fn export_writes_the_root_without_its_mounts() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("context/f", "file");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY f /dir/f\n");
    sandbox.ok(&["image", "build", "-q", "-t", "small", "context"]);
    sandbox.ok(&[
        "container",
        "create",
        "--name",
        "small",
        "-v",
        "data:/data",
        "small",
        "/none",
    ]);
    sandbox.ok(&["container", "cp", "context/f", "small:/data/in-volume"]);
    sandbox.ok(&["container", "export", "-o", "out.tar", "small"]);
    let file = fs::File::open(sandbox.project().join("out.tar")).expect("written");
    let mut names: Vec<String> = tar::Archive::new(file)
        .entries()
        .expect("a tar")
        .map(|entry| {
            entry
                .expect("whole")
                .path()
                .expect("a path")
                .display()
                .to_string()
        })
        .collect();
    names.retain(|name| !name.starts_with("data"));
    names.sort();
    assert_eq!(names, ["dir/", "dir/f"]);
    sandbox
        .run(&["container", "export", "nobody"])
        .expect_code(1);
    sandbox.ok(&["container", "rm", "small"]);
    sandbox.ok(&["image", "rm", "small"]);
    sandbox.finish();
}

#[test]
fn cp_goes_both_ways_running_or_not_and_never_out() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(&sandbox, "web", &["--network", "none", "-v", "data:/data"]);
    sandbox.write("d/sub/file", "deep");
    sandbox.write("f", "flat");
    let file = |path: &str| fs::read_to_string(sandbox.project().join(path)).expect(path);
    sandbox
        .ok(&["container", "cp", "f", "web:/tmp/renamed"])
        .expect_stderr(&["Successfully copied", "web:/tmp/renamed"]);
    assert_eq!(
        sandbox
            .ok(&["container", "cp", "-q", "d", "web:/tmp"])
            .stderr(),
        ""
    );
    sandbox.ok(&["container", "cp", "d/.", "web:/data"]);
    let seen = exec(
        &sandbox,
        "web",
        "cat /tmp/renamed /tmp/d/sub/file /data/sub/file; stat -c %u /tmp/renamed",
    );
    assert_eq!(seen, "flatdeepdeep0\n");
    sandbox.ok(&["container", "cp", "web:/tmp/d", "out"]);
    assert_eq!(file("out/sub/file"), "deep");
    // Volumes are there while it does not run, too.
    sandbox.ok(&["container", "stop", "-t", "0", "web"]);
    sandbox.ok(&["container", "cp", "f", "web:/data/stopped"]);
    sandbox.ok(&["container", "cp", "web:/data/sub/file", "from-volume"]);
    assert_eq!(file("from-volume"), "deep");
    sandbox.ok(&["container", "start", "web"]);
    assert_eq!(exec(&sandbox, "web", "cat /data/stopped"), "flat");

    // As tar streams.
    let mut child = sandbox
        .command(&["container", "cp", "-", "web:/opt"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o640);
    archive
        .append_data(&mut header, "x/y", &b"hi"[..])
        .expect("packed");
    let bytes = archive.into_inner().expect("packed");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(&bytes)
        .expect("taken");
    assert!(child.wait().expect("ended").success());
    assert_eq!(
        exec(&sandbox, "web", "cat /opt/x/y; stat -c %a /opt/x/y"),
        "hi640\n"
    );

    // Links in the container resolve inside it.
    let secret = sandbox.project().join("secret");
    fs::write(&secret, "of the machine").expect("written");
    let place = sandbox.project().display().to_string();
    exec(
        &sandbox,
        "web",
        &format!("mkdir -p {place}; ln -s {place} /tmp/out; ln -s {place}/secret /tmp/secret"),
    );
    sandbox
        .run(&["container", "cp", "-L", "web:/tmp/secret", "-"])
        .expect_code(1);
    sandbox.ok(&["container", "cp", "f", "web:/tmp/out/evil"]);
    assert!(!sandbox.project().join("evil").exists());

    for (from, to, reason) in [
        ("web:/tmp/renamed", "nowhere/", "nowhere/"),
        ("web:/missing", ".", "web:/missing"),
        ("f", "web:/missing/f", "web:/missing"),
        ("missing", "web:/tmp", "missing"),
        ("f", "nobody:/tmp", "nobody"),
    ] {
        sandbox
            .run(&["container", "cp", from, to])
            .expect_code(1)
            .expect_stderr(&[reason]);
    }
    for (from, to) in [
        ("f", "d"),
        ("web:/tmp", "web:/opt"),
        ("d", "web:/tmp/renamed"),
    ] {
        sandbox.run(&["container", "cp", from, to]).expect_code(2);
    }
    sandbox.finish();
}

#[test]
fn stats_and_lists_show_what_docker_shows() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(
        &sandbox,
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
fn events_are_told_with_filters() {
    need_kernel!();
    let sandbox = Sandbox::new();
    run(&sandbox, "web", &["--network", "none", "-l", "tier=front"]);
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
fn what_cannot_be_as_asked_is_refused_before_anything_is_made() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("junk.json", "junk");
    let all = |flags: &[&str]| -> Vec<String> {
        let command = ["container", "create", "--name", "asked"];
        [&command, flags, &["host", "true"]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    for (flags, reason) in [
        (
            &["--tmpfs", "/v", "-v", "data:/v"][..],
            "Duplicate mount point: /v",
        ),
        (
            &["-m", "64m", "--memory-reservation", "128m"],
            "reservation",
        ),
        (&["--memory-swappiness", "101"], "swappiness"),
        (&["--cpu-period", "999"], "period"),
        (&["--cpu-quota", "999"], "quota"),
        (&["--cpuset-cpus", "99999"], "requested CPUs"),
        (&["--cpuset-mems", "99999"], "requested memory nodes"),
        (
            &["--network", "container:x", "-h", "h"],
            "conflicting options",
        ),
        (
            &["--network", "container:x", "-p", "80"],
            "conflicting options",
        ),
        (&["--security-opt", "seccomp=junk.json"], "junk.json"),
        (&["--security-opt", "seccomp=missing.json"], "missing.json"),
        (&["--cidfile", "nowhere/id"], "nowhere/id"),
        (&["--link", "nobody"], "no such container: nobody"),
    ] {
        let command = all(flags);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let run = sandbox.run(&command);
        assert_ne!(run.code(), 0, "{flags:?}");
        run.expect_stderr(&[reason]);
    }
    assert_eq!(sandbox.ok(&["container", "ls", "-aq"]).stdout(), "");

    // What is there when nothing else is gives way, and 0 is the default.
    sandbox.write("own.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    let command = all(&[
        "-v",
        "/v",
        "--tmpfs",
        "/v",
        "--shm-size",
        "0",
        "--memory-swappiness",
        "-1",
        "--network",
        "none",
        "--security-opt",
        "seccomp=own.json",
        "--expose",
        "90-92/udp",
    ]);
    sandbox.ok(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let own = sandbox.project().join("own.json");
    assert_eq!(
        inspect(&sandbox, "asked", "{{index .HostConfig.SecurityOpt 0}}").trim(),
        format!("seccomp={}", own.display())
    );
    assert_eq!(
        inspect(&sandbox, "asked", "{{json .Config.ExposedPorts}}").trim(),
        r#"{"90/udp":{},"91/udp":{},"92/udp":{}}"#
    );
    sandbox
        .run(&["container", "update", "--cpu-period", "999", "asked"])
        .expect_code(1);
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
    run(&sandbox, "probed", &probe);
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
fn compose_exports_and_commits_services() {
    need_kernel!();
    let sandbox = Sandbox::of_compose(
        "services:\n  web: { image: small, network_mode: none, command: /none }\n",
    );
    sandbox.write("context/f", "file");
    sandbox.write("context/Dockerfile", "FROM scratch\nCOPY f /f\n");
    sandbox.ok(&["image", "build", "-q", "-t", "small", "context"]);
    sandbox.ok(&["create"]);
    sandbox.ok(&["cp", "context/Dockerfile", "web:/added"]);
    sandbox.ok(&["export", "-o", "out.tar", "web"]);
    let file = fs::File::open(sandbox.project().join("out.tar")).expect("written");
    let names: Vec<String> = tar::Archive::new(file)
        .entries()
        .expect("a tar")
        .map(|entry| {
            entry
                .expect("whole")
                .path()
                .expect("a path")
                .display()
                .to_string()
        })
        .collect();
    assert!(names.contains(&"added".to_owned()), "{names:?}");
    sandbox
        .ok(&["commit", "-m", "why", "-c", "LABEL a=b", "web", "made:1"])
        .expect_stdout(&["sha256:"]);
    sandbox
        .ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Config.Labels.a}} {{len .RootFS.Layers}}",
            "made:1",
        ])
        .expect_stdout(&["b 2"]);
    sandbox
        .run(&["export", "-o", "out.tar", "nobody"])
        .expect_code(1);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

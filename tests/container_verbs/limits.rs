//! What a container may, and what cannot be asked for.

use super::*;

#[test]
fn update_changes_a_running_container_and_keeps_the_rest() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.start_sleeper(
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
fn what_cannot_be_as_asked_is_refused_before_anything_is_made() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("junk.json", "junk");
    sandbox.write("blank.env", "# c\nA B=1\n");
    let create = |flags: &[&str]| {
        let command = ["container", "create", "--name", "asked"];
        sandbox.run(&[&command, flags, &["host", "true"]].concat())
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
        (
            &["--env-file", "blank.env"],
            "the name `A B` holds white space",
        ),
        (&["-e", ""], "no name"),
        (&["--health-interval", "1ns"], "less than a millisecond"),
    ] {
        let run = create(flags);
        assert_ne!(run.code(), 0, "{flags:?}");
        run.expect_stderr(&[reason]);
    }
    assert_eq!(sandbox.ok(&["container", "ls", "-aq"]).stdout(), "");

    // What is there when nothing else is gives way, and 0 is the default.
    sandbox.write("own.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    let made = create(&[
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
        "--log-driver",
        "local",
        "--health-interval",
        "0",
        "--expose",
        "90-92/udp",
    ]);
    made.expect_code(0);
    let driver = inspect(&sandbox, "asked", "{{.HostConfig.LogConfig.Type}}");
    assert_eq!(driver, "local");
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

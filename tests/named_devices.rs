//! Devices by the names that their makers gave them (CDI), with a description of the test's own.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::Sandbox;

/// A sandbox with a description of `example.com/thing`, whose hook looks into the bundle as a driver's does.
fn described() -> Sandbox {
    let sandbox = Sandbox::new();
    let dir = sandbox.project();
    let hook = dir.join("hook");
    // Finds the container's root by the state that it is told, as the hooks of drivers do.
    let script = r#"#!/bin/bash
state=$(cat)
bundle=$(sed 's/.*"bundle":"\([^"]*\)".*/\1/' <<<"$state")
root=$(sed 's/.*"root":{"path":"\([^"]*\)".*/\1/' "$bundle/config.json")
mkdir -p "$bundle/$root/etc/made-by"
echo "$1 $COLOUR" > "$bundle/$root/etc/made-by/hook"
"#;
    fs::write(&hook, script).expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("it can be run");
    sandbox.write("library/libthing.so", "a library");
    sandbox.write(
        "cdi/thing.yaml",
        &format!(
            r#"cdiVersion: "0.6.0"
kind: example.com/thing
containerEdits:
  env: [THING=yes]
  mounts:
    - {{hostPath: {library}, containerPath: /opt/thing, options: [ro, nosuid, rbind, rprivate]}}
  hooks:
    - {{hookName: createContainer, path: {hook}, args: [hook, ldcache], env: [COLOUR=red]}}
devices:
  - name: "0"
    containerEdits:
      deviceNodes: [{{path: /dev/thing0, hostPath: /dev/zero}}, {{path: /dev/log, hostPath: /dev/kmsg, permissions: r}}]
      additionalGids: [1234]
  - name: all
    containerEdits:
      deviceNodes: [{{path: /dev/thing0, hostPath: /dev/zero}}, {{path: /dev/thing1, hostPath: /dev/full}}]
"#,
            library = dir.join("library").display(),
            hook = hook.display(),
        ),
    );
    sandbox
}

fn run(sandbox: &Sandbox, args: &[&str]) -> support::Run {
    let output = sandbox
        .command(args)
        .env("GANTRY_CDI_DIRS", sandbox.project().join("cdi"))
        .output()
        .expect("the command");
    support::Run::of(args, output)
}

#[test]
fn a_device_comes_with_all_that_its_maker_says() {
    need_kernel!();
    let sandbox = described();
    let script = "echo $THING; cat /opt/thing/libthing.so /etc/made-by/hook; head -c 3 /dev/thing0 | wc -c; id -G; test ! -w /opt/thing && echo closed; test -c /dev/log; (: > /dev/log) 2>/dev/null || echo read-only";
    let args = [
        "container",
        "run",
        "--rm",
        "--network",
        "none",
        "--device",
        "example.com/thing=0",
        "host",
        "sh",
        "-c",
        script,
    ];
    let told = run(&sandbox, &args).expect_code(0).stdout();
    for part in [
        "yes\n",
        "a library",
        "ldcache red\n",
        "\n3\n",
        " 1234",
        "read-only",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    // Started again, its edits are made again.
    let create = [
        "container",
        "create",
        "--name",
        "twice",
        "--network",
        "none",
        "--device",
        "example.com/thing=all",
        "host",
        "cat",
        "/etc/made-by/hook",
    ];
    run(&sandbox, &create).expect_code(0);
    for _ in 0..2 {
        run(&sandbox, &["container", "start", "-a", "twice"])
            .expect_code(0)
            .expect_stdout(&["ldcache red"]);
    }
    run(
        &sandbox,
        &[
            "container",
            "inspect",
            "-f",
            "{{json .HostConfig.DeviceRequests}}",
            "twice",
        ],
    )
    .expect_stdout(&["example.com/thing=all", "\"cdi\""]);
    run(&sandbox, &["container", "rm", "twice"]).expect_code(0);
    sandbox.finish();
}

#[test]
fn services_name_devices_in_three_ways() {
    need_kernel!();
    let sandbox = described();
    sandbox.write(
        "compose.yaml",
        r#"services:
  path:
    image: host
    network_mode: none
    devices: ["example.com/thing=0"]
    command: ls /dev/thing0
  reserved:
    image: host
    network_mode: none
    command: ls /dev/thing1
    deploy:
      resources:
        reservations:
          devices:
            - {driver: cdi, device_ids: ["example.com/thing=all"], capabilities: [thing]}
"#,
    );
    run(&sandbox, &["up", "--no-log-prefix"])
        .expect_code(0)
        .expect_stdout(&["/dev/thing0\n", "/dev/thing1\n"]);
    run(&sandbox, &["down"]).expect_code(0);
    sandbox.finish();
}

#[test]
fn what_nobody_describes_is_told_before_anything_is_made() {
    need_kernel!();
    let sandbox = described();
    let create = [
        "container",
        "create",
        "--device",
        "example.com/thing=7",
        "host",
    ];
    run(&sandbox, &create)
        .expect_code(1)
        .expect_stderr(&["`example.com/thing=7`", "/cdi`"]);
    sandbox.write("cdi/broken.json", "{");
    run(&sandbox, &["container", "create", "--gpus", "1", "host"])
        .expect_code(1)
        .expect_stderr(&["`nvidia.com/gpu=0`", "broken.json"]);
    // A driver that went away meanwhile is an error of the start, with its name.
    let create = [
        "container",
        "create",
        "--name",
        "late",
        "--network",
        "none",
        "--device",
        "example.com/thing=0",
        "host",
        "true",
    ];
    run(&sandbox, &create).expect_code(0);
    fs::remove_file(sandbox.project().join("cdi/thing.yaml")).expect("it goes");
    run(&sandbox, &["container", "start", "late"])
        .expect_code(1)
        .expect_stderr(&["`example.com/thing=0`"]);
    run(&sandbox, &["container", "rm", "late"]).expect_code(0);
    sandbox.finish();
}

//! The machine's end and start: what ran runs again, as the restart policies say.

mod support;

use std::fs;
use std::time::Duration;

use support::{Sandbox, children, kill_9, supervisors, wait_for};

/// A container of each restart policy that runs, two stopped by hand, and one never started.
fn machine() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, options) in [
        ("always", &["--restart", "always"][..]),
        ("unless", &["--restart", "unless-stopped"]),
        ("failure", &["--restart", "on-failure"]),
        ("no", &["--restart", "no"]),
        ("by-hand", &["--restart", "unless-stopped"]),
        ("stubborn", &["--restart", "always"]),
    ] {
        let mut args = vec![
            "container",
            "run",
            "-d",
            "--stop-timeout",
            "0",
            "--name",
            name,
        ];
        args.extend(options);
        args.extend(["host", "sleep", "1000"]);
        sandbox.ok(&args);
    }
    sandbox.ok(&[
        "container",
        "create",
        "--name",
        "new",
        "--restart",
        "always",
        "host",
        "true",
    ]);
    sandbox.ok(&["container", "stop", "-t", "0", "by-hand", "stubborn"]);
    sandbox
}

fn names(sandbox: &Sandbox, filter: &str) -> String {
    let format = [
        "container",
        "ls",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        filter,
    ];
    let listed = sandbox.ok(&format).stdout();
    let mut names: Vec<&str> = listed.split_whitespace().collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn after_a_power_cut_the_policies_decide() {
    need_kernel!();
    let sandbox = machine();
    // Nobody has time to write anything down, and what lay in memory is gone.
    let supervisors = supervisors(&sandbox);
    let keepers = children(&supervisors);
    let programs = children(&keepers);
    kill_9(&[supervisors, keepers, programs].concat());
    fs::remove_dir_all(sandbox.root().join("run")).expect("run directory");

    assert_eq!(names(&sandbox, "status=running"), "");
    let exited = sandbox.ok(&[
        "container",
        "inspect",
        "-f",
        "{{.State.Status}} {{.State.ExitCode}}",
        "no",
    ]);
    assert_eq!(exited.stdout().trim(), "exited 255");
    let started = ["always", "failure", "stubborn", "unless"]
        .map(|name| format!("Container {name}  Started"));
    sandbox
        .ok(&["system", "boot"])
        .expect_stdout(&started.each_ref().map(String::as_str));
    assert_eq!(
        names(&sandbox, "status=running"),
        "always failure stubborn unless"
    );
    assert_eq!(names(&sandbox, "status=created"), "new");
    // A second time there is nothing to do.
    assert_eq!(sandbox.ok(&["system", "boot"]).stdout(), "");
    sandbox.ok(&["container", "start", "no"]);
    sandbox.finish();
}

#[test]
fn a_shutdown_stops_all_and_boot_starts_them_again() {
    need_kernel!();
    let sandbox = machine();
    sandbox
        .ok(&["system", "shutdown"])
        .expect_stdout(&["Container no  Stopped"]);
    // They tidy up after the last word.
    let over = wait_for(Duration::from_secs(10), || {
        supervisors(&sandbox).is_empty().then_some(())
    });
    assert!(over.is_some(), "{:?}", supervisors(&sandbox));
    assert_eq!(names(&sandbox, "status=running"), "");
    sandbox.ok(&["system", "boot"]);
    assert_eq!(
        names(&sandbox, "status=running"),
        "always failure stubborn unless"
    );
    sandbox.finish();
}

#[test]
fn what_cannot_start_at_boot_is_told_and_the_others_start() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let data = sandbox.project().join("data");
    fs::create_dir(&data).expect("a directory");
    let mount = format!("type=bind,src={},dst=/data", data.display());
    for (name, option) in [("bound", "--mount"), ("free", "--env")] {
        sandbox.ok(&[
            "container",
            "run",
            "-d",
            "--stop-timeout",
            "0",
            "--name",
            name,
            "--restart",
            "always",
            option,
            if option == "--mount" { &mount } else { "A=b" },
            "host",
            "sleep",
            "1000",
        ]);
    }
    sandbox.ok(&["system", "shutdown"]);
    fs::remove_dir(&data).expect("a directory");
    sandbox
        .run(&["system", "boot"])
        .expect_code(1)
        .expect_stderr(&["container `bound`", "data"])
        .expect_stdout(&["Container free  Started"]);
    sandbox.finish();
}

#[test]
fn the_unit_is_written_enabled_and_taken_away() {
    let sandbox = Sandbox::new();
    let units = sandbox.project().join("units");
    let directory = units.to_str().expect("text");
    let with = |verb| ["system", verb, "--unit-directory", directory];
    sandbox
        .run(&with("install"))
        .expect_code(2)
        .expect_stderr(&["systemd", "gantry system boot"]);
    fs::create_dir(&units).expect("a directory");
    for _ in 0..2 {
        sandbox.ok(&with("install"));
    }
    let link = units.join("multi-user.target.wants/gantry.service");
    let unit = fs::read_to_string(link).expect("an enabled unit");
    let root = sandbox.root();
    for text in [
        format!("--root \"{}\" system boot\n", root.display()),
        "Type=oneshot\n".to_owned(),
    ] {
        assert!(unit.contains(&text), "no `{text}`: {unit}");
    }
    sandbox.ok(&with("uninstall"));
    assert!(!units.join("gantry.service").exists());
    sandbox.finish();
}

//! What only the machine can refuse: users, devices, programs, external things, limits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{UP, refuse, refuse_args, service};
use crate::support::Sandbox;

#[test]
fn what_the_machine_does_not_have_is_named_with_its_service() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    let table: &[(&str, &[&str])] = &[
        (
            "user: nobodyatall",
            &["`web`", "find user `nobodyatall`", "/etc/passwd"],
        ),
        (
            "user: \"0:nogroupatall\"",
            &["find group `nogroupatall`", "/etc/group"],
        ),
        (
            "working_dir: /etc/passwd",
            &["working directory", "`/etc/passwd`"],
        ),
        ("devices: [/no/such/dev]", &["`/no/such/dev`"]),
        (
            "security_opt: [\"seccomp=/no/such/file\"]",
            &["/no/such/file"],
        ),
        ("network_mode: nolan", &["no network `nolan`"]),
        (
            "network_mode: container:nobody",
            &["no such container: nobody"],
        ),
        ("platform: plan9/vax", &["plan9/vax", "programs for Linux"]),
        (
            "secrets: [s]\nsecrets: { s: { file: ./nope } }\nx-a:\n   b: c",
            &["nope"],
        ),
    ];
    for (attribute, pieces) in table {
        let compose = service(&format!("command: [\"true\"]\n    {attribute}"));
        let compose = compose.replace("\nx-a:\n   b: c\n    labels: { a: b }", "");
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
    }
    for (command, code, pieces) in [
        (
            "[/no/such/program]",
            127,
            &["`/no/such/program` not found"][..],
        ),
        (
            "[nosuchprogram]",
            127,
            &["`nosuchprogram` not found in $PATH"],
        ),
        (
            "[/etc/passwd]",
            126,
            &["`/etc/passwd`", "Permission denied"],
        ),
        ("[/etc]", 126, &["`/etc`", "Is a directory"]),
    ] {
        let compose = service(&format!("command: {command}"));
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
        refuse_args(&sandbox, &["run", "--rm", "-T", "web"], code, pieces);
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn a_missing_external_thing_is_named_with_the_command_that_makes_it() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    refuse(
        &sandbox,
        b"services: { web: { image: host, networks: [lan] } }\nnetworks: { lan: { external: true, name: office } }\n",
        UP,
        1,
        &["network `office`", "external", "gantry network create office"],
    );
    refuse(
        &sandbox,
        b"services: { web: { image: host, volumes: [\"data:/x\"] } }\nvolumes: { data: { external: true, name: archive } }\n",
        UP,
        1,
        &["volume `archive`", "external", "gantry volume create archive"],
    );
    sandbox.finish();
}

#[test]
fn a_limit_that_cannot_be_in_force_is_told() {
    crate::need_kernel!();
    // v2 has no such controller, and v1 gives nothing of what the group above does not have.
    let sandbox = Sandbox::of_compose(&service("cpu_rt_runtime: 1000\n    command: [\"true\"]"));
    sandbox
        .ok(UP)
        .expect_stderr(&["warning:", "web-1", "realtime"]);
    sandbox
        .ok(&["run", "--rm", "-T", "web"])
        .expect_stderr(&["warning:", "realtime"]);
    sandbox
        .ok(&[
            "container",
            "run",
            "--rm",
            "--cpu-rt-runtime",
            "1000",
            "host",
            "true",
        ])
        .expect_stderr(&["warning:", "realtime"]);
    sandbox.ok(&["down"]);
    sandbox.finish();
}

#[test]
fn processors_that_are_not_there_are_refused() {
    crate::need_kernel!();
    // No machine of ours has that many.
    let sandbox = Sandbox::new();
    let compose = service("cpuset: \"4095\"\n    command: [\"true\"]");
    refuse(
        &sandbox,
        compose.as_bytes(),
        UP,
        1,
        &["4095", "not available"],
    );
    sandbox
        .run(&[
            "container",
            "run",
            "--rm",
            "--cpuset-cpus",
            "4095",
            "host",
            "true",
        ])
        .expect_code(125)
        .expect_stderr(&["4095", "not available"]);
    sandbox.finish();
}

#[test]
fn a_bind_source_that_cannot_be_used_is_named() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    fs::set_permissions(
        sandbox.project().join("file"),
        fs::Permissions::from_mode(0o600),
    )
    .expect("mode");
    for (source, pieces) in [
        ("./nowhere", &["web", "nowhere"][..]),
        ("./file/below", &["web", "file/below", "Not a directory"]),
    ] {
        let compose = service(&format!(
            "volumes: [{{ type: bind, source: {source}, target: /x }}]"
        ));
        refuse(&sandbox, compose.as_bytes(), UP, 1, pieces);
    }
    sandbox.ok(&["down"]);
    sandbox.finish();
}

/// A user namespace in which nobody can make another one, as on machines that are locked down.
struct Locked(std::process::Child);

impl Locked {
    fn new() -> Self {
        let child = std::process::Command::new("unshare")
            .args(["--user", "sleep", "120"])
            .spawn()
            .expect("it starts");
        let this = Self(child);
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let pid = this.0.id().to_string();
        crate::support::wait_for(std::time::Duration::from_secs(20), || {
            let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            let apart = namespace(&pid)? != namespace("self")?;
            (apart && program.ends_with("sleep")).then_some(())
        })
        .expect("a namespace");
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{map}"), "0 0 65536").expect("ids");
        }
        this
    }

    /// A command that runs as nobody in it.
    fn command(&self, program: &std::path::Path, args: &[&str]) -> std::process::Command {
        const LOCK: &str = "echo 0 > /proc/sys/user/max_user_namespaces; \
                            exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
        let mut command = std::process::Command::new("nsenter");
        command
            .args(["-t", &self.0.id().to_string(), "-U", "-S", "0", "-G", "0"])
            .args(["sh", "-c", LOCK, "sh"])
            .arg(program)
            .args(args);
        command
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_ordinary_user_without_namespaces_is_told_what_to_change() {
    crate::need_kernel!();
    // Where that user can reach it, which the build directory may not be.
    let public = tempfile::Builder::new()
        .prefix("gantry-test-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/var/tmp")
        .expect("a directory");
    let executable = public.path().join("gantry");
    fs::copy(env!("CARGO_BIN_EXE_gantry"), &executable).expect("a copy");
    let compose = "services:\n  web:\n    image: host\n";
    fs::write(public.path().join("compose.yaml"), compose).expect("compose file");
    let runtime = public.path().join("runtime");
    fs::create_dir(&runtime).expect("runtime directory");
    std::os::unix::fs::chown(&runtime, Some(65_534), Some(65_534)).expect("owner");
    let locked = Locked::new();
    let run = |args: &[&str]| {
        let output = locked
            .command(&executable, args)
            .current_dir(public.path())
            .env("HOME", public.path())
            .env("XDG_RUNTIME_DIR", &runtime)
            .output()
            .expect("it starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    for (args, code) in [
        (&["up", "-d"][..], 1),
        (&["ps"], 1),
        (&["container", "run", "--rm", "host", "true"], 125),
    ] {
        let (seen, stderr) = run(args);
        assert_eq!(seen, Some(code), "{args:?}: {stderr}");
        assert!(
            stderr.contains("sysctl -w user.max_user_namespaces") && stderr.contains("sudo"),
            "{args:?}: {stderr}"
        );
    }
    // What only reads files needs nobody's leave.
    assert_eq!(run(&["config", "-q"]), (Some(0), String::new()));
}

//! Hooks: when they run, where, what they are told, and what their failure does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::bundle::{Bundle, ID};

/// A hook that runs a script.
fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

/// One that writes down its name, the namespaces it is in, and what it was told.
fn witness(out: &Path, name: &str) -> Value {
    let out = out.display();
    hook(&format!(
        "echo {name} >> {out}/order; cat > {out}/{name}; /bin/readlink /proc/self/ns/uts > {out}/{name}.uts; \
         [ -e /etc/passwd ] || echo inside > {out}/{name}.root"
    ))
}

#[test]
fn every_hook_runs_in_its_place() {
    need_kernel!();
    let mut bundle = Bundle::script("echo program >> /work/order; exec sleep 60");
    let out = bundle.root("work");
    let inside = Path::new("/work");
    bundle.change(json!({"hooks": {
        "prestart": [witness(&out, "prestart")],
        "createRuntime": [witness(&out, "createRuntime")],
        "createContainer": [witness(&out, "createContainer")],
        "startContainer": [witness(inside, "startContainer")],
        "poststart": [witness(&out, "poststart")],
        "poststop": [witness(&out, "poststop")],
    }}));
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap_or_default();
    bundle.ok(&["create", ID]);
    assert_eq!(read("order"), "prestart\ncreateRuntime\ncreateContainer\n");
    let pid = bundle.pid();
    let inner = fs::read_link(format!("/proc/{pid}/ns/uts")).expect("namespace");
    bundle.ok(&["start", ID]);
    crate::support::wait_for(crate::bundle::LIMIT, || {
        read("order").contains("program").then_some(())
    })
    .expect("the program runs");
    bundle.ok(&["delete", "--force", ID]);

    let order = read("order");
    let place = |name: &str| order.lines().position(|line| line == name);
    assert_eq!(order.lines().count(), 7, "{order}");
    assert_eq!(place("startContainer"), Some(3));
    // The program and the hook after its start run side by side.
    assert!(place("program") < place("poststop") && place("poststart") < place("poststop"));
    let host = fs::read_link("/proc/self/ns/uts").expect("namespace");
    for (name, status, within) in [
        ("prestart", "created", false),
        ("createRuntime", "creating", false),
        ("createContainer", "creating", true),
        ("startContainer", "created", true),
        ("poststart", "running", false),
        ("poststop", "stopped", false),
    ] {
        let state: Value = serde_json::from_str(&read(name)).expect(name);
        assert_eq!(state["id"], ID, "{name}");
        assert_eq!(state["status"], status, "{name}");
        assert_eq!(state["bundle"], json!(bundle.dir), "{name}");
        assert_eq!(state["annotations"]["com.example.key"], "value", "{name}");
        match (name, within) {
            ("poststop", _) => assert_eq!(state.get("pid"), None),
            (_, false) => assert_eq!(state["pid"], pid, "{name}"),
            (_, true) => assert_eq!(state["pid"], 1, "{name}"),
        }
        let namespace = if within { &inner } else { &host };
        let uts = read(&format!("{name}.uts"));
        assert_eq!(Path::new(uts.trim()), namespace, "{name}");
        // Only the last one within sees the container's root.
        let root = read(&format!("{name}.root"));
        assert_eq!(root == "inside\n", name == "startContainer", "{name}");
    }
    bundle.finish();
}

#[test]
fn a_hook_before_the_start_that_fails_undoes_the_creation() {
    need_kernel!();
    for point in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::new(&["true"]);
        bundle.change(json!({"hooks": {point: [hook("echo no such luck >&2; exit 3")]}}));
        bundle.oci(&["create", ID]).expect_code(1).expect_stderr(&[
            point,
            "exit code 3",
            "no such luck",
        ]);
        bundle.assert_clean();
        bundle.finish();
    }
}

#[test]
fn a_hook_inside_that_fails_keeps_the_program_from_running() {
    need_kernel!();
    let mut bundle = Bundle::script("echo ran > /work/out");
    bundle.change(json!({"hooks": {"startContainer": [hook("exit 4")]}}));
    bundle.ok(&["create", ID]);
    bundle
        .oci(&["start", ID])
        .expect_code(1)
        .expect_stderr(&["startContainer", "exit code 4"]);
    bundle.await_status("stopped");
    assert!(!bundle.root("work/out").exists());
    bundle.finish();
}

#[test]
fn hooks_after_the_start_that_fail_are_told_and_stop_nothing() {
    need_kernel!();
    let mut bundle = Bundle::new(&["sleep", "60"]);
    let out = bundle.root("work/out");
    let after = hook(&format!("echo after >> {}", out.display()));
    bundle.change(json!({"hooks": {
        "poststart": [hook("exit 5"), after],
        "poststop": [hook("exit 6"), after],
    }}));
    bundle.ok(&["create", ID]);
    bundle
        .ok(&["start", ID])
        .expect_stderr(&["warning", "poststart", "exit code 5"]);
    assert_eq!(bundle.status(), "running");
    bundle
        .ok(&["delete", "--force", ID])
        .expect_stderr(&["warning", "poststop", "exit code 6"]);
    assert_eq!(fs::read_to_string(&out).expect("both"), "after\nafter\n");
    bundle.finish();
}

#[test]
fn a_hook_has_its_time_and_its_own_environment() {
    need_kernel!();
    let mut bundle = Bundle::new(&["true"]);
    let mut slow = hook("sleep 60 & wait");
    slow["timeout"] = json!(1);
    bundle.change(json!({"hooks": {"createRuntime": [slow]}}));
    let began = std::time::Instant::now();
    bundle
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["createRuntime", "within 1 s"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    bundle.assert_clean();

    let out = bundle.root("work/out");
    let script = format!(
        "/usr/bin/env > {0}; ls -l /proc/self/fd >> {0}",
        out.display()
    );
    let mut bare = hook(&script);
    bare["env"] = json!(["ONLY=this"]);
    bundle.change(json!({"hooks": {"createRuntime": [bare]}}));
    bundle.ok(&["create", ID]);
    let text = fs::read_to_string(&out).expect("written");
    assert!(
        text.contains("ONLY=this\n") && !text.contains("GANTRY_ROOT"),
        "{text}"
    );
    assert!(!text.contains("socket:"), "{text}");

    bundle.change(json!({"hooks": {"createRuntime": [{"path": "/no/such/hook"}]}}));
    bundle.ok(&["delete", "--force", ID]);
    bundle
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["/no/such/hook", "No such file"]);
    bundle.finish();
}

//! What this runtime does not do is refused by its name, and nothing is left of the attempt.

use std::fs;

use serde_json::{Value, json};

use crate::bundle::{Bundle, ID};

#[track_caller]
fn refused(change: Value, part: &str) {
    let mut bundle = Bundle::new(&["true"]);
    bundle.change(change);
    bundle
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&[part]);
    bundle.assert_clean();
    bundle.finish();
}

#[test]
fn members_of_the_configuration() {
    need_kernel!();
    for (change, part) in [
        (json!({"linux": {"mountLabel": "x"}}), "linux.mountLabel"),
        (json!({"linux": {"intelRdt": {}}}), "linux.intelRdt"),
        (
            json!({"linux": {"personality": {"domain": "LINUX32"}}}),
            "linux.personality",
        ),
        (json!({"linux": {"timeOffsets": {}}}), "linux.timeOffsets"),
        (
            json!({"process": {"selinuxLabel": "x"}}),
            "process.selinuxLabel",
        ),
        (
            json!({"process": {"scheduler": {"policy": "SCHED_OTHER"}}}),
            "process.scheduler",
        ),
        (json!({"process": {"args": []}}), "process.args"),
        (json!({"ociVersion": "2.0.0"}), "2.0.0"),
        (json!({"vm": {"kernel": {"path": "/k"}}}), "`vm`"),
        (json!({"root": {"path": "nowhere"}}), "nowhere"),
        (
            json!({"linux": {"sysctl": {"kernel.core_pattern": "|/x"}}}),
            "kernel.core_pattern",
        ),
        (
            json!({"linux": {"namespaces": [{"type": "pid"}]}}),
            "mount namespace",
        ),
        (
            json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_NOTIFY"}}}),
            "SCMP_ACT_NOTIFY",
        ),
        (
            json!({"linux": {"rootfsPropagation": "sideways"}}),
            "sideways",
        ),
        (
            json!({"linux": {"resources": {"unified": {"no.such": "1"}}}}),
            "no.such",
        ),
    ] {
        refused(change, part);
    }
}

#[test]
fn a_bundle_that_is_none() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    bundle
        .oci(&["create", "--bundle", "/no/such", ID])
        .expect_code(1)
        .expect_stderr(&["/no/such/config.json"]);
    let elsewhere = bundle.dir.join("elsewhere");
    fs::create_dir(&elsewhere).expect("folder");
    fs::write(elsewhere.join("config.json"), "{\"ociVersion\": 1}").expect("file");
    let path = elsewhere.to_str().expect("text");
    bundle
        .oci(&["create", "-b", path, ID])
        .expect_code(1)
        .expect_stderr(&["config.json", "invalid type"]);
    for id in ["../x", "", "a b"] {
        bundle
            .oci(&["create", id])
            .expect_code(1)
            .expect_stderr(&["no container id"]);
    }
    bundle.finish();
}

#[test]
fn flags() {
    need_kernel!();
    let bundle = Bundle::new(&["true"]);
    for (args, flag) in [
        (vec!["create", "--no-pivot", ID], "--no-pivot"),
        (vec!["create", "--no-new-keyring", ID], "--no-new-keyring"),
        (vec!["create", "--pidfd-socket", "x", ID], "--pidfd-socket"),
        (vec!["--systemd-cgroup", "create", ID], "--systemd-cgroup"),
        (vec!["--criu", "x", "create", ID], "--criu"),
        (vec!["--rootless", "true", "create", ID], "--rootless"),
        (vec!["exec", "--cgroup", "x", ID, "true"], "--cgroup"),
        (
            vec!["exec", "--process-label", "x", ID, "true"],
            "--process-label",
        ),
        (vec!["create", "--dry-run", ID], "--dry-run"),
    ] {
        bundle
            .oci(&args)
            .expect_code(1)
            .expect_stderr(&[flag, "not supported"]);
    }
    for wrong in [vec!["create"], vec!["start"], vec!["nosuch"], vec![]] {
        bundle.oci(&wrong).expect_code(2);
    }
    bundle.finish();
}

#[test]
fn unknown_members_are_no_error() {
    need_kernel!();
    let mut bundle = Bundle::new(&["echo", "fine"]);
    bundle.change(json!({"com.example.unknown": {"a": 1}, "linux": {"unknown": true}}));
    assert_eq!(bundle.run(), "fine\n");
    bundle.finish();
}

#[test]
fn a_cgroup_in_use_is_neither_taken_nor_emptied() {
    need_kernel!();
    let mut first = Bundle::new(&["sleep", "60"]);
    let path = format!("/gantry-oci-busy-{}", std::process::id());
    first.change(json!({"linux": {"cgroupsPath": path}}));
    first.ok(&["create", ID]);
    let mut second = Bundle::new(&["true"]);
    second.change(json!({"linux": {"cgroupsPath": path}}));
    second
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["still has processes"]);
    second.assert_clean();
    assert_eq!(first.status(), "created");
    first.finish();
    second.finish();
}

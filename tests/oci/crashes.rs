//! kill -9 at every step: what is left says what it is, and is deleted by the next command.

use std::fs;

use crate::bundle::{Bundle, ID};

/// Dies at a point of an operation.
#[track_caller]
fn die(bundle: &Bundle, point: &str, args: &[&str]) {
    let token = bundle.dir.join("token");
    fs::write(&token, "").expect("token");
    let status = bundle
        .command(args)
        .env("GANTRY_CRASH_AT", point)
        .env("GANTRY_CRASH_TOKEN", &token)
        .status()
        .expect("the executable starts");
    assert_eq!(status.code(), None, "killed at {point}");
    assert!(!token.exists(), "{point} was reached");
}

#[test]
fn a_creation_that_is_killed_leaves_nothing_that_runs() {
    need_kernel!();
    for (point, status) in [
        ("oci.create.reserved", None),
        ("oci.create.cgroup", Some("stopped")),
        ("oci.create.parked", Some("stopped")),
        ("oci.create.recorded", Some("stopped")),
        ("oci.create.handed", Some("created")),
    ] {
        let bundle = Bundle::new(&["sleep", "60"]);
        die(&bundle, point, &["create", ID]);
        match status {
            None => {
                bundle.oci(&["state", ID]).expect_code(1);
            }
            // Its process notices that nobody waits for it.
            Some(status) => bundle.await_status(status),
        }
        if status == Some("stopped") {
            bundle.ok(&["delete", ID]);
        }
        if status == Some("created") {
            bundle.ok(&["start", ID]);
            assert_eq!(bundle.status(), "running");
            bundle.ok(&["delete", "--force", ID]);
        }
        // The id is free again.
        bundle.ok(&["create", ID]);
        bundle.finish();
    }
}

#[test]
fn a_start_that_is_killed_has_started() {
    need_kernel!();
    let bundle = Bundle::new(&["sleep", "60"]);
    bundle.ok(&["create", ID]);
    die(&bundle, "oci.start.released", &["start", ID]);
    assert_eq!(bundle.status(), "running");
    bundle.finish();
}

#[test]
fn a_deletion_that_is_killed_is_done_by_the_next() {
    need_kernel!();
    for point in ["oci.delete.ended", "oci.delete.hooks"] {
        let bundle = Bundle::new(&["sleep", "60"]);
        bundle.ok(&["create", ID]);
        bundle.ok(&["start", ID]);
        die(&bundle, point, &["delete", "--force", ID]);
        assert_eq!(bundle.status(), "stopped");
        bundle.ok(&["delete", ID]);
        bundle.assert_clean();
        bundle.finish();
    }
}

#[test]
fn whoever_only_looks_does_not_start_it() {
    need_kernel!();
    let bundle = Bundle::script("echo ran > /work/out");
    bundle.ok(&["create", ID]);
    for _ in 0..40 {
        assert_eq!(bundle.status(), "created");
    }
    assert!(!bundle.root("work/out").exists());
    bundle.ok(&["start", ID]);
    bundle.await_status("stopped");
    assert!(bundle.root("work/out").exists());
    bundle.finish();
}

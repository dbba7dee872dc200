//! create, start, state, kill, delete: what each may do when, and what it leaves.

use std::fs;

use serde_json::json;

use crate::bundle::{Bundle, ID};
use crate::support::wait_for;

#[test]
fn a_container_lives_through_its_states() {
    need_kernel!();
    let bundle = Bundle::script("echo ran >> /work/out; exec sleep 60");
    bundle.ok(&["create", ID]);
    let state = bundle.state();
    assert_eq!(
        state,
        json!({
            "ociVersion": "1.0.2",
            "id": ID,
            "status": "created",
            "pid": state["pid"],
            "bundle": bundle.dir,
            "annotations": {"com.example.key": "value"},
        })
    );
    let pid = bundle.pid();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    assert!(!bundle.root("work/out").exists(), "not before its start");

    bundle.ok(&["start", ID]);
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.pid(), pid);
    bundle
        .oci(&["start", ID])
        .expect_code(1)
        .expect_stderr(&["it is running"]);
    bundle
        .oci(&["delete", ID])
        .expect_code(1)
        .expect_stderr(&["it is running"]);
    bundle
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["exists already"]);
    assert_eq!(bundle.status(), "running", "nothing has changed");

    bundle.ok(&["kill", ID, "KILL"]);
    bundle.await_status("stopped");
    assert_eq!(bundle.state().get("pid"), None);
    bundle
        .oci(&["kill", ID, "KILL"])
        .expect_code(1)
        .expect_stderr(&["container not running"]);
    bundle
        .oci(&["start", ID])
        .expect_code(1)
        .expect_stderr(&["it is stopped"]);
    bundle.ok(&["delete", ID]);
    bundle
        .oci(&["state", ID])
        .expect_code(1)
        .expect_stderr(&["does not exist"]);
    for operation in ["start", "kill", "delete"] {
        bundle
            .oci(&[operation, ID])
            .expect_code(1)
            .expect_stderr(&["does not exist"]);
    }
    let out = fs::read_to_string(bundle.root("work/out")).expect("written");
    assert_eq!(out, "ran\n", "once");
    bundle.finish();
}

#[test]
fn the_configuration_is_that_of_the_creation() {
    need_kernel!();
    let mut bundle = Bundle::script("echo first > /work/out");
    bundle.ok(&["create", ID]);
    bundle.change(json!({
        "process": {"args": ["sh", "-c", "echo second > /work/out"]},
        "annotations": {"com.example.key": "other"},
    }));
    bundle.ok(&["start", ID]);
    bundle.await_status("stopped");
    let out = fs::read_to_string(bundle.root("work/out")).expect("written");
    assert_eq!(out, "first\n");
    assert_eq!(bundle.state()["annotations"]["com.example.key"], "value");
    bundle.finish();
}

#[test]
fn signals_reach_the_first_process_or_all() {
    need_kernel!();
    let script = "trap 'echo usr1 > /work/out' USR1; sleep 60 & echo up > /work/up; wait; wait";
    let bundle = Bundle::script(script);
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    wait_for(crate::bundle::LIMIT, || {
        bundle.root("work/up").exists().then_some(())
    })
    .expect("up");
    bundle.ok(&["kill", ID, "SIGUSR1"]);
    wait_for(crate::bundle::LIMIT, || {
        bundle.root("work/out").exists().then_some(())
    })
    .expect("the trap ran");
    bundle
        .oci(&["kill", ID, "NOSUCH"])
        .expect_code(2)
        .expect_stderr(&["NOSUCH"]);
    bundle.ok(&["kill", "--all", ID, "9"]);
    bundle.await_status("stopped");
    bundle.finish();
}

#[test]
fn deletion_by_force_ends_whatever_it_does() {
    need_kernel!();
    for frozen in [false, true] {
        let bundle = Bundle::script("sleep 60 & exec sleep 60");
        bundle.ok(&["create", ID]);
        bundle
            .oci(&["delete", ID])
            .expect_code(1)
            .expect_stderr(&["it is created"]);
        bundle.ok(&["start", ID]);
        if frozen {
            bundle.ok(&["pause", ID]);
            assert_eq!(bundle.status(), "paused");
            bundle
                .oci(&["exec", ID, "true"])
                .expect_code(1)
                .expect_stderr(&["it is paused"]);
        }
        let pid = bundle.pid();
        bundle.ok(&["delete", "--force", ID]);
        let gone = wait_for(crate::bundle::LIMIT, || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(Some(()), |text| text.contains(") Z ").then_some(()))
        });
        assert!(gone.is_some());
        bundle.assert_clean();
        bundle.ok(&["delete", "--force", ID]);
        bundle.finish();
    }
}

#[test]
fn a_frozen_container_goes_on() {
    need_kernel!();
    let bundle = Bundle::script("while :; do date +%N > /work/out; sleep 0.01; done");
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    let read = || fs::read_to_string(bundle.root("work/out")).unwrap_or_default();
    let moves = || {
        let before = read();
        wait_for(std::time::Duration::from_secs(5), || {
            (read() != before).then_some(())
        })
    };
    assert!(moves().is_some());
    bundle.ok(&["pause", ID]);
    let before = read();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(read(), before);
    bundle.ok(&["resume", ID]);
    assert_eq!(bundle.status(), "running");
    assert!(moves().is_some());
    bundle.finish();
}

#[test]
fn lists_name_containers_and_their_processes() {
    need_kernel!();
    let bundle = Bundle::script("sleep 60 & exec sleep 60");
    assert_eq!(bundle.ok(&["list", "-f", "json"]).stdout().trim(), "[]");
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    let both = || {
        let text = bundle.ok(&["ps", "-f", "json", ID]).stdout();
        let pids: Vec<i32> = serde_json::from_str(&text).expect("numbers");
        (pids.len() == 2).then_some(pids)
    };
    let pids = wait_for(crate::bundle::LIMIT, both).expect("two processes");
    assert!(pids.contains(&bundle.pid()));
    let table = bundle.ok(&["ps", ID]).stdout();
    assert!(
        table.starts_with("UID") && table.contains("sleep 60"),
        "{table}"
    );
    bundle
        .oci(&["ps", ID, "-o", "pid"])
        .expect_code(1)
        .expect_stderr(&["-o pid"]);
    assert_eq!(bundle.ok(&["list", "-q"]).stdout(), format!("{ID}\n"));
    let text = bundle.ok(&["list", "--format", "json"]).stdout();
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list[0]["status"], "running");
    assert_eq!(list[0]["pid"], bundle.pid());
    assert_eq!(list[0]["owner"], 0);
    bundle.finish();
}

#[test]
fn without_a_process_there_is_nothing_to_start() {
    need_kernel!();
    let mut bundle = Bundle::new(&["true"]);
    bundle
        .config
        .as_object_mut()
        .expect("members")
        .remove("process");
    bundle.ok(&["create", ID]);
    assert_eq!(bundle.status(), "created");
    bundle
        .oci(&["start", ID])
        .expect_code(1)
        .expect_stderr(&["no `process`"]);
    assert_eq!(bundle.status(), "created");
    bundle.finish();
}

#[test]
fn a_program_that_is_missing_is_told_as_soon_as_it_is_missed() {
    need_kernel!();
    let bundle = Bundle::new(&["nosuchprogram"]);
    bundle
        .oci(&["create", ID])
        .expect_code(127)
        .expect_stderr(&["executable file not found", "`nosuchprogram`"]);
    bundle.assert_clean();
    bundle.finish();

    let mut bundle = Bundle::new(&["/work/program"]);
    let program = bundle.root("work/program");
    fs::copy("/bin/true", &program).expect("a program");
    bundle.change(json!({}));
    bundle.ok(&["create", ID]);
    fs::remove_file(&program).expect("removed");
    bundle
        .oci(&["start", ID])
        .expect_code(127)
        .expect_stderr(&["executable file not found", "`/work/program`"]);
    bundle.await_status("stopped");
    bundle.ok(&["delete", ID]);
    bundle.oci(&["run", ID]).expect_code(127);
    bundle.assert_clean();
    bundle.finish();
}

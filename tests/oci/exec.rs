//! Further processes in a container.

use std::fs;

use serde_json::json;

use crate::bundle::{Bundle, ID};

fn running(change: serde_json::Value) -> Bundle {
    let mut bundle = Bundle::new(&["sleep", "60"]);
    bundle.change(change);
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    bundle
}

#[test]
fn a_command_has_the_containers_process_as_its_pattern() {
    need_kernel!();
    let bundle = running(json!({"process": {"cwd": "/tmp", "env": ["PATH=/usr/bin:/bin", "A=1"]}}));
    let script = "pwd; echo $A $B; id -u; cat /proc/sys/kernel/hostname; exit 3";
    let run = bundle.oci(&["exec", "-e", "B=2", ID, "sh", "-c", script]);
    assert_eq!(run.code(), 3);
    assert_eq!(run.stdout(), "/tmp\n1 2\n0\ninside\n");
    let script =
        "pwd; id -u; id -g; id -G; grep -E '^(CapEff|NoNew)' /proc/self/status | tr '\\t' ' '";
    let args = [
        "exec",
        "--cwd",
        "/work",
        "-u",
        "7:8",
        "-g",
        "9",
        "--no-new-privs",
        ID,
        "sh",
        "-c",
        script,
    ];
    assert_eq!(
        bundle.ok(&args).stdout(),
        "/work\n7\n8\n8 9\nCapEff: 0000000000000000\nNoNewPrivs: 1\n"
    );
    let args = [
        "exec",
        "--cap",
        "CAP_KILL",
        ID,
        "grep",
        "CapEff",
        "/proc/self/status",
    ];
    assert!(bundle.ok(&args).stdout().contains("0000000000000020"));
    bundle.oci(&["exec", ID, "nosuch"]).expect_code(127);
    bundle.oci(&["exec", ID, "/etc"]).expect_code(126);
    bundle
        .oci(&["exec", "--cap", "CAP_NONE", ID, "true"])
        .expect_code(2)
        .expect_stderr(&["CAP_NONE"]);
    bundle.finish();
}

#[test]
fn it_lives_in_the_containers_cgroup_under_its_filter() {
    need_kernel!();
    let bundle = running(json!({"linux": {"seccomp": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }}}));
    let run = bundle.oci(&["exec", ID, "mkdir", "/work/dir"]);
    assert!(
        run.code() != 0 && run.stderr().contains("not permitted"),
        "{}",
        run.stderr()
    );
    let own = fs::read_to_string(format!("/proc/{}/cgroup", bundle.pid())).expect("cgroups");
    assert_eq!(
        bundle
            .ok(&["exec", ID, "cat", "/proc/self/cgroup"])
            .stdout(),
        own
    );
    bundle.finish();
}

#[test]
fn a_file_describes_the_process() {
    need_kernel!();
    let bundle = running(json!({}));
    let file = bundle.dir.join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; echo $C"], "cwd": "/", "env": ["PATH=/usr/bin:/bin", "C=3"],
        "user": {"uid": 11, "gid": 12},
    });
    fs::write(&file, process.to_string()).expect("written");
    let path = file.to_str().expect("text");
    assert_eq!(
        bundle.ok(&["exec", "--process", path, ID]).stdout(),
        "11\n3\n"
    );
    fs::write(
        &file,
        r#"{"user":{"uid":0,"gid":0},"args":["true"],"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_BE","priority":1}}"#,
    )
    .expect("written");
    bundle
        .oci(&["exec", "-p", path, ID])
        .expect_code(1)
        .expect_stderr(&["process.ioPriority"]);
    fs::write(&file, "{").expect("written");
    bundle
        .oci(&["exec", "-p", path, ID])
        .expect_code(1)
        .expect_stderr(&["process.json", "EOF"]);
    bundle.finish();
}

#[test]
fn it_can_be_left_alone() {
    need_kernel!();
    let bundle = running(json!({}));
    let file = bundle.dir.join("pid");
    let path = file.to_str().expect("text");
    bundle.ok(&["exec", "-d", "--pid-file", path, ID, "sleep", "60"]);
    let pid = fs::read_to_string(&file).expect("written");
    let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("lives");
    assert_eq!(cmdline, "sleep\x0060\0");
    bundle.ok(&["kill", ID, "KILL"]);
    bundle.await_status("stopped");
    bundle
        .oci(&["exec", ID, "true"])
        .expect_code(1)
        .expect_stderr(&["it is stopped"]);
    bundle.finish();
}

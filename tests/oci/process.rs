//! `process` of the configuration, as the program sees it.

use serde_json::json;

use crate::bundle::{Bundle, ID};

/// Runs a script under a changed process and compares what it prints.
#[track_caller]
fn check(process: serde_json::Value, script: &str, expected: &str) {
    let mut bundle = Bundle::script(script);
    bundle.change(json!({"process": process}));
    assert_eq!(bundle.run(), expected);
    bundle.finish();
}

#[test]
fn user_groups_directory_and_environment() {
    need_kernel!();
    check(
        json!({
            "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 7], "umask": 0o077},
            "cwd": "/tmp",
            "env": ["PATH=/usr/bin:/bin", "A=b c"],
        }),
        "id -u; id -g; id -G; umask; pwd; echo $A",
        "1000\n1001\n1001 5 7\n0077\n/tmp\nb c\n",
    );
}

#[test]
fn capabilities_are_the_five_sets() {
    need_kernel!();
    let kill = json!(["CAP_KILL"]);
    let chown = json!(["CAP_CHOWN", "CAP_KILL"]);
    check(
        json!({"capabilities": {
            "bounding": chown, "permitted": chown, "effective": kill, "inheritable": kill, "ambient": kill,
        }, "user": {"uid": 1000, "gid": 1000}}),
        "grep ^Cap /proc/self/status | tr '\\t' ' '",
        "CapInh: 0000000000000020\nCapPrm: 0000000000000020\nCapEff: 0000000000000020\n\
         CapBnd: 0000000000000021\nCapAmb: 0000000000000020\n",
    );
    check(
        json!({}),
        "grep -E '^Cap(Prm|Bnd)' /proc/self/status | tr '\\t' ' '",
        "CapPrm: 0000000000000000\nCapBnd: 0000000000000000\n",
    );
}

#[test]
fn limits_score_and_privileges() {
    need_kernel!();
    check(
        json!({
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            ],
            "oomScoreAdj": 321,
            "noNewPrivileges": true,
        }),
        "ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status | tr '\\t' ' '",
        "100\n200\n0\n321\nNoNewPrivs: 1\n",
    );
}

#[test]
fn the_exit_code_and_the_input_are_passed_through() {
    need_kernel!();
    let bundle = Bundle::script("read line; echo got $line; exit 42");
    let mut child = bundle
        .command(&["run", ID])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    use std::io::Write as _;
    let stdin = child.stdin.take().expect("piped");
    writeln!(&stdin, "this").expect("written");
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got this\n");
    bundle.assert_clean();
    let killed = Bundle::script("kill -9 $$");
    // Process 1 cannot kill itself; a child can be killed.
    killed.oci(&["run", ID]).expect_code(0);
    bundle.finish();
    killed.finish();
}

#[test]
fn signals_of_an_attended_container_are_its_own() {
    need_kernel!();
    let bundle =
        Bundle::script("trap 'exit 9' TERM; echo up > /work/up; while :; do sleep 0.05; done");
    let mut child = bundle.command(&["run", ID]).spawn().expect("starts");
    crate::support::wait_for(crate::bundle::LIMIT, || {
        bundle.root("work/up").exists().then_some(())
    })
    .expect("up");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
    assert_eq!(child.wait().expect("ended").code(), Some(9));
    bundle.finish();
}

//! `update`, `events`, `spec`, and a tmpfs that begins with what it hides.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bundle::{Bundle, ID};

/// A container that runs, with limits.
fn running(limits: Value) -> Bundle {
    let mut bundle = Bundle::new(&["sleep", "60"]);
    bundle.change(json!({ "linux": { "resources": limits } }));
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    bundle
}

/// What a limit is; the first of its files that there is, in v1 or v2.
#[track_caller]
fn limit(bundle: &Bundle, files: &[&str]) -> String {
    let cgroups = bundle.cgroups();
    let mut found = files
        .iter()
        .flat_map(|file| cgroups.iter().map(move |cgroup| cgroup.join(file)));
    let text = found.find_map(|path| fs::read_to_string(path).ok());
    text.expect("a limit").trim().to_owned()
}

const MEMORY: &[&str] = &["memory.limit_in_bytes", "memory.max"];

fn quota(bundle: &Bundle) -> String {
    let v1 = ["cpu.cfs_quota_us", "cpu.cfs_period_us"];
    let v2 = |text: String| text.contains(' ').then_some(text);
    v2(limit(bundle, &["cpu.max", v1[0]]))
        .unwrap_or_else(|| v1.map(|file| limit(bundle, &[file])).join(" "))
}

#[test]
fn update_changes_what_is_named_and_keeps_the_rest() {
    need_kernel!();
    let bundle = running(json!({
        "memory": { "limit": 67_108_864 },
        "cpu": { "quota": 20_000, "period": 100_000 },
        "pids": { "limit": 50 },
    }));
    bundle.ok(&["update", "--memory", "32m", "--cpu-period", "50000", ID]);
    assert_eq!(limit(&bundle, MEMORY), "33554432");
    assert_eq!(quota(&bundle), "20000 50000");
    assert_eq!(limit(&bundle, &["pids.max"]), "50");

    let file = bundle.dir.join("limits.json");
    fs::write(&file, r#"{"pids":{"limit":40},"devices":[],"unknown":1}"#).expect("file");
    bundle.ok(&["update", "-r", "limits.json", "--memory", "1g", ID]);
    assert_eq!(limit(&bundle, &["pids.max"]), "40");
    assert_eq!(limit(&bundle, MEMORY), "33554432", "flags are ignored then");

    let mut child = bundle
        .command(&["update", "--resources", "-", ID])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(br#"{"pids":{"limit":-1}}"#)
        .expect("written");
    drop(stdin);
    assert!(child.wait().expect("ends").success());
    assert_eq!(limit(&bundle, &["pids.max"]), "max");
    bundle.finish();
}

#[test]
fn an_update_that_fails_leaves_the_limits_as_they_were() {
    need_kernel!();
    let bundle = running(json!({ "memory": { "limit": 67_108_864 } }));
    bundle
        .oci(&["update", "--memory", "32m", "--cpuset-cpus", "4095", ID])
        .expect_code(1)
        .expect_stderr(&["cpuset"]);
    assert_eq!(limit(&bundle, MEMORY), "67108864");
    for (args, code, part) in [
        (&["--memory", "lots"][..], 2, "512m"),
        (&["--cpu-idle", "2"], 2, "0..=1"),
        (&["--kernel-memory", "1m"], 1, "--kernel-memory"),
        (&["--l3-cache-schema", "x"], 1, "RDT"),
        (&["-r", "nope.json"], 1, "nope.json"),
        (&["-r", "config.json"], 0, ""),
    ] {
        let args = [&["update"][..], args, &[ID]].concat();
        bundle.oci(&args).expect_code(code).expect_stderr(&[part]);
    }
    bundle.ok(&["kill", ID, "KILL"]);
    bundle.await_status("stopped");
    for args in [["update", ID], ["events", ID]] {
        bundle
            .oci(&args)
            .expect_code(1)
            .expect_stderr(&["it is stopped"]);
    }
    bundle.finish();
}

#[test]
fn events_tell_what_it_uses_until_it_ends() {
    need_kernel!();
    let bundle = running(json!({ "memory": { "limit": 33_554_432 }, "pids": { "limit": 50 } }));
    let once: Value =
        serde_json::from_str(&bundle.ok(&["events", "--stats", ID]).stdout()).expect("JSON");
    assert_eq!((&once["type"], &once["id"]), (&json!("stats"), &json!(ID)));
    let data = &once["data"];
    assert_eq!(data["pids"], json!({ "current": 1, "limit": 50 }));
    assert_eq!(data["memory"]["usage"]["limit"], 33_554_432);
    for used in [
        &data["memory"]["usage"]["usage"],
        &data["cpu"]["usage"]["total"],
    ] {
        assert!(used.as_u64().is_some_and(|used| used > 0), "{data}");
    }
    assert!(
        data["memory"]["raw"]
            .as_object()
            .is_some_and(|raw| !raw.is_empty())
    );
    bundle
        .oci(&["events", "--interval", "0s", ID])
        .expect_code(2)
        .expect_stderr(&["above zero"]);

    let mut child = bundle
        .command(&["events", "--interval", "100ms", ID])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("a line").expect("text");
        assert!(line.starts_with(r#"{"type":"stats""#), "{line}");
    }
    // Far more than the container may have.
    let eat = "x=a; while :; do x=$x$x; done";
    let _ = bundle.oci(&["exec", ID, "sh", "-c", eat]);
    let oom = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("oom\""));
    assert_eq!(oom.as_deref(), Some(r#"{"type":"oom","id":"one"}"#));
    bundle.ok(&["kill", ID, "KILL"]);
    assert!(child.wait().expect("ends").success());
    bundle.finish();
}

#[test]
fn a_written_example_runs() {
    need_kernel!();
    let mut bundle = Bundle::new(&["true"]);
    let own = bundle.config["mounts"].take();
    for flags in [&["spec"][..], &["spec", "--rootless"]] {
        let folder = bundle.dir.join(flags.join(""));
        fs::create_dir(&folder).expect("folder");
        let path = folder.to_str().expect("text");
        let args = [flags, &["--bundle", path]].concat();
        bundle.ok(&args);
        bundle
            .oci(&args)
            .expect_code(1)
            .expect_stderr(&["config.json", "remove it first"]);
        let text = fs::read_to_string(folder.join("config.json")).expect("written");
        bundle.config = serde_json::from_str(&text).expect("JSON");
        assert_eq!(bundle.config["process"]["args"], json!(["sh"]));
        bundle.change(json!({ "process": { "terminal": false, "args": ["echo", "fine"] } }));
        for mount in own.as_array().expect("a list").iter().skip(3) {
            bundle.mount(mount.clone());
        }
        assert_eq!(bundle.run(), "fine\n", "{flags:?}");
    }
    bundle.finish();
}

#[test]
fn a_tmpfs_can_begin_with_what_it_hides() {
    need_kernel!();
    let script = "cat /work/deep/file; stat -c %a:%u /work /work/deep/file; readlink /work/link; \
                  echo more > /work/new || echo read-only";
    for (access, end) in [("rw", ""), ("ro", "read-only\n")] {
        let mut bundle = Bundle::script(script);
        let work = bundle.root("work");
        fs::create_dir(work.join("deep")).expect("folder");
        fs::write(work.join("deep/file"), "text\n").expect("file");
        std::os::unix::fs::symlink("/etc/shadow", work.join("link")).expect("link");
        std::os::unix::fs::chown(work.join("deep/file"), Some(7), Some(7)).expect("owned");
        bundle.mount(json!({
            "destination": "/work", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "tmpcopyup", access],
        }));
        let expected = format!("text\n755:0\n644:7\n/etc/shadow\n{end}");
        assert_eq!(bundle.run(), expected);
        let kept = fs::read_to_string(bundle.root("work/deep/file")).expect("file");
        assert_eq!(kept, "text\n", "what is hidden stays");
        bundle.finish();
    }
}

//! Limits in force, usage, freezing, killing.

use gantry_engine::cgroup::Cgroup;
use gantry_engine::runtime::{Exit, Stdio, defaults};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
};
use rustix::process::Signal;

use super::Case;
use super::fixture::{container, probe};

pub const CASES: &[Case] = &[
    ("limits::are_in_the_files_of_the_cgroup", files),
    ("limits::too_much_memory_is_an_oom_kill", oom),
    ("limits::too_many_processes_are_refused", pids),
    ("limits::change_while_it_runs", update),
    ("limits::usage_is_counted", usage),
    ("limits::freeze_and_thaw", freeze),
    ("limits::kill_reaches_everyone", kill),
    ("limits::an_empty_parent_goes", parents),
    ("limits::what_cannot_be_applied_is_named", unknown),
];

fn limits(memory: i64, pids: i64) -> LinuxResources {
    let memory = LinuxMemoryBuilder::default().limit(memory);
    let pids = LinuxPidsBuilder::default().limit(pids);
    let cpu = LinuxCpuBuilder::default().quota(50_000).period(100_000u64);
    LinuxResourcesBuilder::default()
        .memory(memory.build().expect("valid"))
        .pids(pids.build().expect("valid"))
        .cpu(cpu.shares(512u64).build().expect("valid"))
        .devices(defaults::device_rules())
        .build()
        .expect("valid")
}

fn files() {
    let mut container = container(&["sleep", "60"]);
    container.limits = limits(64 << 20, 33);
    let started = container.start();
    let stats = container.cgroup.stats().expect("counted");
    assert_eq!(stats.memory_limit, Some(64 << 20));
    assert_eq!(stats.pids_limit, Some(33));
    assert_eq!(stats.pids, 1);
    let members = container.cgroup.pids().expect("listed");
    assert_eq!(members, [started.pid]);
    let layout = container.cgroup.layout();
    if let Some(cpu) = layout.route("cpu") {
        let directory = cpu.base().join(&container.name);
        let v1 = std::fs::read_to_string(directory.join("cpu.cfs_quota_us"));
        let v2 = std::fs::read_to_string(directory.join("cpu.max"));
        assert!(v1.or(v2).expect("one of them").starts_with("50000"));
    }
    // Born there: in every hierarchy, without a move.
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", started.pid.as_raw_pid()));
    let own = own.expect("readable");
    for hierarchy in layout.hierarchies() {
        for controller in hierarchy.controllers() {
            let line = own
                .lines()
                .find(|l| l.split(':').nth(1) == Some(controller));
            assert!(line.is_none_or(|l| l.ends_with(&container.name)), "{own}");
        }
    }
}

fn oom() {
    let mut container = probe(&["eat"]);
    let memory = LinuxMemoryBuilder::default().limit(16 << 20).swap(16 << 20);
    let memory = memory.build().expect("valid");
    container.limits.set_memory(Some(memory));
    let output = container.run().expect("runs");
    assert_eq!(
        output.exit,
        Exit::Signal {
            signal: 9,
            core_dumped: false
        }
    );
    assert!(container.cgroup.oom_kills().expect("counted") >= 1);
}

fn pids() {
    let script = "i=0; while [ $i -lt 20 ]; do sleep 9 & i=$((i+1)); done";
    let mut container = container(&["sh", "-c", script]);
    container.limits = limits(64 << 20, 5);
    let output = container.run().expect("runs");
    assert!(output.stderr.contains("fork"), "{}", output.stderr);
}

fn update() {
    let mut container = container(&["sleep", "60"]);
    container.limits = limits(64 << 20, 33);
    let _started = container.start();
    for memory in [128 << 20, 32 << 20] {
        let warnings = container
            .cgroup
            .update(&limits(memory, 44))
            .expect("updated");
        assert_eq!(warnings, []);
        let stats = container.cgroup.stats().expect("counted");
        assert_eq!(stats.memory_limit, Some(memory as u64));
        assert_eq!(stats.pids_limit, Some(44));
    }
}

fn usage() {
    let container = container(&[
        "sh",
        "-c",
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done",
    ]);
    container.output();
    let stats = container.cgroup.stats().expect("counted");
    assert!(
        stats.cpu_usage > 0 && stats.memory_peak.is_none_or(|peak| peak > 0),
        "{stats:?}"
    );
    assert_eq!(stats.pids, 0);
    assert_eq!(container.cgroup.oom_kills().expect("counted"), 0);
}

fn freeze() {
    let container = container(&["sh", "-c", "while :; do :; done"]);
    let _started = container.start();
    container.cgroup.freeze().expect("frozen");
    assert!(container.cgroup.is_frozen().expect("known"));
    let before = container.cgroup.stats().expect("counted").cpu_usage;
    let after = container.cgroup.stats().expect("counted").cpu_usage;
    assert_eq!(before, after);
    container.cgroup.thaw().expect("thawed");
    assert!(!container.cgroup.is_frozen().expect("known"));
}

fn kill() {
    let container = container(&["sh", "-c", "sleep 60 & sleep 60 & wait"]);
    let started = container.start();
    container.cgroup.kill(Signal::KILL).expect("killed");
    let exit = started.wait().expect("ended");
    assert_eq!(exit.code(), 137);
    container.cgroup.remove().expect("removed");
    assert_eq!(container.cgroup.pids().expect("listed"), []);
}

fn parents() {
    let container = container(&["true"]);
    let layout = container.cgroup.layout();
    let path = format!("{}/child", container.name);
    let none = LinuxResources::default();
    let (child, _) = Cgroup::create(layout, &path, &none).expect("made");
    container.cgroup.remove_if_empty();
    assert!(child.entry().is_ok(), "its parent was not empty");
    child.remove().expect("removed");
    container.cgroup.remove_if_empty();
    assert!(container.cgroup.entry().is_err());
}

fn unknown() {
    let container = container(&["true"]);
    let memory = LinuxMemoryBuilder::default().kernel(1 << 20);
    let limits = LinuxResourcesBuilder::default()
        .memory(memory.build().expect("valid"))
        .unified([("cgroup.procs".to_owned(), "1".to_owned())])
        .build()
        .expect("valid");
    let layout = container.cgroup.layout();
    let (_, warnings) = Cgroup::create(layout, &container.name, &limits).expect("made");
    let named: Vec<_> = warnings.iter().map(|w| w.limit.as_str()).collect();
    assert_eq!(named, ["kernel memory", "cgroup.procs"]);
    for path in ["", "/x", "../x", "a/../../x"] {
        assert!(Cgroup::open(layout, path).is_err(), "{path}");
    }
    drop(
        container
            .prepare(Stdio::Null)
            .expect("the empty one is reused"),
    );
}

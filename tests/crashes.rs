//! The executable killed with SIGKILL at every named crash point and at seeded times of
//! `up` and `down`: the same command again converges, and nothing is left behind.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use support::Sandbox;

const STACK: &str = "
services:
  db:
    image: host
    command: [bash, -c, \"trap 'exit 0' TERM; echo ready; sleep 1000 & wait\"]
    volumes: [\"data:/data\"]
    healthcheck:
      test: [CMD, \"true\"]
      interval: 50ms
  web:
    image: host
    command: [bash, -c, \"trap 'exit 0' TERM; sleep 1000 & wait\"]
    ports: [\"127.0.0.1::80\"]
    depends_on:
      db: { condition: service_healthy }
volumes:
  data:
";

/// Every name in `crash_point(\"…\")` below the source folders.
fn crash_points() -> BTreeSet<String> {
    fn collect(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).expect("source folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("source");
                for part in text.split("crash_point(\"").skip(1) {
                    found.extend(part.split('"').next().map(str::to_owned));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(Path::new("src"), &mut found);
    collect(Path::new("engine/src"), &mut found);
    // Bundles have a life of their own: `tests/oci/crashes.rs` holds these.
    found.retain(|point| !point.starts_with("oci."));
    found
}

/// Both services run, one container each.
#[track_caller]
fn expect_up(sandbox: &Sandbox, after: &str) {
    let running = sandbox.ok(&["ps", "--format", "json"]).stdout();
    for service in ["db", "web"] {
        let count = running
            .matches(&format!("\"Service\":\"{service}\""))
            .count();
        assert_eq!(count, 1, "{service} after {after}: {running}");
    }
}

/// Places that neither `up` nor `down` comes to.
const ELSEWHERE: &[&str] = &[
    "connect.recorded",
    "disconnect.recorded",
    "reload.joined",
    "reload.left",
    "reload.limited",
    "rename.recorded",
    "rename.reserved",
    // On networks that ask for it alone: `tests/neighbours.rs`.
    "translate.begun",
    "translate.ended",
    "update.recorded",
    "volume.replaced",
];

/// Runs a command of which one process, the command's own or a supervisor, dies at `point`; returns
/// whether one came there.
fn crash(sandbox: &Sandbox, command: &[&str], point: &str) -> bool {
    let token = sandbox.project().join("crash-token");
    fs::write(&token, "").expect("token");
    // Whether it succeeds is not the question: a supervisor may die when all is said.
    sandbox
        .command(command)
        .env("GANTRY_CRASH_AT", point)
        .env("GANTRY_CRASH_TOKEN", &token)
        .output()
        .expect("ended");
    fs::remove_file(&token).is_err()
}

#[test]
fn up_converges_after_a_crash_at_every_point() {
    need_kernel!();
    let points = crash_points();
    assert!(points.len() > 5, "{points:?}");
    let mut reached = BTreeSet::new();
    let sandbox = Sandbox::of_compose(STACK);
    for point in &points {
        let mut met = crash(&sandbox, &["up", "-d"], point);
        sandbox.ok(&["up", "-d", "--wait"]);
        expect_up(&sandbox, point);
        met |= crash(&sandbox, &["down"], point);
        if met {
            reached.insert(point.clone());
        }
        sandbox.ok(&["down", "-v"]);
        assert_eq!(
            sandbox.ok(&["container", "ls", "-aq"]).stdout(),
            "",
            "after {point}"
        );
    }
    sandbox.finish();
    let missed: Vec<_> = points
        .iter()
        .filter(|point| !reached.contains(*point) && !ELSEWHERE.contains(&point.as_str()))
        .collect();
    assert!(missed.is_empty(), "not on the way: {missed:?}");
}

#[test]
fn up_and_down_converge_after_a_kill_at_seeded_times() {
    need_kernel!();
    // A linear congruential sequence: other times each round, the same in every run.
    let mut seed = 20_261_121_u64;
    let sandbox = Sandbox::of_compose(STACK);
    for round in 0..12 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros((seed >> 33) % 120_000);
        for verb in [&["up", "-d"][..], &["down"][..]] {
            let mut child = sandbox.spawn(verb);
            std::thread::sleep(delay);
            // It may have ended already.
            let _ = child.kill();
            child.wait().expect("ended");
        }
        sandbox.ok(&["up", "-d", "--wait"]);
        expect_up(&sandbox, &format!("round {round}, killed after {delay:?}"));
    }
    sandbox.ok(&["down", "-v"]);
    sandbox.finish();
}

//! Gantry beside Docker: one run, alternating, minimum and median of each.
//!
//! `cargo bench --bench peers [-- ROUNDS] [times|many|ports|logs]...`; without names, everything is measured. The peer
//! is the `docker` command (with its compose plugin) named by `GANTRY_BENCH_DOCKER`, or found in PATH, when its daemon
//! answers; without one, our figures stand alone. Everything runs below a root of its
//! own and is removed at the end.

#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

mod floor;
mod logs;
mod many;
mod ports;
mod tools;

use std::time::{Duration, Instant};

use floor::Floor;
use tools::{Docker, Gantry, Tool};

fn main() {
    // `cargo test --benches` runs this with `--test`: there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    if Floor::dispatch() || ports::dispatch() || logs::dispatch() {
        return;
    }
    let rounds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(10);
    let gantry = Gantry::set_up();
    let docker = Docker::find();
    println!("{}\n", machine());
    match &docker {
        Some(docker) => println!("peer: {}\n", docker.version()),
        None => println!("peer: none answers; our figures alone\n"),
    }
    let parts = ["times", "many", "ports", "logs"];
    let named = |part: &str| std::env::args().any(|arg| arg == part);
    let wanted = |part| named(part) || !parts.into_iter().any(named);
    if wanted("times") {
        times(rounds, &gantry, docker.as_ref());
        memory(&gantry);
    }
    let peer = docker.as_ref().map(|docker| docker as &dyn Tool);
    for (part, measure) in [
        (
            "many",
            many::measure as fn(usize, &dyn Tool, Option<&dyn Tool>),
        ),
        ("ports", ports::measure),
        ("logs", logs::measure),
    ] {
        if wanted(part) {
            measure(rounds, &gantry, peer);
        }
    }
    println!("\n{}", load());
    gantry.tear_down();
    if let Some(docker) = docker {
        docker.tear_down();
    }
}

fn times(rounds: usize, gantry: &Gantry, docker: Option<&Docker>) {
    println!("| what | gantry min / median | docker min / median | ratio | floor min / median |");
    println!("|---|---|---|---|---|");
    for case in CASES {
        let (ours, theirs) = alternate(case, rounds, gantry, docker);
        row(
            case.name,
            &ours,
            theirs.as_deref(),
            &case.floor.measure(rounds),
        );
    }
}

/// Rest before each measurement.
const SETTLE: Duration = Duration::from_millis(300);

/// One thing measured: preparation that is not timed, the timed step, clean-up.
struct Case {
    name: &'static str,
    floor: Floor,
    before: fn(&dyn Tool),
    timed: fn(&dyn Tool),
    after: fn(&dyn Tool),
}

fn nothing(_: &dyn Tool) {}

const CASES: &[Case] = &[
    Case {
        name: "`container run --rm` of `true`, bridge network",
        floor: Floor::Container { network: true },
        before: nothing,
        timed: |t| t.run_true("bridge"),
        after: nothing,
    },
    Case {
        name: "the same, no network",
        floor: Floor::Container { network: false },
        before: nothing,
        timed: |t| t.run_true("none"),
        after: nothing,
    },
    Case {
        name: "`up -d` of 10 services",
        floor: Floor::Containers(10),
        before: nothing,
        timed: |t| t.compose(10, &["up", "-d"]),
        after: |t| t.compose(10, &["down"]),
    },
    Case {
        name: "`down` of 10 services",
        floor: Floor::Process,
        before: |t| t.compose(10, &["up", "-d"]),
        timed: |t| t.compose(10, &["down"]),
        after: nothing,
    },
    Case {
        name: "`up -d` of 32 services",
        floor: Floor::Containers(32),
        before: nothing,
        timed: |t| t.compose(32, &["up", "-d"]),
        after: |t| t.compose(32, &["down"]),
    },
    Case {
        name: "`up -d` of 10 services, nothing changed",
        floor: Floor::Process,
        before: |t| t.compose(10, &["up", "-d"]),
        timed: |t| t.compose(10, &["up", "-d"]),
        after: nothing,
    },
    Case {
        name: "`exec` of `true`",
        floor: Floor::Process,
        before: |t| t.compose(10, &["up", "-d"]),
        timed: |t| t.compose(10, &["exec", "-T", "s1", "true"]),
        after: nothing,
    },
];

/// Times ours and theirs in turn, so that both meet the same machine.
fn alternate(
    case: &Case,
    rounds: usize,
    gantry: &Gantry,
    docker: Option<&Docker>,
) -> (Vec<Duration>, Option<Vec<Duration>>) {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..rounds {
        ours.push(once(case, gantry));
        if let Some(docker) = docker {
            theirs.push(once(case, docker));
        }
    }
    gantry.compose(10, &["down"]);
    if let Some(docker) = docker {
        docker.compose(10, &["down"]);
    }
    (ours, docker.map(|_| theirs))
}

fn once(case: &Case, tool: &dyn Tool) -> Duration {
    (case.before)(tool);
    // Who was measured before leaves work to the kernel and to daemons, which take namespaces and
    // networks down when nobody waits for it: that is none of ours, nor ours theirs.
    std::thread::sleep(SETTLE);
    let start = Instant::now();
    (case.timed)(tool);
    let took = start.elapsed();
    (case.after)(tool);
    took
}

/// Private memory of what stays running for idle containers.
fn memory(gantry: &Gantry) {
    gantry.compose(10, &["up", "-d"]);
    std::thread::sleep(Duration::from_millis(500));
    let private = |role| Gantry::private_memory(role) as f64 / 10.0 / 1e6;
    let (supervisor, keeper) = (private("__supervisor"), private("__keeper"));
    gantry.compose(10, &["down"]);
    println!(
        "| private memory of an idle supervisor, and of the keeper beside it | {supervisor:.2} + {keeper:.2} MB | | | |"
    );
}

fn row(name: &str, ours: &[Duration], theirs: Option<&[Duration]>, floor: &[Duration]) {
    let (min, median) = min_median(ours);
    let (peer, ratio) = match theirs.map(min_median) {
        Some((peer_min, peer_median)) => (
            pair(peer_min, peer_median),
            format!("{:.0}×", peer_median.as_secs_f64() / median.as_secs_f64()),
        ),
        None => (String::new(), String::new()),
    };
    let (floor_min, floor_median) = min_median(floor);
    println!(
        "| {name} | {} | {peer} | {ratio} | {} |",
        pair(min, median),
        pair(floor_min, floor_median)
    );
}

fn pair(min: Duration, median: Duration) -> String {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    format!("{:.1} / {:.1} ms", ms(min), ms(median))
}

/// Minimum and median of a sample that is not empty.
fn min_median(sample: &[Duration]) -> (Duration, Duration) {
    let mut sorted = sample.to_vec();
    sorted.sort();
    (sorted[0], sorted[sorted.len() / 2])
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([':', ' ', '\t']).to_owned())
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "machine: {cores} × {model}, Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn load() -> String {
    format!(
        "load at the end: {}",
        std::fs::read_to_string("/proc/loadavg")
            .unwrap_or_default()
            .trim()
    )
}

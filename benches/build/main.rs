//! Builds of a made-up project beside Docker's: from nothing, with nothing changed, with one file edited.
//!
//! `cargo bench --bench build [-- ROUNDS]`, as root. The project has 5,000 files of 20 KiB and eight
//! instructions. `GANTRY_BENCH_GANTRY` names another executable of ours to measure. The peer is the `docker` command named by `GANTRY_BENCH_DOCKER`, or found in
//! PATH, when its daemon answers. Everything lies below folders of its own, in `/var/tmp`, and is removed
//! at the end.

#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

mod project;
#[path = "../random.rs"]
mod random;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use project::Project;

const BASE: &str = "gantry-bench-base:latest";
const IMAGE: &str = "gantry-bench-build:latest";

fn main() {
    // `cargo test --benches` runs this with `--test`: there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let rounds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(5);
    let folder = tempfile::Builder::new()
        .prefix("gantry-bench-")
        .tempdir_in("/var/tmp")
        .expect("a folder in /var/tmp");
    let project = Project::make(folder.path());
    println!(
        "| build of 5,000 files, 100 MB | gantry min / median | docker min / median | ratio |"
    );
    println!("|---|---|---|---|");
    let mut tools = vec![Tool::gantry(folder.path())];
    tools.extend(Tool::docker());
    for case in [Case::Cold, Case::Same, Case::Edited] {
        let mut times = vec![Vec::new(); tools.len()];
        for _ in 0..rounds {
            for (tool, times) in tools.iter().zip(&mut times) {
                times.push(once(case, tool, &project));
            }
        }
        row(case, &times);
    }
    for tool in &tools {
        tool.forget();
    }
}

/// What is measured.
#[derive(Clone, Copy)]
enum Case {
    /// The base image is there, and nothing else.
    Cold,
    /// The build before it was the same.
    Same,
    /// One line was added to one file since.
    Edited,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Cold => "from nothing",
            Self::Same => "nothing changed",
            Self::Edited => "one file edited",
        }
    }
}

fn once(case: Case, tool: &Tool, project: &Project) -> Duration {
    match case {
        Case::Cold => tool.clear(project),
        Case::Same => {}
        Case::Edited => {
            tool.build(project);
            project.edit();
        }
    }
    // What the rounds before left to be written must not be paid by this one.
    rustix::fs::sync();
    let start = Instant::now();
    tool.build(project);
    start.elapsed()
}

/// A builder: a command and the arguments that go before its own.
struct Tool {
    program: String,
    first: Vec<String>,
    docker: bool,
}

impl Tool {
    fn gantry(folder: &Path) -> Self {
        let root = folder.join("root");
        Self {
            program: std::env::var("GANTRY_BENCH_GANTRY")
                .unwrap_or_else(|_| env!("CARGO_BIN_EXE_gantry").to_owned()),
            first: vec!["--root".into(), root.display().to_string(), "image".into()],
            docker: false,
        }
    }

    fn docker() -> Option<Self> {
        let program = std::env::var("GANTRY_BENCH_DOCKER").unwrap_or_else(|_| "docker".into());
        let answers = Command::new(&program)
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        answers.then(|| Self {
            program,
            first: Vec::new(),
            docker: true,
        })
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new(&self.program)
            .args(&self.first)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the builder starts");
        assert!(
            output.status.success(),
            "{} {arguments:?}: {}",
            self.program,
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn build(&self, project: &Project) {
        self.run(&["build", "-q", "-t", IMAGE, project.context()]);
    }

    /// Takes everything away that a build left, and makes the base image again.
    fn clear(&self, project: &Project) {
        if self.docker {
            self.run(&["builder", "prune", "-a", "-f"]);
        } else {
            self.remove_root();
        }
        self.run(&["build", "-q", "-t", BASE, project.base()]);
    }

    fn remove_root(&self) {
        if let Some(root) = self.first.get(1).filter(|root| Path::new(root).exists()) {
            // Without the bridge of its steps' network.
            let prune = ["--root", root, "system", "prune", "--all", "--force"];
            let pruned = Command::new(&self.program)
                .args(prune)
                .stdout(Stdio::null())
                .status();
            assert!(pruned.is_ok_and(|status| status.success()), "{prune:?}");
            std::fs::remove_dir_all(root).expect("the root can be removed");
        }
    }

    fn forget(&self) {
        if self.docker {
            self.run(&["image", "rm", "-f", IMAGE, BASE]);
        } else {
            self.remove_root();
        }
    }
}

fn row(case: Case, times: &[Vec<Duration>]) {
    let pair = |times: &Vec<Duration>| {
        let mut sorted = times.clone();
        sorted.sort();
        let ms = |at: usize| sorted[at].as_secs_f64() * 1e3;
        (ms(0), ms(sorted.len() / 2))
    };
    let (min, median) = pair(&times[0]);
    let (peer, ratio) = match times.get(1).map(pair) {
        Some((theirs, middle)) => (
            format!("{theirs:.0} / {middle:.0} ms"),
            format!("{:.1}×", middle / median),
        ),
        None => (String::new(), String::new()),
    };
    println!(
        "| {} | {min:.1} / {median:.1} ms | {peer} | {ratio} |",
        case.name()
    );
}

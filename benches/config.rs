//! How long `config` takes, whole process, against `docker compose` where it is installed.
//!
//! `cargo bench --bench config [-- ROUNDS]`. `COMPOSE` may name another program than `docker
//! compose`, such as `docker-compose`. The files are generated: every service extends
//! another, merges anchors and fills variables in. Ours and theirs take turns in one run; the
//! table also says how the time grows with the number of services.

#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");
/// Services of each generated file.
const SIZES: [usize; 4] = [250, 500, 1000, 2000];

fn main() {
    let rounds = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next()
        .unwrap_or(7);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let peer = Peer::find();
    if peer.is_none() {
        println!("`docker compose` is not installed: ours alone");
    }
    println!("{rounds} rounds; min / median");
    println!(
        "{:<16} {:>20} {:>22} {:>8}",
        "config of", "gantry", "docker compose", "ratio"
    );
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/compose.yaml");
    row("the quickstart", &quickstart, rounds, peer.as_ref());
    let mut medians = Vec::new();
    for services in SIZES {
        let file = dir.path().join(format!("{services}.yaml"));
        std::fs::write(&file, generated(services)).expect("writable");
        medians.push(row(
            &format!("{services} services"),
            &file,
            rounds,
            peer.as_ref(),
        ));
    }
    let (first, last) = (medians[0], medians[SIZES.len() - 1]);
    println!(
        "{} times the services take {:.1} times as long",
        SIZES[SIZES.len() - 1] / SIZES[0],
        last.as_secs_f64() / first.as_secs_f64()
    );
}

/// The program to compare with.
struct Peer(Vec<String>);

impl Peer {
    fn find() -> Option<Self> {
        let peer = Self(match std::env::var("COMPOSE") {
            Ok(program) => vec![program],
            Err(_) => vec!["docker".to_owned(), "compose".to_owned()],
        });
        let works = peer
            .command()
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        works.then_some(peer)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }
}

/// One line of the table; our median.
fn row(name: &str, file: &Path, rounds: usize, peer: Option<&Peer>) -> Duration {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(time(Command::new(GANTRY).arg("-f").arg(file)));
        if let Some(peer) = peer {
            theirs.push(time(peer.command().arg("-f").arg(file)));
        }
    }
    let median = median(&mut ours);
    let (other, ratio) = if theirs.is_empty() {
        (String::new(), String::new())
    } else {
        let other = self::median(&mut theirs);
        let ratio = other.as_secs_f64() / median.as_secs_f64();
        (pair(&theirs, other), format!("{ratio:.1}×"))
    };
    println!(
        "{name:<16} {:>20} {other:>22} {ratio:>8}",
        pair(&ours, median)
    );
    median
}

fn time(command: &mut Command) -> Duration {
    let command = command
        .arg("config")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let took = start.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    took
}

fn median(sample: &mut [Duration]) -> Duration {
    sample.sort();
    sample[sample.len() / 2]
}

fn pair(sorted: &[Duration], median: Duration) -> String {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    format!("{:.1} / {:.1} ms", ms(sorted[0]), ms(median))
}

fn generated(services: usize) -> String {
    let mut text = String::from(
        "x-env: &env
  LOG: ${LOG:-info}
  REGION: ${REGION:-eu}
x-check: &check
  interval: 5s
  retries: 3
services:
  base:
    image: host
    restart: unless-stopped
    environment: { <<: *env, BASE: \"1\" }
    logging: { driver: json-file, options: { max-size: 10m } }
",
    );
    for i in 0..services {
        let _ = write!(
            text,
            "  s{i}:
    extends: {{ service: base }}
    image: registry.example/app{i}:${{TAG:-1.{i}}}
    command: [\"serve\", \"--port\", \"80\"]
    environment:
      <<: *env
      NAME: s{i}
      URL: http://${{HOST_NAME:-h}}:{i}
    ports: [\"{}:80\"]
    volumes: [\"data{}:/data\", \"./conf/{i}:/conf:ro\"]
    networks: [n{}]
    healthcheck: {{ <<: *check, test: [\"CMD\", \"check\", \"{i}\"] }}
    labels: {{ app: s{i}, tier: \"${{TIER:-web}}\" }}
",
            10_000 + i,
            i % 50,
            i % 10,
        );
        if i > 0 {
            let _ = writeln!(text, "    depends_on: [s{}]", i - 1);
        }
    }
    text.push_str("networks:\n");
    for i in 0..10 {
        let _ = writeln!(text, "  n{i}: {{}}");
    }
    text.push_str("volumes:\n");
    for i in 0..50 {
        let _ = writeln!(text, "  data{i}: {{}}");
    }
    text
}

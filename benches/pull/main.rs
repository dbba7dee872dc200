//! Pull and load of a 300 MB image of six layers, from a registry on loopback, beside `docker`'s and the floor: the
//! same layers through `gzip -dc`, as many at once as there are cores, written nowhere.
//!
//! Every pull and load of ours goes into a root of its own, and nothing is removed before the end: ext4 passes over
//! each inode that was freed in the last minutes when it looks for a free one, which makes the creation of files
//! after a removal several times slower. `docker` has one root, and removes the image each time.
//!
//! `cargo bench --bench pull [-- ROUNDS]`, as root, with the programs `docker-registry` and `gzip`.
//! `GANTRY_BENCH_GANTRY` names another executable of ours to measure. The peer is the `docker` command named by
//! `GANTRY_BENCH_DOCKER`, or found in PATH, when its daemon answers. Everything lies below a folder of its own in
//! `/var/tmp` and is removed at the end.

#![expect(clippy::print_stdout, reason = "the table is what a benchmark is for")]

#[path = "../random.rs"]
mod random;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use random::Random;
use server::Server;

/// Three layers of one file, and three of many.
const LARGE: usize = 50 << 20;
const MANY: usize = 2_500;
const SMALL: usize = 20 << 10;
const NAME: &str = "bench/pull:1";

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
    let Some(server) = Server::start(folder.path()) else {
        println!("skipped: needs the program docker-registry");
        return;
    };
    let image = format!("{}/{NAME}", server.address);
    let archive = folder.path().join("image.tar");
    publish(folder.path(), &image, &archive);
    let blobs = layers(folder.path());
    let mut pulls: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut roots = 0;
    let mut ours = |arguments: &[&str]| {
        roots += 1;
        let root = folder.path().join(format!("root{roots}"));
        gantry(&root, &["system", "info"]);
        let start = Instant::now();
        gantry(&root, arguments);
        start.elapsed()
    };
    let load = ["image", "load", "-q", "-i", &archive.to_string_lossy()];
    let pull = ["image", "pull", "-q", &image];
    pulls.push(("gantry pull", measure(rounds, || ours(&pull))));
    if let Some(docker) = docker() {
        let theirs = || {
            let time = timed(Command::new(&docker).args(["pull", "-q", &image]));
            timed(Command::new(&docker).args(["image", "rm", "-f", &image]));
            time
        };
        pulls.push(("docker pull", measure(rounds, theirs)));
    }
    pulls.push(("gantry load", measure(rounds, || ours(&load))));
    pulls.push((
        "floor: gunzip on all cores",
        measure(rounds, || gunzip(&blobs)),
    ));
    println!("| image of 6 layers, 300 MB | min / median |\n|---|---|");
    for (name, mut times) in pulls {
        times.sort();
        let ms = |at: usize| times[at].as_secs_f64() * 1e3;
        println!("| {name} | {:.0} / {:.0} ms |", ms(0), ms(times.len() / 2));
    }
}

fn measure(rounds: usize, mut once: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..rounds)
        .map(|_| {
            // What the rounds before left to be written must not be paid by this one.
            rustix::fs::sync();
            once()
        })
        .collect()
}

fn gantry(root: &Path, arguments: &[&str]) {
    let program = std::env::var("GANTRY_BENCH_GANTRY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_gantry").to_owned());
    timed(
        Command::new(program)
            .arg("--root")
            .arg(root)
            .args(arguments),
    );
}

/// Runs a command to its end, which must be a success.
fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    time
}

fn docker() -> Option<String> {
    let program = std::env::var("GANTRY_BENCH_DOCKER").unwrap_or_else(|_| "docker".into());
    let mut command = Command::new(&program);
    let answers = command
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    answers
        .status()
        .is_ok_and(|status| status.success())
        .then_some(program)
}

/// Builds the image, saves it, and pushes it.
fn publish(folder: &Path, image: &str, archive: &Path) {
    let context = folder.join("context");
    let mut random = Random::default();
    let mut dockerfile = "FROM scratch\n".to_owned();
    for number in 0..3 {
        let large = context.join(format!("large{number}"));
        fs::create_dir_all(&large).expect("context");
        fs::write(large.join("file"), random.text(LARGE)).expect("context");
        let many = context.join(format!("many{number}"));
        for file in 0..MANY {
            let path = many.join(format!("d{:02}/f{file}", file % 50));
            fs::create_dir_all(path.parent().expect("a folder")).expect("context");
            fs::write(path, random.text(SMALL)).expect("context");
        }
        dockerfile +=
            &format!("COPY large{number} /large{number}\nCOPY many{number} /many{number}\n");
    }
    fs::write(context.join("Dockerfile"), dockerfile).expect("context");
    let root = folder.join("builder");
    let place = context.to_string_lossy();
    gantry(&root, &["image", "build", "-q", "-t", image, &place]);
    gantry(&root, &["image", "push", "-q", image]);
    gantry(
        &root,
        &["image", "save", "-o", &archive.to_string_lossy(), image],
    );
    for done in [root, context] {
        fs::remove_dir_all(done).expect("it can be removed");
    }
}

/// The compressed layers where the registry keeps them.
fn layers(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("registry")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)
            .expect("the registry's folder")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if entry.file_name() == "data"
                && fs::read(&path).is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]))
            {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 6, "{found:?}");
    found
}

/// Decompresses all layers, the largest first.
fn gunzip(layers: &[PathBuf]) -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(layer) = layers.get(number) else {
                        break;
                    };
                    let mut command = Command::new("gzip");
                    let file = fs::File::open(layer).expect("the layer");
                    let status = command
                        .arg("-dc")
                        .stdin(file)
                        .stdout(Stdio::null())
                        .status();
                    assert!(status.expect("gzip starts").success());
                }
            });
        }
    });
    start.elapsed()
}

//! Published ports: bytes from a container through whatever relays them to a client on this
//! machine's loopback, and the processor time of who relays.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::tools::Tool;

/// How long a sample takes.
const SAMPLE: Duration = Duration::from_millis(1500);
const FLAG: &str = "--pour";
/// As much as a program that serves files writes at once.
const BLOCK: usize = 128 << 10;

/// What the server in the container is started with.
pub const SERVER: [&str; 3] = ["pour", FLAG, "80"];

/// Runs the server's part when the arguments ask for it; true if they did.
pub fn dispatch() -> bool {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == FLAG) else {
        return false;
    };
    let port: u16 = args[at + 1].parse().expect("a port");
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("the port is free");
    for stream in listener.incoming() {
        std::thread::spawn(|| pour(stream.expect("a client")));
    }
    true
}

/// Writes until nobody reads.
fn pour(mut stream: TcpStream) {
    let block = vec![0x5a; BLOCK];
    while stream.write_all(&block).is_ok() {}
}

/// Throughput of one sample, and what it cost.
#[derive(Clone, Copy)]
struct Sample {
    /// 10^6 bytes a second.
    speed: f64,
    /// Seconds of processor time of the relaying processes for 10^9 bytes.
    cost: f64,
}

/// Prints a row for 1 connection and one for 4.
pub fn measure(rounds: usize, ours: &dyn Tool, theirs: Option<&dyn Tool>) {
    println!(
        "\n| published port, loopback | gantry MB/s · CPU s/GB | docker MB/s · CPU s/GB | speed | CPU |"
    );
    println!("|---|---|---|---|---|");
    let tools: Vec<(&dyn Tool, u16)> = [Some(ours), theirs]
        .into_iter()
        .flatten()
        .map(|tool| (tool, tool.publish()))
        .collect();
    for connections in [1, 4] {
        let mut samples = vec![Vec::new(); tools.len()];
        for _ in 0..rounds {
            for ((tool, port), samples) in tools.iter().zip(&mut samples) {
                samples.push(sample(*tool, *port, connections));
            }
        }
        let medians: Vec<Sample> = samples.iter().map(|samples| median(samples)).collect();
        let shown = |sample: &Sample| format!("{:.0} · {:.2}", sample.speed, sample.cost);
        let (peer, speed, cost) = match medians.get(1) {
            Some(peer) => (
                shown(peer),
                format!("{:.2}×", medians[0].speed / peer.speed),
                format!("{:.2}×", medians[0].cost / peer.cost),
            ),
            None => Default::default(),
        };
        let ours = shown(&medians[0]);
        let plural = if connections == 1 { "" } else { "s" };
        println!("| {connections} connection{plural} | {ours} | {peer} | {speed} | {cost} |");
    }
    for (tool, _) in tools {
        tool.unpublish();
    }
}

fn sample(tool: &dyn Tool, port: u16, connections: usize) -> Sample {
    let relays = tool.relays(port);
    assert!(!relays.is_empty(), "somebody relays");
    let used = || relays.iter().map(|pid| processor_time(*pid)).sum::<f64>();
    let before = used();
    let begin = Instant::now();
    let clients: Vec<_> = (0..connections)
        .map(|_| std::thread::spawn(move || drain(port, begin + SAMPLE)))
        .collect();
    let bytes: u64 = clients
        .into_iter()
        .map(|client| client.join().expect("a client"))
        .sum();
    let took = begin.elapsed().as_secs_f64();
    Sample {
        speed: bytes as f64 / 1e6 / took,
        cost: (used() - before) / (bytes as f64 / 1e9),
    }
}

/// Reads until then; how many bytes.
fn drain(port: u16, until: Instant) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is published");
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    while Instant::now() < until {
        match stream.read(&mut block).expect("the server goes on") {
            0 => break,
            n => bytes += n as u64,
        }
    }
    bytes
}

/// Seconds of processor time of a process, its threads included.
fn processor_time(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    // What follows the name, which may hold anything: fields from the third on.
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name")..]
        .split_ascii_whitespace()
        .collect();
    let ticks: u64 = [fields[12], fields[13]]
        .iter()
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    ticks as f64 / 100.0
}

fn median(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| {
        let mut all: Vec<f64> = samples.iter().map(field).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Sample {
        speed: of(|sample| sample.speed),
        cost: of(|sample| sample.cost),
    }
}

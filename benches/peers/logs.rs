//! Logs: how fast a container can write without losing a line, and how fast they are read again.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::tools::Tool;

/// What the container writes.
const BYTES: u64 = 200 << 20;
/// Bytes of a line.
const LINE: usize = 128;
/// Lines that are written at once, as by a program whose output is a pipe.
const AT_ONCE: usize = 64;
const FLAG: &str = "--lines";
const NAME: &str = "gantry-bench-logs";

/// What the container runs, with a copy of this program.
pub const WRITER: [&str; 2] = [crate::ports::SERVER[0], FLAG];

/// Writes lines when the arguments ask for it; true if they did.
pub fn dispatch() -> bool {
    if !std::env::args().any(|arg| arg == FLAG) {
        return false;
    }
    let mut out = std::io::stdout().lock();
    let mut block = Vec::with_capacity(LINE * AT_ONCE);
    for number in 0..BYTES / LINE as u64 {
        let text = format!("{number:010} ");
        block.extend(text.bytes());
        block.resize(block.len() + LINE - text.len() - 1, b'x');
        block.push(b'\n');
        if block.len() == LINE * AT_ONCE {
            out.write_all(&block).expect("somebody reads");
            block.clear();
        }
    }
    out.write_all(&block).expect("somebody reads");
    true
}

/// Prints a row for writing and one for reading.
pub fn measure(rounds: usize, ours: &dyn Tool, theirs: Option<&dyn Tool>) {
    println!("\n| logs of one container, 200 MB in lines | gantry MB/s | docker MB/s | speed |");
    println!("|---|---|---|---|");
    let tools: Vec<&dyn Tool> = [Some(ours), theirs].into_iter().flatten().collect();
    let mut written = vec![Vec::new(); tools.len()];
    let mut read = vec![Vec::new(); tools.len()];
    for _ in 0..rounds {
        for (index, tool) in tools.iter().enumerate() {
            written[index].push(speed(|| tool.log(NAME, &WRITER)));
            read[index].push(speed(|| check(*tool)));
            tool.remove(NAME);
        }
    }
    for (what, mut samples) in [("written", written), ("read again, nothing missing", read)] {
        let medians: Vec<f64> = samples.iter_mut().map(|sample| median(sample)).collect();
        let (peer, ratio) = match medians.get(1) {
            Some(peer) => (format!("{peer:.0}"), format!("{:.1}×", medians[0] / peer)),
            None => Default::default(),
        };
        println!("| {what} | {:.0} | {peer} | {ratio} |", medians[0]);
    }
}

/// 10^6 bytes a second.
fn speed(act: impl FnOnce()) -> f64 {
    let start = Instant::now();
    act();
    let took: Duration = start.elapsed();
    BYTES as f64 / 1e6 / took.as_secs_f64()
}

/// Reads everything and finds every line in its place.
fn check(tool: &dyn Tool) {
    let mut command = tool.command();
    command
        .args(["container", "logs", NAME])
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::with_capacity(1 << 20, child.stdout.take().expect("a pipe"));
    let mut line = Vec::with_capacity(LINE);
    let mut number = 0;
    while lines.read_until(b'\n', &mut line).expect("lines") > 0 {
        let found = std::str::from_utf8(&line[..10])
            .ok()
            .and_then(|text| text.parse().ok());
        assert!(
            line.len() == LINE && found == Some(number),
            "line {number} is missing"
        );
        number += 1;
        line.clear();
    }
    assert_eq!(number, BYTES / LINE as u64, "lines are missing at the end");
    assert!(child.wait().expect("its end").success());
}

fn median(sample: &mut [f64]) -> f64 {
    sample.sort_by(f64::total_cmp);
    sample[sample.len() / 2]
}

//! Many containers: what starting, listing and stopping them takes, for a few and for four times as many, so that
//! whatever grows faster than their number shows.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::tools::Tool;

const NUMBERS: [usize; 2] = [50, 200];

/// Prints a row for each step and number.
pub fn measure(rounds: usize, ours: &dyn Tool, theirs: Option<&dyn Tool>) {
    println!("\n| many containers | gantry | docker | ratio |");
    println!("|---|---|---|---|");
    let tools: Vec<&dyn Tool> = [Some(ours), theirs].into_iter().flatten().collect();
    for number in NUMBERS {
        let steps: Vec<[Duration; 3]> = tools
            .iter()
            .map(|tool| sample(rounds, *tool, number))
            .collect();
        for (step, name) in ["`up -d`", "`container ls`, median", "`down`"]
            .iter()
            .enumerate()
        {
            let ms = |tool: usize| steps.get(tool).map(|steps| steps[step].as_secs_f64() * 1e3);
            let shown =
                |time: Option<f64>| time.map(|ms| format!("{ms:.1} ms")).unwrap_or_default();
            let ratio = ms(1)
                .zip(ms(0))
                .map(|(peer, own)| format!("{:.0}×", peer / own));
            println!(
                "| {name} of {number} | {} | {} | {} |",
                shown(ms(0)),
                shown(ms(1)),
                ratio.unwrap_or_default()
            );
        }
    }
}

/// Start, list, stop.
fn sample(rounds: usize, tool: &dyn Tool, number: usize) -> [Duration; 3] {
    let up = time(|| tool.compose(number, &["up", "-d"]));
    let mut lists: Vec<Duration> = (0..rounds.max(3))
        .map(|_| time(|| list(tool, number)))
        .collect();
    lists.sort();
    let down = time(|| tool.compose(number, &["down"]));
    [up, lists[lists.len() / 2], down]
}

fn time(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn list(tool: &dyn Tool, number: usize) {
    let mut command = tool.command();
    command.args(["container", "ls"]).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(lines > number, "{lines} lines of {number} containers");
}

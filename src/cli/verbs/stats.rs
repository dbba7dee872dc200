//! `stats`: display a live stream of container(s) resource usage statistics.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::backend::{Container, Usage};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{List, print};
use crate::cli::session::{OneOff, Session};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text::{binary_size, size};

/// What was typed after `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Show all containers.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Format output using a custom template: 'table': Print output in table format with column headers 'table TEMPLATE': Print output in table format using the given Go template 'json': Print in JSON format 'TEMPLATE': Print output using the given Go template.
    #[arg(long)]
    pub format: Option<String>,
    /// Disable streaming stats and only pull the first result.
    #[arg(long)]
    pub no_stream: bool,
    /// Do not truncate output.
    #[arg(long)]
    pub no_trunc: bool,
    /// Services.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Time between two looks, and so between two drawings.
const BEAT: Duration = Duration::from_secs(1);

/// Runs the verb.
pub fn run(global: &Global, args: StatsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(args.format.as_deref().unwrap_or("table"))?;
    let session = Session::named(global)?;
    let live = !args.no_stream && std::io::stdout().is_terminal();
    // CPU use is a difference, so the first look shows nothing yet.
    let mut before = look(&session, &args)?;
    loop {
        std::thread::sleep(BEAT.saturating_sub(before.at.elapsed()));
        let now = look(&session, &args)?;
        let rows: Vec<Value> = now
            .rows
            .iter()
            .map(|row| to_json(row, &now, &before, &args))
            .collect();
        if live {
            print("\x1b[H\x1b[J")?;
        }
        List {
            format: format.clone(),
            rows: rows.clone(),
        }
        .print(|| table(&rows))?;
        if args.no_stream {
            return Ok(Exit::Success);
        }
        before = now;
    }
}

struct Look {
    at: Instant,
    rows: Vec<(Container, Usage)>,
}

fn look(session: &Session, args: &StatsArgs) -> Result<Look, CliError> {
    let mut containers = session.of_services(&args.services, OneOff::Exclude)?;
    containers.retain(|container| args.all || container.state.is_live());
    let at = Instant::now();
    let mut rows = Vec::new();
    for container in containers {
        let usage = if container.state.is_live() {
            // One that ended meanwhile uses nothing.
            session.backend.stats(&container.id).unwrap_or_default()
        } else {
            Usage::default()
        };
        rows.push((container, usage));
    }
    Ok(Look { at, rows })
}

fn to_json(
    (container, usage): &(Container, Usage),
    now: &Look,
    before: &Look,
    args: &StatsArgs,
) -> Value {
    let earlier = before
        .rows
        .iter()
        .find(|(other, _)| other.id == container.id);
    let used = earlier.map_or(Duration::ZERO, |(_, earlier)| {
        usage.cpu.saturating_sub(earlier.cpu)
    });
    let span = now.at.duration_since(before.at).as_secs_f64();
    let cpu = if span > 0.0 {
        used.as_secs_f64() / span * 100.0
    } else {
        0.0
    };
    let memory = if usage.memory_limit > 0 {
        usage.memory as f64 / usage.memory_limit as f64 * 100.0
    } else {
        0.0
    };
    let id = if args.no_trunc {
        container.id.0.clone()
    } else {
        container.id.short().to_owned()
    };
    json!({
        "BlockIO": format!("{} / {}", size(usage.block_in), size(usage.block_out)),
        "CPUPerc": format!("{cpu:.2}%"),
        "Container": container.name,
        "ID": id,
        "MemPerc": format!("{memory:.2}%"),
        "MemUsage": format!("{} / {}", binary_size(usage.memory), binary_size(usage.memory_limit)),
        "Name": container.name,
        "NetIO": format!("{} / {}", size(usage.network_in), size(usage.network_out)),
        "PIDs": usage.pids.to_string(),
    })
}

fn table(rows: &[Value]) -> Table {
    let columns = [
        "ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs",
    ];
    let titles = [
        "CONTAINER ID",
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "MEM %",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
    ];
    let mut table = Table::new(&titles, 10);
    for row in rows {
        table.row(columns.map(|column| row[column].as_str().unwrap_or_default().to_owned()));
    }
    table
}

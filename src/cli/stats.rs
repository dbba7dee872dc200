//! What containers use, again and again: `stats` of Compose and of the engine.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::Usage;
use crate::cli::error::CliError;
use crate::cli::output::{List, print};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text::{binary_size, size};

/// Time between two looks, and so between two drawings.
const BEAT: Duration = Duration::from_secs(1);

/// One container's usage.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its whole id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// As the user named it.
    pub asked: Option<String>,
    /// What it uses; nothing when it does not run.
    pub usage: Usage,
}

/// How to show them.
#[derive(Clone, Debug)]
pub struct StatsOptions {
    /// As `--format` says.
    pub format: Format,
    /// Once, not for ever.
    pub once: bool,
    /// Whole ids.
    pub whole_ids: bool,
}

struct Look {
    at: Instant,
    rows: Vec<Row>,
}

/// Shows what `look` finds, every second unless it is wanted once.
///
/// # Errors
/// Those of `look`, and when a template or standard output fails.
pub fn show(
    options: &StatsOptions,
    look: impl Fn() -> Result<Vec<Row>, CliError>,
) -> Result<(), CliError> {
    let look = || -> Result<Look, CliError> {
        Ok(Look {
            at: Instant::now(),
            rows: look()?,
        })
    };
    let live = !options.once && std::io::stdout().is_terminal();
    // CPU use is a difference, so the first look shows nothing yet.
    let mut before = look()?;
    loop {
        std::thread::sleep(BEAT.saturating_sub(before.at.elapsed()));
        let now = look()?;
        let rows: Vec<Value> = now
            .rows
            .iter()
            .map(|row| to_json(row, &now, &before, options.whole_ids))
            .collect();
        if live {
            print("\x1b[H\x1b[J")?;
        }
        List {
            format: options.format.clone(),
            rows: rows.clone(),
        }
        .print(|| table(&rows))?;
        if options.once {
            return Ok(());
        }
        before = now;
    }
}

fn to_json(row: &Row, now: &Look, before: &Look, whole: bool) -> Value {
    let usage = &row.usage;
    let earlier = before.rows.iter().find(|other| other.id == row.id);
    let used = earlier.map_or(Duration::ZERO, |earlier| {
        usage.cpu.saturating_sub(earlier.usage.cpu)
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
    let id = if whole {
        row.id.clone()
    } else {
        row.id.chars().take(12).collect()
    };
    json!({
        "BlockIO": format!("{} / {}", size(usage.block_in), size(usage.block_out)),
        "CPUPerc": format!("{cpu:.2}%"),
        "Container": row.asked.as_ref().unwrap_or(&row.id),
        "ID": id,
        "MemPerc": format!("{memory:.2}%"),
        "MemUsage": format!("{} / {}", binary_size(usage.memory), binary_size(usage.memory_limit)),
        "Name": row.name,
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

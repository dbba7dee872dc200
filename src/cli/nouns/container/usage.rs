//! What containers use and may use: `stats`, `top`, `update`.

use clap::Args;
use gantry_engine::container::{Container, ListFilter};
use gantry_engine::engine::{Engine, Update};
use gantry_engine::spec::Resources;

use super::list::TITLES;
use super::values;
use crate::backend;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{print, warn};
use crate::cli::stats::{Row, StatsOptions, show};
use crate::ui::table::Table;
use crate::ui::template::Format;

/// What was typed after `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Stopped ones too.
    #[arg(short = 'a', long)]
    all: bool,
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// Once, not for ever.
    #[arg(long)]
    no_stream: bool,
    /// Whole ids.
    #[arg(long)]
    no_trunc: bool,
    /// Containers; none means all that run.
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
}

/// What was typed after `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
    /// Options for ps(1) of this machine, instead of our own table.
    #[arg(
        value_name = "PS_OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    options: Vec<String>,
}

/// What was typed after `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Block IO weight, 10 to 1000.
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// CFS period in microseconds.
    #[arg(long)]
    cpu_period: Option<u64>,
    /// CFS quota in microseconds.
    #[arg(long, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Realtime period in microseconds.
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// Realtime runtime in microseconds.
    #[arg(long)]
    cpu_rt_runtime: Option<i64>,
    /// Relative CPU weight.
    #[arg(short = 'c', long)]
    cpu_shares: Option<u64>,
    /// Number of CPUs, 1.5 for one and a half.
    #[arg(long)]
    cpus: Option<f64>,
    /// CPUs to run on, 0-2,5.
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Memory limit.
    #[arg(short = 'm', long)]
    memory: Option<String>,
    /// Memory soft limit.
    #[arg(long)]
    memory_reservation: Option<String>,
    /// Memory plus swap; -1 is unlimited.
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Limit of processes; -1 is none.
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Restart policy: no, on-failure[:N], always, unless-stopped.
    #[arg(long)]
    restart: Option<String>,
    /// Containers.
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

/// `stats`.
pub fn stats(global: &Global, engine: &Engine, args: &StatsArgs) -> Result<Exit, CliError> {
    let options = StatsOptions {
        format: Format::parse(args.format.as_deref().unwrap_or("table"))?.titled(TITLES),
        once: args.no_stream,
        whole_ids: args.no_trunc,
    };
    let backend = backend::engine::open(global.root.as_deref())?;
    let row = |container: Container, asked: Option<&String>| {
        let container = backend::engine::container(container);
        Row {
            // One that does not run, or ended meanwhile, uses nothing.
            usage: backend.stats(&container.id).unwrap_or_default(),
            id: container.id.0,
            name: container.name,
            asked: asked.cloned(),
        }
    };
    show(&options, || {
        if args.names.is_empty() {
            let filter = ListFilter {
                all: args.all,
                labels: Vec::new(),
            };
            let all = engine.list(&filter)?.into_iter();
            return Ok(all.map(|container| row(container, None)).collect());
        }
        let named = |name: &String| Ok(row(engine.inspect(name)?, Some(name)));
        args.names.iter().map(named).collect()
    })?;
    Ok(Exit::Success)
}

/// `top`.
pub fn top(engine: &Engine, args: &TopArgs) -> Result<Exit, CliError> {
    let processes = engine.top(&args.name)?;
    if args.options.is_empty() {
        let mut table = Table::new(&processes.titles, 0);
        processes.rows.iter().for_each(|row| table.row(row));
        print(&table.render())?;
        return Ok(Exit::Success);
    }
    let at = processes.titles.iter().position(|title| *title == "PID");
    let pids: Vec<&str> = processes
        .rows
        .iter()
        .filter_map(|row| row.get(at?).map(String::as_str))
        .collect();
    print(&ps(&args.options, &pids)?)?;
    Ok(Exit::Success)
}

/// The lines of the machine's ps(1) that are about these processes.
fn ps(options: &[String], pids: &[&str]) -> Result<String, CliError> {
    let output = std::process::Command::new("ps")
        .args(options)
        .output()
        .map_err(|source| CliError::Io {
            what: "run `ps`, which options for `top` are given to".to_owned(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let titles = lines.next().unwrap_or_default();
    let column = titles.split_whitespace().position(|title| title == "PID");
    let Some(column) = column.filter(|_| output.status.success()) else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.lines().next().unwrap_or("it shows no column PID");
        return Err(CliError::usage(format!(
            "`ps {}`: {complaint}",
            options.join(" ")
        )));
    };
    // A line of ps cannot be cut into columns for certain, but the PID has no blanks before it.
    let ours = lines.filter(|line| {
        line.split_whitespace()
            .nth(column)
            .is_some_and(|pid| pids.contains(&pid))
    });
    let chosen = std::iter::once(titles).chain(ours);
    Ok(chosen
        .map(|line| format!("{}\n", crate::ui::text::printable(line)))
        .collect())
}

/// `update`.
pub fn update(engine: &Engine, args: &UpdateArgs) -> Result<Exit, CliError> {
    if !args.asks_for_something() {
        return Err(CliError::usage(
            "update needs something to change: give one or more of its flags",
        ));
    }
    let restart = values::given(&args.restart);
    let update = Update {
        resources: args.resources()?,
        restart: restart.as_deref().map(values::restart).transpose()?,
    };
    super::each(&args.names, false, |name| {
        engine.update(name, &update).map(|warnings| warn(&warnings))
    })
}

impl UpdateArgs {
    /// Whether there is a flag, be it one that leaves everything as it is (`--cpus 0`).
    fn asks_for_something(&self) -> bool {
        let texts = [
            &self.cpuset_cpus,
            &self.cpuset_mems,
            &self.memory,
            &self.memory_reservation,
            &self.memory_swap,
            &self.restart,
        ];
        let signed = [self.cpu_quota, self.cpu_rt_runtime, self.pids_limit];
        let unsigned = [self.cpu_period, self.cpu_rt_period, self.cpu_shares];
        texts.iter().any(|text| text.is_some())
            || signed.iter().any(Option::is_some)
            || unsigned.iter().any(Option::is_some)
            || self.blkio_weight.is_some()
            || self.cpus.is_some()
    }

    fn resources(&self) -> Result<Resources, CliError> {
        let mut resources = Resources {
            memory: values::bytes("memory", &self.memory)?,
            memory_reservation: values::bytes("memory-reservation", &self.memory_reservation)?,
            memory_swap: values::memory_swap(self.memory_swap.as_deref())?,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_rt_period: self.cpu_rt_period,
            cpu_rt_runtime: self.cpu_rt_runtime,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit,
            ..Resources::default()
        };
        resources.block_io.weight = self.blkio_weight;
        values::leave_zeros_unset(&mut resources);
        Ok(resources)
    }
}

//! `ps`: list containers.

use std::time::SystemTime;

use clap::Args;

use crate::backend::Container;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{List, print};
use crate::cli::session::{OneOff, Session};
use crate::plan::observed::service;
use crate::ui::container::{command, ports, status, to_compose_json};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Show all stopped containers (including those created by the run command).
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Filter services by a property (supported filters: status).
    #[arg(long)]
    pub filter: Option<String>,
    /// Format output using a custom template: 'table': Print output in table format with column headers 'table TEMPLATE': Print output in table format using the given Go template 'json': Print in JSON format 'TEMPLATE': Print output using the given Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Don't truncate output.
    #[arg(long)]
    pub no_trunc: bool,
    /// Include orphaned services (not declared by project).
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub orphans: bool,
    /// Only display IDs.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Display services.
    #[arg(long = "services")]
    pub names_of_services: bool,
    /// Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited].
    #[arg(long)]
    pub status: Vec<String>,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

const STATES: [&str; 7] = [
    "paused",
    "restarting",
    "removing",
    "running",
    "dead",
    "created",
    "exited",
];

/// Runs the verb.
pub fn run(global: &Global, args: PsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let wanted = wanted_states(&args)?;
    let session = Session::named(global)?;
    let one_off = if args.all {
        OneOff::Include
    } else {
        OneOff::Exclude
    };
    let mut containers = session.of_services(&args.services, one_off)?;
    containers.retain(|container| shown(container, &args, &wanted));
    if !args.orphans
        && let Some(project) = &session.project
    {
        containers.retain(|container| project.any_service(service(container)).is_some());
    }
    if args.quiet {
        let ids = containers.iter().map(|c| format!("{}\n", c.id));
        print(&ids.collect::<String>())?;
    } else if args.names_of_services {
        let mut names: Vec<&str> = containers.iter().map(service).collect();
        names.dedup();
        print(
            &names
                .iter()
                .map(|name| format!("{name}\n"))
                .collect::<String>(),
        )?;
    } else {
        let now = SystemTime::now();
        let rows = containers
            .iter()
            .map(|container| to_compose_json(container, now, args.no_trunc));
        List {
            format,
            rows: rows.collect(),
        }
        .print(|| table(&containers, now, args.no_trunc))?;
    }
    Ok(Exit::Success)
}

/// `--status` and `--filter status=…`.
fn wanted_states(args: &PsArgs) -> Result<Vec<String>, CliError> {
    let mut states = args.status.clone();
    if let Some(filter) = &args.filter {
        match filter.split_once('=') {
            Some(("status", state)) => states.push(state.to_owned()),
            _ => {
                return Err(CliError::usage(format!(
                    "unknown filter `{filter}`: only status=STATE"
                )));
            }
        }
    }
    match states
        .iter()
        .find(|state| !STATES.contains(&state.as_str()))
    {
        Some(unknown) => Err(CliError::usage(format!(
            "unknown status `{unknown}`: one of {}",
            STATES.join(", ")
        ))),
        None => Ok(states),
    }
}

/// Without flags only what has a process is shown.
fn shown(container: &Container, args: &PsArgs, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        args.all || container.state.is_live()
    } else {
        wanted.iter().any(|state| state == container.state.word())
    }
}

fn table(containers: &[Container], now: SystemTime, whole: bool) -> Table {
    let mut table = Table::new(
        &[
            "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS",
        ],
        10,
    );
    for container in containers {
        let age = now.duration_since(container.created).unwrap_or_default();
        table.row([
            container.name.clone(),
            container.image.clone(),
            command(&container.command, whole),
            service(container).to_owned(),
            text::ago(age),
            status(container, now),
            ports(&container.ports),
        ]);
    }
    table
}

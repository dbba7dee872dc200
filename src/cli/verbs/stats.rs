//! `stats`: display a live stream of container(s) resource usage statistics.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session};
use crate::cli::stats::{Row, StatsOptions, show};
use crate::ui::template::Format;

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

/// Runs the verb.
pub fn run(global: &Global, args: StatsArgs) -> Result<Exit, CliError> {
    let options = StatsOptions {
        format: Format::parse(args.format.as_deref().unwrap_or("table"))?,
        once: args.no_stream,
        whole_ids: args.no_trunc,
    };
    let session = Session::named(global)?;
    show(&options, || {
        let mut containers = session.of_services(&args.services, OneOff::Exclude)?;
        containers.retain(|container| args.all || container.state.is_live());
        let row = |container: crate::backend::Container| Row {
            // One that ended meanwhile uses nothing.
            usage: session.backend.stats(&container.id).unwrap_or_default(),
            id: container.id.0,
            name: container.name,
            asked: None,
        };
        Ok(containers.into_iter().map(row).collect())
    })?;
    Ok(Exit::Success)
}

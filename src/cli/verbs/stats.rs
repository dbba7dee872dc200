//! `stats`: display a live stream of container(s) resource usage statistics.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Show all containers.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Format output using a custom template: 'table': Print output in table format with column headers 'table TEMPLATE': Print output in table format using the given Go template 'json': Print in JSON format 'TEMPLATE': Print output using the given Go template. Refer to https://docs.docker.com/engine/cli/formatting/ for more information about formatting output with templates.
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
pub fn run(_global: &Global, _args: StatsArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "stats" })
}

//! `volumes`: list volumes.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `volumes`.
#[derive(Debug, Args)]
pub struct VolumesArgs {
    /// Format output using a custom template: 'table': Print output in table format with column headers 'table TEMPLATE': Print output in table format using the given Go template 'json': Print in JSON format 'TEMPLATE': Print output using the given Go template. Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display volume names.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: VolumesArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "volumes" })
}

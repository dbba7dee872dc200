//! `wait`: block until containers of all (or specified) services stop.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Drops project when the first container stops.
    #[arg(long)]
    pub down_project: bool,
    /// Services.
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: WaitArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "wait" })
}

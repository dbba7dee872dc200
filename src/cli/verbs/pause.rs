//! `pause`: pause services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: PauseArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "pause" })
}

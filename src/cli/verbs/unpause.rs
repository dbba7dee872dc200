//! `unpause`: unpause services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `unpause`.
#[derive(Debug, Args)]
pub struct UnpauseArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: UnpauseArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "unpause" })
}

//! `unpause`: unpause services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::lifecycle;
use crate::plan::lifecycle as plan;

/// What was typed after `unpause`.
#[derive(Debug, Args)]
pub struct UnpauseArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: UnpauseArgs) -> Result<Exit, CliError> {
    lifecycle::run(global, "Unpausing", &args.services, plan::unpause)
}

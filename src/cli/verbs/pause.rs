//! `pause`: pause services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::lifecycle;
use crate::plan::lifecycle as plan;

/// What was typed after `pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: PauseArgs) -> Result<Exit, CliError> {
    lifecycle::run(global, "Pausing", &args.services, plan::pause)
}

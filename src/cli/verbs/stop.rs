//! `stop`: stop services.

use clap::Args;

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::whole_seconds;
use crate::cli::global::Global;
use crate::cli::lifecycle;
use crate::plan::lifecycle as plan;

/// What was typed after `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Specify a shutdown timeout in seconds.
    #[arg(short = 't', long, value_parser = whole_seconds)]
    pub timeout: Option<u32>,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: StopArgs) -> Result<Exit, CliError> {
    lifecycle::run(global, "Stopping", &args.services, |scope| {
        plan::stop(scope, apply::seconds(args.timeout))
    })
}

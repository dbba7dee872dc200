//! `restart`: restart service containers.

use clap::Args;

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::whole_seconds;
use crate::cli::global::Global;
use crate::cli::lifecycle;
use crate::plan::lifecycle as plan;

/// What was typed after `restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Don't restart dependent services.
    #[arg(long)]
    pub no_deps: bool,
    /// Specify a shutdown timeout in seconds.
    #[arg(short = 't', long, value_parser = whole_seconds)]
    pub timeout: Option<u32>,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: RestartArgs) -> Result<Exit, CliError> {
    let dependents = if args.no_deps {
        plan::Dependents::LeftAlone
    } else {
        plan::Dependents::Restarted
    };
    lifecycle::run(global, "Restarting", &args.services, |scope| {
        plan::restart(scope, dependents, apply::seconds(args.timeout))
    })
}

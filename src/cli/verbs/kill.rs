//! `kill`: force stop service containers.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::lifecycle;
use crate::plan::lifecycle as plan;

/// What was typed after `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// SIGNAL to send to the container.
    #[arg(short = 's', long, default_value = "SIGKILL")]
    pub signal: String,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: KillArgs) -> Result<Exit, CliError> {
    lifecycle::run(global, "Killing", &args.services, |scope| {
        let mut plan = plan::kill(scope, &args.signal)?;
        if let (true, Some(desired)) = (args.remove_orphans, scope.desired) {
            plan::remove_orphans(&mut plan, desired, scope.observed);
        }
        Ok(plan)
    })
}

//! `watch`: watch build context for service and rebuild/refresh containers when files are updated.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Do not build & start services before watching.
    #[arg(long)]
    pub no_up: bool,
    /// Prune dangling images on rebuild.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub prune: bool,
    /// hide build output.
    #[arg(long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: WatchArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "watch" })
}

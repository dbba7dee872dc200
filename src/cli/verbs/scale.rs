//! `scale`: scale services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::Scale;
use crate::cli::global::Global;

/// What was typed after `scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Don't start linked services.
    #[arg(long)]
    pub no_deps: bool,
    /// Services and their numbers of containers.
    #[arg(value_name = "SERVICE=REPLICAS", required = true)]
    pub replicas: Vec<Scale>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: ScaleArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "scale" })
}

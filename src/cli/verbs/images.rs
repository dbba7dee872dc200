//! `images`: list images used by the created containers.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Format the output. Values: [table | json].
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display IDs.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: ImagesArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "images" })
}

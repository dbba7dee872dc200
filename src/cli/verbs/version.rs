//! `version`: show the Docker Compose version information.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Format the output. Values: [pretty | json]. (Default: pretty).
    #[arg(short = 'f', long)]
    pub format: Option<String>,
    /// Shows only Compose's version number.
    #[arg(long)]
    pub short: bool,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: VersionArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "version" })
}

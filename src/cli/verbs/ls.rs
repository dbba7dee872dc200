//! `ls`: list running compose projects.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Show all stopped Compose projects.
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Filter output based on conditions provided.
    #[arg(long)]
    pub filter: Vec<String>,
    /// Format the output. Values: [table | json].
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display project names.
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: LsArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "ls" })
}

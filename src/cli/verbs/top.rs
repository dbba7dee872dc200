//! `top`: display the running processes.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: TopArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "top" })
}

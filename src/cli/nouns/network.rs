//! `gantry network`: the engine's networks without a Compose file.

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `network`.
#[derive(Debug, Subcommand)]
pub enum NetworkCommand {}

/// Runs the command.
pub fn run(_global: &Global, command: NetworkCommand) -> Result<Exit, CliError> {
    match command {}
}

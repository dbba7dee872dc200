//! `gantry container`: the engine's containers without a Compose file.

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `container`.
#[derive(Debug, Subcommand)]
pub enum ContainerCommand {}

/// Runs the command.
pub fn run(_global: &Global, command: ContainerCommand) -> Result<Exit, CliError> {
    match command {}
}

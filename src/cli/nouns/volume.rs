//! `gantry volume`: the engine's volumes without a Compose file.

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `volume`.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {}

/// Runs the command.
pub fn run(_global: &Global, command: VolumeCommand) -> Result<Exit, CliError> {
    match command {}
}

//! `gantry system`: the engine itself: information, disk use, clean-up.

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `system`.
#[derive(Debug, Subcommand)]
pub enum SystemCommand {}

/// Runs the command.
pub fn run(_global: &Global, command: SystemCommand) -> Result<Exit, CliError> {
    match command {}
}

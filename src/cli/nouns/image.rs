//! `gantry image`: the engine's images without a Compose file.

use clap::Subcommand;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {}

/// Runs the command.
pub fn run(_global: &Global, command: ImageCommand) -> Result<Exit, CliError> {
    match command {}
}

//! `down`: stop and remove containers, networks.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all").
    #[arg(long)]
    pub rmi: Option<String>,
    /// Specify a shutdown timeout in seconds.
    #[arg(short = 't', long)]
    pub timeout: Option<u32>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers.
    #[arg(short = 'v', long)]
    pub volumes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: DownArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "down" })
}

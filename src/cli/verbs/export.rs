//! `export`: export a service container's filesystem as a tar archive.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// Write to a file, instead of STDOUT.
    #[arg(short = 'o', long)]
    pub output: Option<String>,
    /// The service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
}

/// Refuses the verb.
pub fn run(_global: &Global, _args: ExportArgs) -> Result<Exit, CliError> {
    Err(CliError::Unsupported {
        what: "`export`".to_owned(),
        reason: "the file system of a container is not exported; copy what you need with `cp`",
    })
}

//! `cp`: copy files or folders between a service container and this machine.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `cp`.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// Include containers created by the run command.
    #[arg(long)]
    pub all: bool,
    /// Archive mode (copy all uid/gid information).
    #[arg(short = 'a', long)]
    pub archive: bool,
    /// Always follow symbol link in SRC_PATH.
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// `SERVICE:PATH`, a path of this machine, or `-` for a tar stream on standard input.
    #[arg(value_name = "SRC")]
    pub source: String,
    /// `SERVICE:PATH`, a path of this machine, or `-` for a tar stream on standard output.
    #[arg(value_name = "DEST")]
    pub destination: String,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: CpArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "cp" })
}

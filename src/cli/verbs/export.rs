//! `export`: export a service container's filesystem as a tar archive.

use std::path::Path;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::write_archive;
use crate::cli::session::{OneOff, Session};

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

/// Runs the verb.
pub fn run(global: &Global, args: ExportArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let container = session.one_of(&args.service, args.index, OneOff::Include)?;
    if !global.dry_run {
        let output = args.output.as_deref().map(Path::new);
        write_archive("export", output, |out| {
            Ok(session.backend.export(&container.id, out)?)
        })?;
    }
    Ok(Exit::Success)
}

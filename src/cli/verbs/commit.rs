//! `commit`: create a new image from a service container's changes.

use clap::Args;

use crate::backend::CommitOptions;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;
use crate::cli::session::{OneOff, Session};

/// What was typed after `commit`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>").
    #[arg(short = 'a', long)]
    pub author: Option<String>,
    /// Apply Dockerfile instruction to the created image.
    #[arg(short = 'c', long)]
    pub change: Vec<String>,
    /// index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// Commit message.
    #[arg(short = 'm', long)]
    pub message: Option<String>,
    /// Pause container during commit.
    #[arg(short = 'p', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub pause: bool,
    /// The service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Name of the new image.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub reference: Option<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: CommitArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let container = session.one_of(&args.service, args.index, OneOff::Include)?;
    if !global.dry_run {
        let options = CommitOptions {
            reference: args.reference,
            author: args.author,
            message: args.message,
            changes: args.change,
            pause: args.pause,
        };
        let id = session.backend.commit(&container.id, &options)?;
        print(&format!("{id}\n"))?;
    }
    Ok(Exit::Success)
}

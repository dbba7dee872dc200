//! A container's files: `cp`, `diff`, `export`, `commit`.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use gantry_engine::engine::{ChangeKind, CommitOptions, Engine, EngineError};

use crate::backend;
use crate::backend::FollowLink;
use crate::cli::copying::{End, copy_in, copy_out};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{print, write_archive};
use crate::ui::text::{printable, size};

/// What was typed after `cp`.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// Keep owners.
    #[arg(short = 'a', long)]
    archive: bool,
    /// Follow a link at the end of the source.
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not tell how much was copied.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// `CONTAINER:PATH`, a path of this machine, or `-` for a tar stream on standard input.
    #[arg(value_name = "SRC")]
    source: String,
    /// `CONTAINER:PATH`, a path of this machine, or `-` for a tar stream on standard output.
    #[arg(value_name = "DEST")]
    destination: String,
}

/// What was typed after `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
}

/// What was typed after `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The archive; default: standard output.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
}

/// What was typed after `commit`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    /// Who made the image.
    #[arg(short = 'a', long)]
    author: Option<String>,
    /// Line of a Dockerfile that changes the image's configuration.
    #[arg(short = 'c', long)]
    change: Vec<String>,
    /// What was done.
    #[arg(short = 'm', long)]
    message: Option<String>,
    /// Freeze the container meanwhile.
    #[arg(short = 'p', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pause: bool,
    /// The container.
    #[arg(value_name = "CONTAINER")]
    name: String,
    /// Name of the image.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

/// `cp`.
pub fn cp(global: &Global, engine: &Engine, args: &CpArgs) -> Result<Exit, CliError> {
    let follow = if args.follow_link {
        FollowLink::Yes
    } else {
        FollowLink::No
    };
    let backend = backend::engine::open(global.root.as_deref())?;
    let find = |name: &str| -> Result<backend::Container, EngineError> {
        Ok(backend::engine::container(engine.inspect(name)?))
    };
    let (bytes, to) = match (End::parse(&args.source), End::parse(&args.destination)) {
        (End::Container { .. }, End::Container { .. }) => {
            return Err(CliError::usage(
                "copying between containers is not supported",
            ));
        }
        (End::Local(_) | End::Stream, End::Local(_) | End::Stream) => {
            return Err(CliError::usage(
                "one end of a copy must be `CONTAINER:PATH`",
            ));
        }
        (End::Container { name, path }, destination) => {
            if destination == End::Stream && std::io::stdout().is_terminal() {
                return Err(CliError::usage(
                    "cp does not write an archive to a terminal: use a pipe, or a path",
                ));
            }
            let bytes = copy_out(&*backend, &find(&name)?, &path, follow, &destination)?;
            (bytes, &args.destination)
        }
        (source, End::Container { name, path }) => {
            let container = find(&name)?;
            let bytes = copy_in(&*backend, &container, &source, &path, follow, args.archive)?;
            (bytes, &args.destination)
        }
    };
    if !args.quiet && *to != "-" {
        eprintln!("Successfully copied {} to {}", size(bytes), printable(to));
    }
    Ok(Exit::Success)
}

/// `diff`.
pub fn diff(engine: &Engine, args: &DiffArgs) -> Result<Exit, CliError> {
    let mut text = String::new();
    for change in engine.changes(&args.name)? {
        let letter = match change.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        text += &format!("{letter} {}\n", printable(&change.path.to_string_lossy()));
    }
    print(&text)?;
    Ok(Exit::Success)
}

/// `export`.
pub fn export(engine: &Engine, args: &ExportArgs) -> Result<Exit, CliError> {
    write_archive("export", args.output.as_deref(), |out| {
        Ok(engine.export(&args.name, out)?)
    })?;
    Ok(Exit::Success)
}

/// `commit`.
pub fn commit(engine: &Engine, args: &CommitArgs) -> Result<Exit, CliError> {
    let id = engine.commit(
        &args.name,
        &CommitOptions {
            reference: args.reference.clone(),
            author: args.author.clone(),
            message: args.message.clone(),
            changes: args.change.clone(),
            pause: args.pause,
        },
    )?;
    print(&format!("{id}\n"))?;
    Ok(Exit::Success)
}

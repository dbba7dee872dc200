//! `cp`: copy files or folders between a service container and this machine.

use clap::Args;

use crate::backend::{Container, FollowLink};
use crate::cli::copying::{End, copy_in, copy_out};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session, numbered};

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
pub fn run(global: &Global, args: CpArgs) -> Result<Exit, CliError> {
    let follow = if args.follow_link {
        FollowLink::Yes
    } else {
        FollowLink::No
    };
    let session = Session::named(global)?;
    let containers = |service: &str| -> Result<Vec<Container>, CliError> {
        if numbered(args.index).is_some() {
            return Ok(vec![session.one_of(
                service,
                args.index,
                OneOff::Exclude,
            )?]);
        }
        let one_off = if args.all {
            OneOff::Include
        } else {
            OneOff::Exclude
        };
        let found = session.of_services(&[service.to_owned()], one_off)?;
        if found.is_empty() {
            return Err(CliError::NotRunning {
                service: service.to_owned(),
            });
        }
        Ok(found)
    };
    match (End::parse(&args.source), End::parse(&args.destination)) {
        (End::Container { .. }, End::Container { .. }) => {
            return Err(CliError::usage("copying between services is not supported"));
        }
        (End::Local(_) | End::Stream, End::Local(_) | End::Stream) => {
            return Err(CliError::usage("one end of a copy must be `SERVICE:PATH`"));
        }
        _ if global.dry_run => {}
        (
            End::Container {
                name: service,
                path,
            },
            destination,
        ) => {
            let container = containers(&service)?.remove(0);
            copy_out(&*session.backend, &container, &path, follow, &destination)?;
        }
        (
            source,
            End::Container {
                name: service,
                path,
            },
        ) => {
            for container in containers(&service)? {
                copy_in(
                    &*session.backend,
                    &container,
                    &source,
                    &path,
                    follow,
                    args.archive,
                )?;
            }
        }
    }
    Ok(Exit::Success)
}

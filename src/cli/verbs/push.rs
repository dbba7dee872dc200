//! `push`: push service images.

use clap::Args;

use crate::backend::{Backend, BackendError};
use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::Session;
use crate::executor::{Event, Kind, Phase, Sink};
use crate::loader::Dependencies;

/// What was typed after `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Push what it can and ignores images with push failures.
    #[arg(long)]
    pub ignore_push_failures: bool,
    /// Also push images of services declared as dependencies.
    #[arg(long)]
    pub include_deps: bool,
    /// Push without printing progress information.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: PushArgs) -> Result<Exit, CliError> {
    let dependencies = if args.include_deps {
        Dependencies::Include
    } else {
        Dependencies::Ignore
    };
    let (session, project) = Session::loaded(global, &args.services, dependencies)?;
    let reporter = apply::reporter_unless(args.quiet, global, "Pushing");
    let mut result = Ok(());
    // Only what is built here and has a name of its own can be meant.
    'services: for (name, service) in project.services.iter().filter(|(_, s)| s.is_buildable()) {
        if service.image.is_empty() {
            reporter.tell(phase(
                &format!("{}-{name}", project.name),
                Phase::Skipped("no image name to be pushed".to_owned()),
            ));
            continue;
        }
        // The further names of what is built go too.
        let tags = service.build.iter().flat_map(|build| &build.tags);
        for image in std::iter::once(&service.image).chain(tags) {
            if global.dry_run {
                crate::cli::output::print(&format!("image {image} push\n"))?;
                continue;
            }
            let pushed = push_one(&*session.backend, image, args.quiet, &|event| {
                reporter.tell(event)
            });
            if let Err(error) = pushed
                && !args.ignore_push_failures
            {
                result = Err(error.into());
                break 'services;
            }
        }
    }
    reporter.finish();
    result.map(|()| Exit::Success)
}

/// Uploads one image.
pub fn push_one(
    backend: &dyn Backend,
    reference: &str,
    quiet: bool,
    events: Sink<'_>,
) -> Result<(), BackendError> {
    events(phase(reference, Phase::Pushing));
    let progress = |progress| {
        if !quiet {
            events(Event::Image {
                reference: reference.to_owned(),
                progress,
            });
        }
    };
    let result = backend.push(reference, &progress);
    events(phase(
        reference,
        match &result {
            Ok(()) => Phase::Pushed,
            Err(error) => Phase::Error(error.to_string()),
        },
    ));
    result
}

fn phase(reference: &str, phase: Phase) -> Event {
    Event::Phase {
        kind: Kind::Image,
        name: reference.to_owned(),
        phase,
    }
}

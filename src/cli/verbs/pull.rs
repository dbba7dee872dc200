//! `pull`: pull service images.

use clap::Args;

use std::collections::BTreeMap;

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::Session;
use crate::executor::{Event, Kind, Phase};
use crate::loader::Dependencies;

/// What was typed after `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Ignore images that can be built.
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures.
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Also pull services declared as dependencies.
    #[arg(long)]
    pub include_deps: bool,
    /// Apply pull policy ("missing"|"always").
    #[arg(long)]
    pub policy: Option<String>,
    /// Pull without printing progress information.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: PullArgs) -> Result<Exit, CliError> {
    let dependencies = if args.include_deps {
        Dependencies::Include
    } else {
        Dependencies::Ignore
    };
    let missing_only = match args.policy.as_deref() {
        None | Some("always") => false,
        Some("missing") => true,
        Some(other) => {
            return Err(CliError::usage(format!(
                "`--policy {other}`: expected `missing` or `always`"
            )));
        }
    };
    let (session, project) = Session::loaded(global, &args.services, dependencies)?;
    let reporter = apply::reporter_unless(args.quiet, global, "Pulling");
    let mut images: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in &project.services {
        let skip = |why: &str| {
            reporter.tell(Event::Phase {
                kind: Kind::Image,
                name: name.clone(),
                phase: Phase::Skipped(why.to_owned()),
            });
        };
        if service.image.is_empty() {
            skip("no image to be pulled");
        } else if matches!(service.pull_policy.as_str(), "never" | "build") {
            skip("its pull policy says so");
        } else if args.ignore_buildable && service.is_buildable() {
            skip("it can be built");
        } else if matches!(service.image.as_str(), "host" | "host:latest") {
            skip("the machine itself");
        } else {
            images.insert(&service.image, &service.platform);
        }
    }
    let mut result = Ok(());
    for (reference, platform) in images {
        if missing_only && session.backend.image(reference)?.is_some() {
            continue;
        }
        if global.dry_run {
            crate::cli::output::print(&format!("image {reference} pull\n"))?;
            continue;
        }
        let platform = (!platform.is_empty()).then_some(platform);
        let pulled = apply::pull_one(
            &*session.backend,
            reference,
            platform,
            args.quiet,
            &|event| {
                reporter.tell(event);
            },
        );
        // Every image is tried; the first failure is what the command ends with.
        if let Err(error) = pulled
            && !args.ignore_pull_failures
            && result.is_ok()
        {
            result = Err(error.into());
        }
    }
    reporter.finish();
    result.map(|()| Exit::Success)
}

//! `build`: build or rebuild services.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use crate::backend::BuildEvent;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::{Global, Progress};
use crate::cli::session::Session;
use crate::cli::{apply, builds};
use crate::executor::Event;
use crate::loader::Dependencies;
use crate::lower::build::BuildOverrides;
use crate::lower::image_name;

/// What was typed after `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Set build-time variables for services.
    #[arg(long)]
    pub build_arg: Vec<String>,
    /// Set builder to use.
    #[arg(long)]
    pub builder: Option<String>,
    /// Check build configuration.
    #[arg(long)]
    pub check: bool,
    /// Set memory limit for the build container. Not supported by BuildKit.
    #[arg(short = 'm', long)]
    pub memory: Option<String>,
    /// Accepted for old scripts: the context is never sent anywhere.
    #[arg(long, hide = true)]
    pub compress: bool,
    /// Accepted for old scripts: steps leave no containers.
    #[arg(long, hide = true)]
    pub force_rm: bool,
    /// Do not use cache when building the image.
    #[arg(long)]
    pub no_cache: bool,
    /// Accepted for old scripts: there are no containers to keep.
    #[arg(long, hide = true)]
    pub no_rm: bool,
    /// Accepted for old scripts: builds always run side by side.
    #[arg(long, hide = true)]
    pub parallel: bool,
    /// Print equivalent bake file.
    #[arg(long)]
    pub print: bool,
    /// How progress is shown; stands before the verb today.
    #[arg(long, value_enum, hide = true)]
    pub progress: Option<Progress>,
    /// Add a provenance attestation.
    #[arg(long)]
    pub provenance: Option<String>,
    /// Always attempt to pull a newer version of the image.
    #[arg(long)]
    pub pull: bool,
    /// Push service images.
    #[arg(long)]
    pub push: bool,
    /// Suppress the build output.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Add a SBOM attestation.
    #[arg(long)]
    pub sbom: Option<String>,
    /// Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent).
    #[arg(long)]
    pub ssh: Option<String>,
    /// Also build dependencies (transitively).
    #[arg(long)]
    pub with_dependencies: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

impl BuildArgs {
    /// Refuses what the builder has no meaning for.
    fn refused(&self) -> Option<CliError> {
        let given = |flag: &Option<String>| {
            flag.as_deref()
                .is_some_and(|value| !matches!(value, "" | "false"))
        };
        let flags = [
            (
                self.builder.is_some(),
                "--builder",
                "Gantry has one builder, its own",
            ),
            (self.memory.is_some(), "--memory", "builds are not limited"),
            (self.print, "--print", "there is no bake file to print"),
            (
                given(&self.provenance),
                "--provenance",
                "attestations are not made",
            ),
            (given(&self.sbom), "--sbom", "attestations are not made"),
        ];
        let (_, flag, reason) = flags.into_iter().find(|(given, _, _)| *given)?;
        Some(CliError::Unsupported {
            what: format!("`{flag}`"),
            reason,
        })
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: BuildArgs) -> Result<Exit, CliError> {
    if let Some(error) = args.refused() {
        return Err(error);
    }
    let global = &Global {
        progress: args.progress.unwrap_or(global.progress),
        ..global.clone()
    };
    let dependencies = if args.with_dependencies {
        Dependencies::Include
    } else {
        Dependencies::Ignore
    };
    let (session, project) = Session::loaded(global, &args.services, dependencies)?;
    let named = if args.with_dependencies {
        Vec::new()
    } else {
        args.services.clone()
    };
    let services = builds::buildable(&project, &named);
    let overrides = BuildOverrides {
        args: args
            .build_arg
            .iter()
            // `NAME` alone takes this process's value, and is left out when there is none.
            .filter_map(|entry| match entry.split_once('=') {
                Some((key, value)) => Some((key.to_owned(), value.to_owned())),
                None => Some((entry.clone(), project.environment.get(entry)?.clone())),
            })
            .collect(),
        no_cache: args.no_cache,
        pull: args.pull,
        ssh: args.ssh.clone().into_iter().collect(),
        check: args.check,
        every_platform: true,
    };
    if global.dry_run {
        for build in builds::of(global, &project, &services, &overrides)? {
            let service = &project.services[&build.service];
            let image = image_name(&project.name, &build.service, service);
            crate::cli::output::print(&format!("image {image} build\n"))?;
        }
        return Ok(Exit::Success);
    }
    let reporter = apply::reporter_unless(args.quiet, global, "Building");
    let warnings = AtomicUsize::new(0);
    let events = |event| {
        if let Event::Build {
            event: BuildEvent::Warning(_),
            ..
        } = &event
        {
            warnings.fetch_add(1, Ordering::Relaxed);
        }
        reporter.tell(event);
    };
    let built = builds::run(
        global,
        &*session.backend,
        &project,
        &services,
        &overrides,
        args.quiet,
        &events,
    );
    let pushed = match built {
        Ok(()) if args.push => services.iter().try_for_each(|service| {
            let image = image_name(&project.name, service, &project.services[service]);
            super::push::push_one(&*session.backend, &image, false, &events).map_err(CliError::from)
        }),
        other => other,
    };
    reporter.finish();
    pushed?;
    match (args.check, warnings.into_inner()) {
        (false, _) => Ok(Exit::Success),
        (true, 0) => {
            crate::cli::output::print("Check complete, no warnings found.\n")?;
            Ok(Exit::Success)
        }
        (true, count) => {
            crate::cli::output::print(&format!("Check complete, warnings found: {count}\n"))?;
            Ok(Exit::Failure)
        }
    }
}

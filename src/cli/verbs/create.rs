//! `create`: creates containers for a service.

use clap::Args;

use crate::cli::apply::{self, ImageOptions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::Scale;
use crate::cli::global::Global;
use crate::cli::verbs::up::{Mode, Up, up};
use crate::plan::images::Builds;
use crate::plan::up::{Anonymous, ChangedVolumes, Dependencies, Recreate, Start, UpOptions};

/// What was typed after `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Build images before starting containers.
    #[arg(long)]
    pub build: bool,
    /// Recreate containers even if their configuration and image haven't changed.
    #[arg(long)]
    pub force_recreate: bool,
    /// Don't build an image, even if it's policy.
    #[arg(long)]
    pub no_build: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    pub no_recreate: bool,
    /// Pull image before running ("always"|"missing"|"never"|"build").
    #[arg(long, default_value = "policy")]
    pub pull: String,
    /// Pull without printing progress information.
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub scale: Vec<Scale>,
    /// Assume "yes" as answer to all prompts and run non-interactively.
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

impl CreateArgs {
    /// `create` is `up` that starts nothing.
    fn resolve(self) -> Result<Up, CliError> {
        for (given, one, other) in [
            (
                self.force_recreate && self.no_recreate,
                "--force-recreate",
                "--no-recreate",
            ),
            (self.build && self.no_build, "--build", "--no-build"),
        ] {
            if given {
                return Err(CliError::usage(format!(
                    "`{one}` and `{other}` are incompatible"
                )));
            }
        }
        let recreate = match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Forced,
            (_, true) => Recreate::Never,
            _ => Recreate::Diverged,
        };
        Ok(Up {
            plan: UpOptions {
                services: self.services,
                dependencies: Dependencies::Included,
                around: None,
                recreate,
                recreate_dependencies: match recreate {
                    Recreate::Forced => Recreate::Diverged,
                    other => other,
                },
                anonymous: Anonymous::Inherited,
                changed_volumes: if self.yes {
                    ChangedVolumes::Recreated
                } else {
                    ChangedVolumes::Kept
                },
                orphans: apply::orphans(self.remove_orphans),
                start: Start::No,
                timeout: None,
            },
            images: ImageOptions {
                builds: match (self.build, self.no_build) {
                    (true, _) => Builds::Always,
                    (_, true) => Builds::Never,
                    _ => Builds::WhenMissing,
                },
                pull: apply::pull_flag(&self.pull)?,
                quiet_pull: self.quiet_pull,
                quiet_build: false,
            },
            scale: self.scale,
            mode: Mode::Detached,
        })
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: CreateArgs) -> Result<Exit, CliError> {
    up(global, args.resolve()?)
}

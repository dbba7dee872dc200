//! `scale`: scale services.

use clap::Args;

use crate::cli::apply::ImageOptions;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::Scale;
use crate::cli::global::Global;
use crate::cli::verbs::up::{Mode, Up, up};
use crate::plan::images::Builds;
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies, Orphans, Recreate, Start, UpOptions,
};

/// What was typed after `scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Don't start linked services.
    #[arg(long)]
    pub no_deps: bool,
    /// Services and their numbers of containers.
    #[arg(value_name = "SERVICE=REPLICAS", required = true)]
    pub replicas: Vec<Scale>,
}

impl ScaleArgs {
    /// `scale` is `up -d --scale` of the named services.
    fn resolve(self) -> Up {
        Up {
            plan: UpOptions {
                services: self
                    .replicas
                    .iter()
                    .map(|entry| entry.service.clone())
                    .collect(),
                dependencies: if self.no_deps {
                    Dependencies::Ignored
                } else {
                    Dependencies::Included
                },
                around: None,
                recreate: Recreate::Diverged,
                recreate_dependencies: Recreate::Diverged,
                anonymous: Anonymous::Inherited,
                changed_volumes: ChangedVolumes::Kept,
                orphans: Orphans::Ignored,
                start: Start::Yes,
                timeout: None,
            },
            images: ImageOptions {
                builds: Builds::WhenMissing,
                pull: None,
                quiet_pull: false,
                quiet_build: false,
            },
            scale: self.replicas,
            mode: Mode::Detached,
        }
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: ScaleArgs) -> Result<Exit, CliError> {
    up(global, args.resolve())
}

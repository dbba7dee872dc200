//! `down`: stop and remove containers, networks.

use clap::Args;

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::whole_seconds;
use crate::cli::global::Global;
use crate::cli::lifecycle::Held;
use crate::lower::image_name;
use crate::plan::down::{DownOptions, Volumes, down as plan_down};
use crate::plan::up::Orphans;

/// What was typed after `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove images used by services. "local" remove only images that don't have a custom tag ("local"|"all").
    #[arg(long)]
    pub rmi: Option<String>,
    /// Specify a shutdown timeout in seconds.
    #[arg(short = 't', long, value_parser = whole_seconds)]
    pub timeout: Option<u32>,
    /// Remove named volumes declared in the "volumes" section of the Compose file and anonymous volumes attached to containers.
    #[arg(short = 'v', long)]
    pub volumes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: DownArgs) -> Result<Exit, CliError> {
    let held = Held::take(global, &args.services)?;
    let options = args.resolve(&held)?;
    down(global, &held, &options)
}

/// Takes the project down; also what `wait --down-project` does.
pub fn down(global: &Global, held: &Held, options: &DownOptions) -> Result<Exit, CliError> {
    let plan = plan_down(held.project(), held.desired(), held.observed(), options)?;
    held.carry_out(global, "Running", &plan)
}

impl DownArgs {
    /// What was typed, with nothing left open.
    fn resolve(self, held: &Held) -> Result<DownOptions, CliError> {
        let images = match self.rmi.as_deref() {
            None => Vec::new(),
            Some("local") => images(held, Which::Local),
            Some("all") => images(held, Which::All),
            Some(other) => {
                return Err(CliError::usage(format!(
                    "`--rmi {other}`: expected `local` or `all`"
                )));
            }
        };
        Ok(DownOptions {
            services: self.services,
            volumes: if self.volumes {
                Volumes::Remove
            } else {
                Volumes::Keep
            },
            images,
            orphans: self.remove_orphans || apply::orphans(false) == Orphans::Removed,
            timeout: apply::seconds(self.timeout),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Images without a name of their own: built for this project.
    Local,
    /// Every image that a service uses.
    All,
}

fn images(held: &Held, which: Which) -> Vec<String> {
    let Some(stack) = held.stack() else {
        return Vec::new();
    };
    let mut images: Vec<_> = stack
        .project
        .services
        .iter()
        .filter(|(_, service)| which == Which::All || service.image.is_empty())
        .map(|(name, service)| image_name(held.project(), name, service))
        // The machine itself is not removed.
        .filter(|reference| !matches!(reference.as_str(), "host" | "host:latest"))
        .collect();
    images.sort();
    images.dedup();
    images
}

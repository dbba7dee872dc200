//! `gantry system`: the engine itself: information, disk use, clean-up, events.

use clap::{Args, Subcommand};
use gantry_engine::engine::{Engine, PruneOptions};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::boot::{self, UnitArgs};
use crate::cli::nouns::check::{self, CheckArgs};
use crate::cli::nouns::disk::{self, DfArgs};
use crate::cli::nouns::doctor::{self, DoctorArgs};
use crate::cli::nouns::events::{self, EventsArgs};
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::nouns::{confirm, open};
use crate::cli::output::{print, warn};
use crate::ui::template::Format;

/// What was typed after `system`.
#[derive(Debug, Subcommand)]
pub enum SystemCommand {
    /// Start the containers that their restart policies want started, as after the machine's start.
    Boot,
    /// Verify every digest of the store; what a registry has is pulled again, unless with --dry-run.
    Check(CheckArgs),
    /// Disk use.
    Df(DfArgs),
    /// Try what containers need of this machine, and say what to change.
    Doctor(DoctorArgs),
    /// What happens, as it happens.
    Events(EventsArgs),
    /// Have systemd start containers at boot, and stop them before the machine goes down.
    Install(UnitArgs),
    /// What this machine offers and where state lives.
    Info(InfoArgs),
    /// Remove what nothing uses.
    Prune(PruneArgs),
    /// Stop all containers; `boot` starts them again as their restart policies say.
    Shutdown,
    /// Take back what `install` did.
    Uninstall(UnitArgs),
}

/// What was typed after `info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
}

/// What was typed after `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Images that no container uses, named ones too.
    #[arg(short = 'a', long)]
    all: bool,
    /// label=, label!=, until=.
    #[arg(long)]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short = 'f', long)]
    force: bool,
    /// Anonymous volumes too.
    #[arg(long)]
    volumes: bool,
}

/// Runs the command.
pub fn run(global: &Global, command: SystemCommand) -> Result<Exit, CliError> {
    let engine = || open(global);
    match command {
        SystemCommand::Boot => boot::boot(&engine()?),
        SystemCommand::Check(args) => check::run(global, &engine()?, &args),
        SystemCommand::Df(args) => disk::run(&engine()?, &args),
        SystemCommand::Doctor(args) => doctor::run(&engine()?, &args),
        SystemCommand::Events(args) => events::run(&engine()?, &args),
        SystemCommand::Info(args) => info(&engine()?, &args),
        SystemCommand::Install(args) => boot::install(global, &args),
        SystemCommand::Prune(args) => prune(&engine()?, &args),
        SystemCommand::Shutdown => boot::shutdown(&engine()?),
        SystemCommand::Uninstall(args) => boot::uninstall(&args),
    }
}

fn info(engine: &Engine, args: &InfoArgs) -> Result<Exit, CliError> {
    let facts = serde_json::to_value(engine.info()?).unwrap_or_default();
    match args.format.as_deref().map(Format::parse).transpose()? {
        None | Some(Format::Table) => {
            let lines = facts.as_object().into_iter().flatten().map(|(key, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                format!("{key}: {value}\n")
            });
            print(&lines.collect::<String>())?;
        }
        Some(Format::Json) => print(&format!("{facts}\n"))?,
        Some(Format::Template(template) | Format::Columns(template)) => {
            print(&(template.render(&facts)? + "\n"))?;
        }
    }
    Ok(Exit::Success)
}

fn prune(engine: &Engine, args: &PruneArgs) -> Result<Exit, CliError> {
    let filter = Filters::parse(&args.filter, listing::PRUNE)?.prune()?;
    let images = if args.all {
        "all unused images, the build cache"
    } else {
        "dangling images"
    };
    let volumes = if args.volumes {
        ", anonymous volumes that no container uses"
    } else {
        ""
    };
    confirm(
        args.force,
        &format!("This removes stopped containers, unused networks, {images}{volumes}."),
    )?;
    let removed = engine.prune(&PruneOptions {
        filter,
        all_images: args.all,
        volumes: args.volumes,
    })?;
    for (title, names) in [
        ("Containers", &removed.containers),
        ("Networks", &removed.networks),
        ("Volumes", &removed.volumes),
        ("Images", &removed.images),
    ] {
        listing::print_deleted(title, names)?;
    }
    for leftover in &removed.leftovers {
        eprintln!("removed {leftover}");
    }
    if removed.builds_go_on {
        let kept = "cache mounts and downloads of builds stay: somebody builds or pulls";
        warn(&[kept.to_owned()]);
    }
    listing::print_reclaimed(removed.reclaimed)?;
    Ok(Exit::Success)
}

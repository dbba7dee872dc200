//! `gantry image`: the engine's images without a Compose file.

mod build;
mod check;
mod import;
mod inspect;
mod list;
mod meter;
mod transfer;
mod trust;

use clap::{Args, Subcommand};
use gantry_engine::container::events::Action;
use gantry_engine::engine::Engine;
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::image::{Platform, Reference, Removed};

pub use transfer::{PullPolicy, ensure};

use crate::cli::Refused;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::nouns::{confirm, open};
use crate::cli::output::print;

/// What was typed after `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build an image from a Dockerfile.
    Build(Box<build::BuildArgs>),
    /// How an image came about.
    History(inspect::HistoryArgs),
    /// Make an image of an archive of files.
    Import(import::ImportArgs),
    /// Everything known about images, as JSON.
    Inspect(inspect::InspectArgs),
    /// Load images from an archive.
    Load(transfer::LoadArgs),
    /// List images.
    #[command(visible_alias = "list")]
    Ls(list::LsArgs),
    /// Remove images that nothing uses.
    Prune(PruneArgs),
    /// Fetch an image from its registry.
    Pull(transfer::PullArgs),
    /// Upload an image to its registry.
    Push(transfer::PushArgs),
    /// Remove images.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Write images to an archive.
    Save(transfer::SaveArgs),
    /// Look for images (refused).
    #[command(hide = true)]
    Search(Refused),
    /// Give an image another name.
    Tag(TagArgs),
}

/// What was typed after `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Named ones too.
    #[arg(short = 'a', long)]
    all: bool,
    /// dangling=, label=, label!=, until=.
    #[arg(long)]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short = 'f', long)]
    force: bool,
}

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// All names at once, even of an image in use.
    #[arg(short = 'f', long)]
    force: bool,
    /// Keep what the image was made of. Steps are kept in the build cache, so that is done anyway.
    #[arg(long)]
    no_prune: bool,
    /// Only the images of these platforms, os/arch[/variant].
    #[arg(long, value_delimiter = ',')]
    platform: Vec<String>,
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

/// What was typed after `tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// The image.
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// Its further name.
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

/// Runs the command.
pub fn run(global: &Global, command: ImageCommand) -> Result<Exit, CliError> {
    let engine = open(global)?;
    match command {
        ImageCommand::Build(args) => build::run(global, &engine, &args),
        ImageCommand::History(args) => inspect::history(&engine, &args),
        ImageCommand::Import(args) => import::run(&engine, &args),
        ImageCommand::Inspect(args) => inspect::inspect(&engine, &args),
        ImageCommand::Load(args) => transfer::load(&engine, &args),
        ImageCommand::Ls(args) => list::ls(&engine, &args),
        ImageCommand::Prune(args) => prune(&engine, &args),
        ImageCommand::Pull(args) => transfer::fetch(&engine, &args),
        ImageCommand::Push(args) => transfer::push(&engine, &args),
        ImageCommand::Rm(args) => remove(&engine, &args),
        ImageCommand::Save(args) => transfer::save(&engine, &args),
        ImageCommand::Search(_) => Err(no_search("image search")),
        ImageCommand::Tag(args) => {
            let target = reference(&args.target)?;
            let images = engine.images();
            images.tag_as(&args.source, &target).map_err(wrap)?;
            let id = images.resolve_id(&args.source).map_err(wrap)?;
            engine.tell_image(&id.to_string(), &args.target, Action::Tag);
            Ok(Exit::Success)
        }
    }
}

fn wrap(error: gantry_engine::image::ImageError) -> CliError {
    CliError::Engine(error.into())
}

fn reference(text: &str) -> Result<Reference, CliError> {
    Reference::parse(text)
        .map_err(|error| CliError::usage(format!("`{text}` is not an image's name: {error}")))
}

/// The refusal of what Docker asks its hub for.
pub fn no_search(verb: &str) -> CliError {
    CliError::Unsupported {
        what: format!("`{verb}`"),
        reason: "registries have no search of their own; look at the registry's site, then \
                 `image pull NAME`",
    }
}

fn remove(engine: &Engine, args: &RmArgs) -> Result<Exit, CliError> {
    let platforms = args.platform.iter().map(|text| {
        Platform::parse(text)
            .map_err(|error| CliError::usage(format!("--platform `{text}`: {error}")))
    });
    let platforms: Vec<Platform> = platforms.collect::<Result<_, _>>()?;
    let mut exit = Exit::Success;
    for name in &args.names {
        let result = match platforms.as_slice() {
            [] => engine.remove_image(name, args.force),
            some => engine.remove_platforms(name, some, args.force),
        };
        match result {
            Ok(removed) => print(&removed.iter().map(removed_line).collect::<String>())?,
            Err(error) if args.force && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                eprint!("{}", CliError::from(error).render());
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

fn removed_line(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {}\n", name.familiar()),
        Removed::Deleted(id) => format!("Deleted: {id}\n"),
    }
}

fn prune(engine: &Engine, args: &PruneArgs) -> Result<Exit, CliError> {
    let known = ["dangling", "label", "label!", "until"];
    let filters = Filters::parse(&args.filter, &known)?;
    let filter = filters.prune()?;
    // `dangling=false` is Docker's older way to say `--all`.
    let all = args.all || filters.flag("dangling")? == Some(false);
    let what = if all {
        "all images that no container uses"
    } else {
        "all images without a name"
    };
    confirm(args.force, &format!("This removes {what}."))?;
    let (removed, reclaimed) = engine.prune_images(all, &filter)?;
    let mut lines: Vec<String> = removed.iter().map(removed_line).collect();
    lines
        .iter_mut()
        .for_each(|line| line.truncate(line.trim_end().len()));
    listing::print_deleted("Images", &lines)?;
    listing::print_reclaimed(reclaimed)?;
    Ok(Exit::Success)
}

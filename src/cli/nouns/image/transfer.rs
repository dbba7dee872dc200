//! Images from and to elsewhere: `image pull`, `push`, `load`, `save`.

use std::path::PathBuf;

use clap::Args;
use gantry_engine::container::events::Action;
use gantry_engine::engine::Engine;
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::image::{Platform, is_host_image};
use gantry_engine::registry::{self, RegistryOptions};

use super::meter::Meter;
use super::{reference, wrap};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{print, read_archive, write_archive};

/// What was typed after `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The archive; default: standard input.
    #[arg(short = 'i', long)]
    input: Option<PathBuf>,
    /// Only of this platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// Do not tell what was loaded.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// What was typed after `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// No progress.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The image.
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

/// What was typed after `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Only of this platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// No progress.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The image.
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// What was typed after `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// The archive; default: standard output.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
    /// Only of this platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Always.
    Always,
    /// When it is not here.
    Missing,
    /// Never.
    Never,
}

impl PullPolicy {
    /// Reads `--pull`.
    ///
    /// # Errors
    /// When it is none of the three words.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        match text {
            "always" => Ok(Self::Always),
            "missing" | "" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            other => Err(CliError::usage(format!(
                "--pull `{other}`: always, missing or never"
            ))),
        }
    }
}

/// Fetches an image if the policy says so.
///
/// # Errors
/// When it is missing and may not, or cannot, be fetched.
pub fn ensure(
    engine: &Engine,
    name: &str,
    platform: Option<&str>,
    policy: PullPolicy,
    quiet: bool,
) -> Result<(), CliError> {
    if policy != PullPolicy::Always {
        let found = match self::platform(platform)? {
            Some(platform) => engine.images().resolve_for(name, &platform),
            None => engine.images().resolve(name),
        };
        match found {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && policy == PullPolicy::Missing => {
                eprintln!("image `{name}` is not here; pulling it");
            }
            Err(error) => return Err(wrap(error)),
        }
    }
    pull(engine, name, platform, quiet)
}

fn platform(text: Option<&str>) -> Result<Option<Platform>, CliError> {
    text.map(Platform::parse).transpose().map_err(wrap)
}

/// `image pull`.
pub(super) fn fetch(engine: &Engine, args: &PullArgs) -> Result<Exit, CliError> {
    pull(engine, &args.name, args.platform.as_deref(), args.quiet)?;
    if !is_host_image(&args.name) {
        print(&format!("{}\n", reference(&args.name)?))?;
    }
    Ok(Exit::Success)
}

fn pull(engine: &Engine, name: &str, wanted: Option<&str>, quiet: bool) -> Result<(), CliError> {
    if is_host_image(name) {
        eprintln!("{name}: the machine itself, there is nothing to pull");
        return Ok(());
    }
    let options = RegistryOptions {
        platform: platform(wanted)?,
        ..RegistryOptions::of_machine()
    };
    let meter = Meter::new(quiet);
    registry::pull_blocking(engine.images(), &reference(name)?, &options, &|transfer| {
        meter.tell(&transfer);
    })
    .map_err(|source| CliError::Registry {
        what: format!("pull image `{name}`"),
        source: Box::new(source),
    })?;
    engine.tell_image(name, name, Action::Pull);
    Ok(())
}

pub(super) fn push(engine: &Engine, args: &PushArgs) -> Result<Exit, CliError> {
    let name = reference(&args.name)?;
    let options = RegistryOptions {
        platform: platform(args.platform.as_deref())?,
        ..RegistryOptions::of_machine()
    };
    let meter = Meter::new(args.quiet);
    let pushed = registry::push_blocking(engine.images(), &name, &options, &|transfer| {
        meter.tell(&transfer);
    })
    .map_err(|source| CliError::Registry {
        what: format!("push image `{}`", args.name),
        source: Box::new(source),
    })?;
    drop(meter);
    engine.tell_image(&args.name, &args.name, Action::Push);
    print(&match args.quiet {
        true => format!("{}\n", name.familiar()),
        false => format!(
            "{}: digest: {} size: {}\n",
            name.tag().unwrap_or_default(),
            pushed.digest,
            pushed.size
        ),
    })?;
    Ok(Exit::Success)
}

pub(super) fn load(engine: &Engine, args: &LoadArgs) -> Result<Exit, CliError> {
    let platform = platform(args.platform.as_deref())?;
    let source = read_archive("load", args.input.as_deref())?;
    let loaded = engine
        .images()
        .load_for(source, platform.as_ref(), &|_| {})
        .map_err(wrap)?;
    for image in &loaded {
        let id = image.id.to_string();
        let name = image.tags.first().map(|tag| tag.familiar().to_string());
        engine.tell_image(&id, name.as_deref().unwrap_or(&id), Action::Load);
    }
    if args.quiet {
        return Ok(Exit::Success);
    }
    for image in loaded {
        let mut text = String::new();
        for tag in &image.tags {
            text += &format!("Loaded image: {}\n", tag.familiar());
        }
        if image.tags.is_empty() {
            text = format!("Loaded image ID: {}\n", image.id);
        }
        print(&text)?;
    }
    Ok(Exit::Success)
}

pub(super) fn save(engine: &Engine, args: &SaveArgs) -> Result<Exit, CliError> {
    let platform = platform(args.platform.as_deref())?;
    write_archive("save", args.output.as_deref(), |out| {
        let images = engine.images();
        images
            .save(&args.names, platform.as_ref(), out)
            .map_err(wrap)
    })?;
    for name in &args.names {
        engine.tell_image(name, name, Action::Save);
    }
    Ok(Exit::Success)
}

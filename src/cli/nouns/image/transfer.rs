//! Images from and to elsewhere: `image pull`, `push`, `load`, `save`.

use std::path::PathBuf;

use clap::Args;
use gantry_engine::container::events::Action;
use gantry_engine::engine::Engine;
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::image::{Platform, Reference, is_host_image};
use gantry_engine::registry::{self, RegistryOptions};

use super::meter::Meter;
use super::trust::TrustOption;
use super::{reference, wrap};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{print, read_archive, write_archive};
use crate::cli::platform;

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
    /// Every tag of the repository.
    #[arg(short = 'a', long)]
    all_tags: bool,
    #[command(flatten)]
    trust: TrustOption,
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
    /// Every tag that the repository has here.
    #[arg(short = 'a', long)]
    all_tags: bool,
    #[command(flatten)]
    trust: TrustOption,
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
    args.trust.check()?;
    let names = match args.all_tags && !is_host_image(&args.name) {
        true => tags_at_registry(&args.name)?,
        false => vec![args.name.clone()],
    };
    let platform = platform::or_default(args.platform.as_deref())?;
    for name in &names {
        pull(engine, name, platform.as_deref(), args.quiet)?;
        if !is_host_image(name) {
            print(&format!("{}\n", reference(name)?))?;
        }
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
    args.trust.check()?;
    if is_host_image(&args.name) {
        return Err(CliError::Unsupported {
            what: format!("to push `{}`", args.name),
            reason: "it is the machine itself, which no archive holds",
        });
    }
    let names = match args.all_tags {
        true => tags_here(engine, &args.name)?,
        false => vec![reference(&args.name)?],
    };
    for name in &names {
        let told = push_one(engine, name, args.platform.as_deref(), args.quiet)?;
        print(&told)?;
    }
    Ok(Exit::Success)
}

/// Pushes what one name means to it; the line that tells of it.
pub(super) fn push_one(
    engine: &Engine,
    name: &Reference,
    wanted: Option<&str>,
    quiet: bool,
) -> Result<String, CliError> {
    let options = RegistryOptions {
        platform: platform(wanted)?,
        ..RegistryOptions::of_machine()
    };
    let meter = Meter::new(quiet);
    let pushed = registry::push_blocking(engine.images(), name, &options, &|transfer| {
        meter.tell(&transfer);
    })
    .map_err(|source| CliError::Registry {
        what: format!("push image `{}`", name.familiar()),
        source: Box::new(source),
    })?;
    drop(meter);
    engine.tell_image(&name.familiar(), &name.familiar(), Action::Push);
    Ok(match quiet {
        true => format!("{}\n", name.familiar()),
        false => format!(
            "{}: digest: {} size: {}\n",
            name.tag().unwrap_or_default(),
            pushed.digest,
            pushed.size
        ),
    })
}

/// The repository that `--all-tags` is about.
fn repository(name: &str) -> Result<Reference, CliError> {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) {
        return Err(CliError::usage(format!(
            "`{name}` names one image, --all-tags all of a repository: leave out one of them"
        )));
    }
    reference(name)
}

fn tags_at_registry(name: &str) -> Result<Vec<String>, CliError> {
    let repository = repository(name)?;
    let failed = |source| CliError::Registry {
        what: format!("list the tags of `{name}`"),
        source: Box::new(source),
    };
    let tags = registry::tags_blocking(&repository, &RegistryOptions::of_machine());
    let names: Vec<String> = tags
        .map_err(failed)?
        .iter()
        .map(|tag| format!("{}:{tag}", repository.familiar_name()))
        .collect();
    if names.is_empty() {
        return Err(CliError::NotFound {
            what: "a tag of repository",
            name: name.to_owned(),
            hint: None,
        });
    }
    Ok(names)
}

fn tags_here(engine: &Engine, name: &str) -> Result<Vec<Reference>, CliError> {
    let repository = repository(name)?.familiar_name();
    let images = engine.images().list().map_err(wrap)?;
    let tags = images.into_iter().flat_map(|image| image.tags);
    let mut found: Vec<Reference> = tags
        .filter(|tag| tag.familiar_name() == repository)
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(CliError::NotFound {
            what: "an image of repository",
            name: name.to_owned(),
            hint: Some(format!("name one for it: `image tag IMAGE {name}:TAG`")),
        });
    }
    Ok(found)
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

//! `gantry image`: the engine's images without a Compose file.

mod build;
mod check;
mod import;

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use gantry_engine::engine::Engine;
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::image::{ImageSummary, Platform, Reference, Removed, Transfer, TransferState};
use gantry_engine::registry::{self, RegistryOptions};
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::nouns::{confirm, open, print_inspected};
use crate::cli::output::{List, print, write_archive};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build an image from a Dockerfile.
    Build(Box<build::BuildArgs>),
    /// How an image came about.
    History(HistoryArgs),
    /// Make an image of an archive of files.
    Import(import::ImportArgs),
    /// Everything known about images, as JSON.
    Inspect(InspectArgs),
    /// Load images from an archive.
    Load(LoadArgs),
    /// List images.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove images that nothing uses.
    Prune(PruneArgs),
    /// Fetch an image from its registry.
    Pull(PullArgs),
    /// Upload an image to its registry.
    Push(PushArgs),
    /// Remove images.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Write images to an archive.
    Save(SaveArgs),
    /// Look for images (refused).
    #[command(hide = true)]
    Search(SearchArgs),
    /// Give an image another name.
    Tag(TagArgs),
}

/// What was typed after `search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Whatever was looked for.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// What was typed after `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// Nothing is cut.
    #[arg(long)]
    no_trunc: bool,
    /// Only ids.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

/// What was typed after `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The archive; default: standard input.
    #[arg(short = 'i', long)]
    input: Option<PathBuf>,
    /// Do not tell what was loaded.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Accepted for scripts: every image is shown always.
    #[arg(short = 'a', long)]
    all: bool,
    /// before=, dangling=, label=, reference=, since=, until=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// Whole ids.
    #[arg(long)]
    no_trunc: bool,
    /// Only ids.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Only this repository, or this name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
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
    /// No progress.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The image.
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// All names at once, even of an image in use.
    #[arg(short = 'f', long)]
    force: bool,
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

/// What was typed after `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// The archive; default: standard output.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
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

/// Runs the command.
pub fn run(global: &Global, command: ImageCommand) -> Result<Exit, CliError> {
    let engine = open(global)?;
    match command {
        ImageCommand::Build(args) => build::run(global, &engine, &args),
        ImageCommand::History(args) => history(&engine, &args),
        ImageCommand::Import(args) => import::run(&engine, &args),
        ImageCommand::Inspect(args) => {
            print_inspected(args.format.as_deref(), &args.names, |name| {
                inspect(&engine, name)
            })
        }
        ImageCommand::Load(args) => load(&engine, &args),
        ImageCommand::Ls(args) => ls(&engine, &args),
        ImageCommand::Prune(args) => prune(&engine, &args),
        ImageCommand::Pull(args) => {
            pull(&engine, &args.name, args.platform.as_deref(), args.quiet)?;
            print(&format!("{}\n", reference(&args.name)?))?;
            Ok(Exit::Success)
        }
        ImageCommand::Push(args) => push(&engine, &args),
        ImageCommand::Rm(args) => remove(&engine, &args),
        ImageCommand::Save(args) => save(&engine, &args),
        ImageCommand::Search(args) => Err(CliError::usage(format!(
            "`image search {}` is not supported: registries have no search of their own; look at \
             the registry's site, then `image pull NAME`",
            args.words.join(" ")
        ))),
        ImageCommand::Tag(args) => {
            let image = engine.images().resolve(&args.source).map_err(wrap)?;
            engine
                .images()
                .tag(&image.id, &reference(&args.target)?)
                .map_err(wrap)?;
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
        match engine.images().resolve(name) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && policy == PullPolicy::Missing => {
                eprintln!("image `{name}` is not here; pulling it");
            }
            Err(error) => return Err(wrap(error)),
        }
    }
    pull(engine, name, platform, quiet)
}

fn pull(engine: &Engine, name: &str, platform: Option<&str>, quiet: bool) -> Result<(), CliError> {
    let platform = platform.map(Platform::parse).transpose().map_err(wrap)?;
    let options = RegistryOptions {
        platform,
        ..RegistryOptions::of_machine()
    };
    registry::pull_blocking(engine.images(), &reference(name)?, &options, &|transfer| {
        tell(&transfer, quiet);
    })
    .map_err(|source| CliError::Registry {
        what: format!("pull image `{name}`"),
        source: Box::new(source),
    })?;
    Ok(())
}

fn push(engine: &Engine, args: &PushArgs) -> Result<Exit, CliError> {
    let name = reference(&args.name)?;
    registry::push_blocking(
        engine.images(),
        &name,
        &RegistryOptions::of_machine(),
        &|transfer| {
            tell(&transfer, args.quiet);
        },
    )
    .map_err(|source| CliError::Registry {
        what: format!("push image `{}`", args.name),
        source: Box::new(source),
    })?;
    Ok(Exit::Success)
}

/// One line a layer that is done: pipes and terminals alike are not flooded.
fn tell(transfer: &Transfer, quiet: bool) {
    let word = match transfer.state {
        TransferState::Done => "done",
        TransferState::Exists => "already exists",
        TransferState::Mounted => "taken from another repository",
        TransferState::Retrying => "trying again",
        TransferState::Waiting | TransferState::Downloading | TransferState::Uploading => return,
    };
    if !quiet {
        let size = transfer
            .total
            .map(|bytes| format!(" ({})", text::size(bytes)))
            .unwrap_or_default();
        eprintln!("{}: {word}{size}", text::printable(&transfer.layer));
    }
}

fn load(engine: &Engine, args: &LoadArgs) -> Result<Exit, CliError> {
    let source: Box<dyn Read> = match &args.input {
        Some(path) => Box::new(File::open(path).map_err(|source| CliError::Io {
            what: format!("open `{}`", path.display()),
            source,
        })?),
        None if std::io::stdin().is_terminal() => {
            return Err(CliError::usage(
                "load reads an archive: name one with --input, or pipe one in",
            ));
        }
        None => Box::new(std::io::stdin()),
    };
    let loaded = engine.images().load(source, &|_| {}).map_err(wrap)?;
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

fn save(engine: &Engine, args: &SaveArgs) -> Result<Exit, CliError> {
    write_archive("save", args.output.as_deref(), |out| {
        engine.images().save(&args.names, out).map_err(wrap)
    })?;
    Ok(Exit::Success)
}

fn remove(engine: &Engine, args: &RmArgs) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for name in &args.names {
        match engine.remove_image(name, args.force) {
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

/// A row: one for each name, or one without.
struct Row<'a> {
    image: &'a ImageSummary,
    repository: String,
    tag: String,
}

fn rows(image: &ImageSummary) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = image
        .tags
        .iter()
        .map(|name| Row {
            image,
            repository: name.familiar_name(),
            tag: name.tag().unwrap_or("<none>").to_owned(),
        })
        .collect();
    if rows.is_empty() {
        let repository = image
            .digests
            .first()
            .map_or_else(|| "<none>".to_owned(), Reference::familiar_name);
        rows.push(Row {
            image,
            repository,
            tag: "<none>".to_owned(),
        });
    }
    rows
}

fn ls(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let mut images = engine.images().list().map_err(wrap)?;
    // The machine's own image is part of the engine, like `bridge` is of the networks; it is
    // not something the user put here.
    images.retain(|image| !image.built_in);
    for image in images.iter().filter(|image| image.damaged) {
        let name = image
            .tags
            .first()
            .map_or_else(|| image.id.to_string(), Reference::to_string);
        eprintln!("warning: image `{name}` is damaged: see `gantry system check`");
    }
    let filters = Filters::parse(
        &args.filter,
        &["before", "dangling", "label", "reference", "since", "until"],
    )?;
    let dangling = filters.flag("dangling")?;
    let bounds = Bounds::of(engine, &filters)?;
    images.retain(|image| {
        dangling.is_none_or(|wanted| image.tags.is_empty() == wanted)
            && filters.labels(&image.labels)
            && bounds.contain(image)
            && filters.any("reference", |pattern| {
                image.tags.iter().any(|name| named(name, pattern))
            })
    });
    let rows: Vec<Row<'_>> = images
        .iter()
        .flat_map(rows)
        .filter(|row| {
            args.name.as_ref().is_none_or(|name| {
                *name == row.repository || *name == format!("{}:{}", row.repository, row.tag)
            })
        })
        .collect();
    let id = |image: &ImageSummary| {
        if args.no_trunc {
            image.id.to_string()
        } else {
            image.id.short().to_string()
        }
    };
    if args.quiet {
        let mut ids: Vec<String> = rows.iter().map(|row| id(row.image)).collect();
        ids.dedup();
        listing::print_lines(ids)?;
        return Ok(Exit::Success);
    }
    let now = SystemTime::now();
    let objects = rows
        .iter()
        .map(|row| {
            json!({
                "Containers": "N/A",
                "CreatedAt": row.image.created.clone().unwrap_or_default(),
                "CreatedSince": age(row.image.created.as_deref(), now),
                "Digest": row.image.digests.first().and_then(|name| name.digest()).map_or_else(|| "<none>".to_owned(), ToString::to_string),
                "ID": id(row.image),
                "Repository": row.repository,
                "Size": text::short_size(row.image.size),
                "Tag": row.tag,
            })
        })
        .collect();
    List {
        format,
        rows: objects,
    }
    .print(|| {
        let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], 10);
        for row in &rows {
            table.row([
                row.repository.clone(),
                row.tag.clone(),
                id(row.image),
                age(row.image.created.as_deref(), now),
                text::short_size(row.image.size),
            ]);
        }
        table
    })?;
    Ok(Exit::Success)
}

/// `before`, `since` and `until`: times that an image's own must lie between.
struct Bounds {
    before: Option<jiff::Timestamp>,
    since: Option<jiff::Timestamp>,
}

impl Bounds {
    fn of(engine: &Engine, filters: &Filters) -> Result<Self, CliError> {
        let time = |name: &str| -> Result<Option<jiff::Timestamp>, CliError> {
            let image = engine.images().resolve(name).map_err(wrap)?;
            Ok(image.config.created.and_then(|text| text.parse().ok()))
        };
        let mut bounds = Self {
            before: filters.prune()?.until,
            since: None,
        };
        for name in filters.values("before") {
            let other = time(name)?;
            bounds.before = bounds.before.into_iter().chain(other).min();
        }
        for name in filters.values("since") {
            bounds.since = bounds.since.max(time(name)?);
        }
        Ok(bounds)
    }

    fn contain(&self, image: &ImageSummary) -> bool {
        let created = image.created.as_deref().and_then(|text| text.parse().ok());
        self.before
            .is_none_or(|before| created.is_some_and(|created: jiff::Timestamp| created < before))
            && self
                .since
                .is_none_or(|since| created.is_some_and(|created| created > since))
    }
}

/// `*` stands for anything.
fn named(name: &Reference, pattern: &str) -> bool {
    let pattern = if pattern.contains(':') {
        pattern.to_owned()
    } else {
        format!("{pattern}:*")
    };
    let text = name.familiar();
    let mut rest = text.as_str();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    let parts: Vec<&str> = parts.collect();
    for (n, part) in parts.iter().enumerate() {
        if n + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

fn age(created: Option<&str>, now: SystemTime) -> String {
    let time = created
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(SystemTime::from);
    time.and_then(|time| now.duration_since(time).ok())
        .map_or_else(|| "N/A".to_owned(), text::ago)
}

fn history(engine: &Engine, args: &HistoryArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let image = engine.images().resolve(&args.image).map_err(wrap)?;
    let now = SystemTime::now();
    let mut layers = image.layers.iter();
    let mut rows: Vec<Value> = image
        .config
        .history
        .iter()
        .map(|step| {
            let size = if step.empty_layer {
                0
            } else {
                layers.next().map_or(0, |layer| layer.size)
            };
            let by = if args.no_trunc || step.created_by.chars().count() <= 45 {
                step.created_by.clone()
            } else {
                step.created_by.chars().take(44).collect::<String>() + "…"
            };
            json!({
                "Comment": step.comment,
                "CreatedAt": step.created.clone().unwrap_or_default(),
                "CreatedBy": by,
                "CreatedSince": age(step.created.as_deref(), now),
                "ID": "<missing>",
                "Size": text::short_size(size),
            })
        })
        .collect();
    rows.reverse();
    let id = if args.no_trunc {
        image.id.to_string()
    } else {
        image.id.short().to_string()
    };
    if let Some(first) = rows.first_mut() {
        first["ID"] = json!(id);
    }
    if args.quiet {
        listing::print_lines(rows.iter().filter_map(|row| row["ID"].as_str()))?;
        return Ok(Exit::Success);
    }
    List {
        format,
        rows: rows.clone(),
    }
    .print(|| {
        let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], 10);
        for row in &rows {
            let columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
            table.row(columns.map(|column| row[column].as_str().unwrap_or_default().to_owned()));
        }
        table
    })?;
    Ok(Exit::Success)
}

fn inspect(engine: &Engine, name: &str) -> Result<Value, gantry_engine::engine::EngineError> {
    let image = engine.images().resolve(name)?;
    let (tags, digests) = engine.images().names(&image.id)?;
    let config = serde_json::to_value(&image.config).unwrap_or_default();
    Ok(json!({
        "Id": image.id.to_string(),
        "RepoTags": tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": digests.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Created": image.config.created,
        "Author": image.config.author,
        "Config": config.get("config").cloned().unwrap_or_else(|| json!({})),
        "Architecture": image.config.architecture,
        "Variant": image.config.variant,
        "Os": image.config.os,
        "Size": image.size(),
        "RootFS": {
            "Type": "layers",
            "Layers": image.layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>(),
        },
    }))
}

//! `gantry image`: the engine's images without a Compose file, in Docker's grammar.
//!
//! `list` prints tables, `show` explains one image, `transfer` moves images in and out, `remove`
//! takes names and images away. `import` and `build` have their own homes.

mod list;
mod remove;
mod show;
mod transfer;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gantry_engine::error::Classify;
use gantry_engine::image::{ImageStore, Roots};
use gantry_engine::state::Paths;

use crate::backend::BackendError;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Show the history of an image.
    History(HistoryArgs),
    /// Display detailed information on one or more images.
    Inspect(InspectArgs),
    /// Load an image from a tar archive or STDIN.
    Load(LoadArgs),
    /// List images.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove unused images.
    Prune(PruneArgs),
    /// Download an image from a registry.
    Pull(PullArgs),
    /// Upload an image to a registry.
    Push(PushArgs),
    /// Remove one or more images.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Save one or more images to a tar archive (streamed to STDOUT by default).
    Save(SaveArgs),
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE.
    Tag(TagArgs),
}

/// What was typed after `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Print sizes and dates in human readable format.
    #[arg(short = 'H', long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub human: bool,
    /// Don't truncate output.
    #[arg(long)]
    pub no_trunc: bool,
    /// Only show image IDs.
    #[arg(short, long)]
    pub quiet: bool,
    /// The image.
    pub image: String,
}

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short, long)]
    pub format: Option<String>,
    /// The images.
    #[arg(required = true)]
    pub images: Vec<String>,
}

/// What was typed after `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Read from tar archive file, instead of STDIN.
    #[arg(short, long)]
    pub input: Option<PathBuf>,
    /// Suppress the load output.
    #[arg(short, long)]
    pub quiet: bool,
}

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Show all images.
    #[arg(short, long)]
    pub all: bool,
    /// Show digests.
    #[arg(long)]
    pub digests: bool,
    /// dangling=, label=, reference=, before=, since=.
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Don't truncate output.
    #[arg(long)]
    pub no_trunc: bool,
    /// Only show image IDs.
    #[arg(short, long)]
    pub quiet: bool,
    /// Only images of this repository, or with this name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub repository: Option<String>,
}

/// What was typed after `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Remove all unused images, not just dangling ones.
    #[arg(short, long)]
    pub all: bool,
    /// label=, label!=, until=.
    #[arg(long)]
    pub filter: Vec<String>,
    /// Do not prompt for confirmation.
    #[arg(short, long)]
    pub force: bool,
}

/// What was typed after `pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// os/arch[/variant] where the registry has several.
    #[arg(long)]
    pub platform: Option<String>,
    /// Suppress verbose output.
    #[arg(short, long)]
    pub quiet: bool,
    /// Registries to speak to in plain http, or whatever their certificate.
    #[arg(long, env = "GANTRY_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
    /// The image.
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    pub name: String,
}

/// What was typed after `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Push all tags of an image to the repository.
    #[arg(short, long)]
    pub all_tags: bool,
    /// Suppress verbose output.
    #[arg(short, long)]
    pub quiet: bool,
    /// Registries to speak to in plain http, or whatever their certificate.
    #[arg(long, env = "GANTRY_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
    /// The image.
    #[arg(value_name = "NAME[:TAG]")]
    pub name: String,
}

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Force removal of the image.
    #[arg(short, long)]
    pub force: bool,
    /// The images.
    #[arg(required = true)]
    pub images: Vec<String>,
}

/// What was typed after `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Write to a file, instead of STDOUT.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// The images.
    #[arg(required = true)]
    pub images: Vec<String>,
}

/// What was typed after `tag`.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// What there is.
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    pub source: String,
    /// Its new name.
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    pub target: String,
}

/// Runs the command.
///
/// # Errors
/// What the image store or the registry says.
pub fn run(global: &Global, command: ImageCommand) -> Result<Exit, CliError> {
    let paths = match &global.root {
        Some(root) => Paths::below(root),
        None => Paths::system(),
    };
    let store = ImageStore::open(paths.root())
        .map_err(|error| failed("cannot open the image store", error))?;
    match command {
        ImageCommand::History(args) => show::history(&store, &args),
        ImageCommand::Inspect(args) => show::inspect(&store, &args),
        ImageCommand::Load(args) => transfer::load(&store, &args),
        ImageCommand::Ls(args) => list::ls(&store, &args),
        ImageCommand::Prune(args) => remove::prune(&store, &args, &roots(&paths)?),
        ImageCommand::Pull(args) => transfer::pull(&store, &args),
        ImageCommand::Push(args) => transfer::push(&store, &args),
        ImageCommand::Rm(args) => remove::rm(&store, &args, &roots(&paths)?),
        ImageCommand::Save(args) => transfer::save(&store, &args),
        ImageCommand::Tag(args) => remove::tag(&store, &args),
    }
}

/// What containers use. Records are only looked into for the two fields that matter here.
fn roots(paths: &Paths) -> Result<Roots, CliError> {
    let mut images: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let folder = paths.containers();
    let list = match std::fs::read_dir(&folder) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Roots::default()),
        Err(source) => {
            return Err(CliError::Io {
                what: format!("list `{}`", folder.display()),
                source,
            });
        }
    };
    for container in list.filter_map(Result::ok) {
        let Ok(files) = std::fs::read_dir(container.path()) else {
            continue;
        };
        for file in files
            .filter_map(Result::ok)
            .map(|file| file.path())
            .filter(|file| file.extension().is_some_and(|end| end == "json"))
        {
            let Ok(text) = std::fs::read(&file) else {
                continue;
            };
            let Ok(record) = serde_json::from_slice::<serde_json::Value>(&text) else {
                continue;
            };
            let Some(image) = find(&record, "image_id").and_then(|id| id.parse().ok()) else {
                continue;
            };
            let name = find(&record, "name").map_or_else(
                || container.file_name().to_string_lossy().into_owned(),
                str::to_owned,
            );
            images.entry(image).or_default().push(name);
        }
    }
    Ok(Roots {
        images,
        ..Roots::default()
    })
}

/// A text field of a record, at its top or one level below: records are versioned envelopes.
fn find<'a>(record: &'a serde_json::Value, field: &str) -> Option<&'a str> {
    let fields = record.as_object()?;
    fields
        .get(field)
        .and_then(serde_json::Value::as_str)
        .or_else(|| fields.values().find_map(|value| value.get(field)?.as_str()))
}

/// A failure of the store or a registry, for the user.
fn failed<E: Classify + Error + Send + Sync + 'static>(
    what: impl Into<String>,
    error: E,
) -> CliError {
    BackendError::wrap(what, error).into()
}

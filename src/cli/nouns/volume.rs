//! `gantry volume`: the engine's volumes without a Compose file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gantry_engine::engine::{Engine, EngineError, Present};
use gantry_engine::volume::{Volume, VolumeSpec};
use serde_json::{Value, json};

use super::container::values;
use super::listing::{self, Filters};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::{confirm, each, open, print_inspected, shape};
use crate::cli::output::{List, print, read_archive, warn, write_archive};
use crate::ui::table::Table;
use crate::ui::template::Format;

/// What was typed after `volume`.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// Make a volume.
    Create(CreateArgs),
    /// Write a volume's content as a tar archive.
    Export(ExportArgs),
    /// Fill a volume from a tar archive.
    Import(ImportArgs),
    /// Everything known about volumes, as JSON.
    Inspect(InspectArgs),
    /// List volumes.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Remove anonymous volumes that no container uses.
    Prune(PruneArgs),
    /// Remove volumes.
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// What was typed after `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Driver.
    #[arg(short = 'd', long, default_value = "local")]
    driver: String,
    /// Label, key=value.
    #[arg(long)]
    label: Vec<String>,
    /// Driver option, key=value.
    #[arg(short = 'o', long)]
    opt: Vec<String>,
    /// Name; default: a random one.
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

/// What was typed after `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File; default: standard output.
    #[arg(short = 'o', long)]
    output: Option<PathBuf>,
    /// Volume.
    #[arg(value_name = "VOLUME")]
    name: String,
}

/// What was typed after `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Content that is there goes; without it, such a volume is refused.
    #[arg(long)]
    replace: bool,
    /// Volume; made if there is none.
    #[arg(value_name = "VOLUME")]
    name: String,
    /// Archive, compressed or not; default, and -: standard input.
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
}

/// What was typed after `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json or a template.
    #[arg(short = 'f', long)]
    format: Option<String>,
    /// Volumes.
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// name=, label=, driver=, dangling=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// Only names.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// What was typed after `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Named volumes too.
    #[arg(short = 'a', long)]
    all: bool,
    /// label=, label!=, until=.
    #[arg(long)]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short = 'f', long)]
    force: bool,
}

/// What was typed after `rm`.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// A missing volume is no error.
    #[arg(short = 'f', long)]
    force: bool,
    /// Volumes.
    #[arg(value_name = "VOLUME", required = true)]
    names: Vec<String>,
}

/// Runs the command.
pub fn run(global: &Global, command: VolumeCommand) -> Result<Exit, CliError> {
    let engine = open(global)?;
    match command {
        VolumeCommand::Create(args) => create(&engine, args),
        VolumeCommand::Export(args) => export(&engine, &args),
        VolumeCommand::Import(args) => import(&engine, &args),
        VolumeCommand::Inspect(args) => {
            print_inspected(args.format.as_deref(), shape::VOLUME, &args.names, |name| {
                Ok(to_json(&engine, &engine.volumes().get(name)?))
            })
        }
        VolumeCommand::Ls(args) => ls(&engine, &args),
        VolumeCommand::Prune(args) => {
            let filter = Filters::parse(&args.filter, listing::PRUNE)?.prune()?;
            let what = if args.all {
                "This removes all volumes that no container uses."
            } else {
                "This removes anonymous volumes that no container uses."
            };
            confirm(args.force, what)?;
            let (removed, reclaimed) = engine.prune_volumes(args.all, &filter)?;
            listing::print_deleted("Volumes", &removed)?;
            listing::print_reclaimed(reclaimed)?;
            Ok(Exit::Success)
        }
        VolumeCommand::Rm(args) => each(&args.names, args.force, |name| engine.remove_volume(name)),
    }
}

fn create(engine: &Engine, args: CreateArgs) -> Result<Exit, CliError> {
    if args.driver != "local" {
        return Err(values::bad(
            "driver",
            &args.driver,
            "only local is supported",
        ));
    }
    let labels = values::labels(&[], &args.label)?;
    if let (Some(name), true) = (&args.name, args.opt.is_empty())
        && let Ok(volume) = engine.volumes().get(name)
    {
        // One that exists is as good, whatever it is made of.
        print(&format!("{}\n", volume.name))?;
        return Ok(Exit::Success);
    }
    let volume = engine.create_volume(&VolumeSpec {
        name: args.name,
        labels,
        options: values::pairs("opt", &args.opt)?,
        ..VolumeSpec::default()
    })?;
    print(&format!("{}\n", volume.name))?;
    Ok(Exit::Success)
}

fn export(engine: &Engine, args: &ExportArgs) -> Result<Exit, CliError> {
    let mut running = Vec::new();
    write_archive("export", args.output.as_deref(), |out| {
        running = engine.export_volume(&args.name, out)?;
        Ok(())
    })?;
    if !running.is_empty() {
        warn(&[format!(
            "volume `{}` was in use by {}: what was written meanwhile may be missing; stop them for a backup of one moment",
            args.name,
            running.join(", ")
        )]);
    }
    Ok(Exit::Success)
}

fn import(engine: &Engine, args: &ImportArgs) -> Result<Exit, CliError> {
    let present = match args.replace {
        true => Present::Replace,
        false => Present::Keep,
    };
    let input = args.input.as_deref().filter(|path| *path != Path::new("-"));
    let archive = read_archive("import", input)?;
    let volume = engine.import_volume(&args.name, archive, present)?;
    print(&format!("{}\n", volume.name))?;
    Ok(Exit::Success)
}

fn ls(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let filters = Filters::parse(&args.filter, &["dangling", "driver", "label", "name"])?;
    let dangling = filters.flag("dangling")?;
    let mut volumes = engine.volumes().list().map_err(EngineError::from)?;
    let used = match dangling {
        Some(_) => engine.volumes_in_use()?,
        None => BTreeSet::new(),
    };
    volumes.retain(|volume| {
        filters.name(volume.name.as_str())
            && filters.any("driver", |driver| driver == "local")
            && filters.labels(&volume.labels)
            && dangling.is_none_or(|wanted| used.contains(volume.name.as_str()) != wanted)
    });
    if args.quiet {
        listing::print_lines(volumes.iter().map(|volume| &volume.name))?;
        return Ok(Exit::Success);
    }
    let row = |volume: &Volume| {
        json!({
            "Driver": "local",
            "Labels": listing::labels_text(&volume.labels),
            "Mountpoint": engine.volumes().data(&volume.name),
            "Name": volume.name.to_string(),
            "Scope": "local",
        })
    };
    List {
        format,
        rows: volumes.iter().map(row).collect(),
    }
    .print(|| {
        let mut table = Table::new(&["DRIVER", "VOLUME NAME"], 10);
        volumes
            .iter()
            .for_each(|volume| table.row(["local".to_owned(), volume.name.to_string()]));
        table
    })?;
    Ok(Exit::Success)
}

fn to_json(engine: &Engine, volume: &Volume) -> Value {
    // Docker says null where there are none.
    let texts = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
    json!({
        "CreatedAt": format!("{:.0}", volume.created),
        "Driver": "local",
        "Labels": texts(&volume.labels),
        "Mountpoint": engine.volumes().data(&volume.name),
        "Name": volume.name.to_string(),
        "Options": texts(&volume.options),
        "Scope": "local",
    })
}

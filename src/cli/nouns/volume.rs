//! `gantry volume`: the engine's volumes without a Compose file.

use clap::{Args, Subcommand};
use gantry_engine::engine::{Engine, EngineError};
use gantry_engine::volume::{Volume, VolumeSpec};
use serde_json::{Value, json};

use super::container::values;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::nouns::{confirm, each, open, print_inspected};
use crate::cli::output::{List, print};
use crate::ui::table::Table;
use crate::ui::template::Format;

/// What was typed after `volume`.
#[derive(Debug, Subcommand)]
pub enum VolumeCommand {
    /// Make a volume.
    Create(CreateArgs),
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
        VolumeCommand::Inspect(args) => {
            print_inspected(args.format.as_deref(), &args.names, |name| {
                Ok(to_json(&engine, &engine.volumes().get(name)?))
            })
        }
        VolumeCommand::Ls(args) => ls(&engine, &args),
        VolumeCommand::Prune(args) => {
            let what = if args.all {
                "This removes all volumes that no container uses."
            } else {
                "This removes anonymous volumes that no container uses."
            };
            confirm(args.force, what)?;
            let removed = engine.prune_volumes(args.all)?;
            if !removed.is_empty() {
                let lines = removed
                    .iter()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>();
                print(&format!("Deleted Volumes:\n{lines}"))?;
            }
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
    let volume = engine.create_volume(&VolumeSpec {
        name: args.name,
        labels: values::labels(&[], &args.label)?,
        options: values::pairs("opt", &args.opt)?,
        ..VolumeSpec::default()
    })?;
    print(&format!("{}\n", volume.name))?;
    Ok(Exit::Success)
}

fn ls(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let mut volumes = engine.volumes().list().map_err(EngineError::from)?;
    for filter in &args.filter {
        let (key, value) = filter
            .split_once('=')
            .ok_or_else(|| CliError::usage(format!("filter `{filter}`: expected key=value")))?;
        match key {
            "name" => volumes.retain(|volume| volume.name.to_string().contains(value)),
            "driver" => volumes.retain(|_| value == "local"),
            "dangling" => {
                let used = engine.volumes_in_use()?;
                let wanted = matches!(value, "true" | "1");
                volumes.retain(|volume| used.contains(&volume.name.to_string()) != wanted);
            }
            "label" => volumes.retain(|volume| {
                let (key, value) = value
                    .split_once('=')
                    .map_or((value, None), |(k, v)| (k, Some(v)));
                volume
                    .labels
                    .get(key)
                    .is_some_and(|found| value.is_none_or(|value| value == found))
            }),
            other => {
                return Err(CliError::usage(format!(
                    "filter `{other}` is not supported"
                )));
            }
        }
    }
    if args.quiet {
        print(
            &volumes
                .iter()
                .map(|volume| format!("{}\n", volume.name))
                .collect::<String>(),
        )?;
        return Ok(Exit::Success);
    }
    let row = |volume: &Volume| {
        let labels: Vec<String> = volume
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        json!({
            "Driver": "local",
            "Labels": labels.join(","),
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
    json!({
        "CreatedAt": format!("{:.0}", volume.created),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": engine.volumes().data(&volume.name),
        "Name": volume.name.to_string(),
        "Options": volume.options,
        "Scope": "local",
    })
}

//! `volumes`: list volumes.

use clap::Args;
use serde_json::json;

use crate::backend::{MountedSource, Volume};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{List, print};
use crate::cli::session::{OneOff, Session};
use crate::plan::labels;
use crate::ui::table::Table;
use crate::ui::template::Format;

/// What was typed after `volumes`.
#[derive(Debug, Args)]
pub struct VolumesArgs {
    /// Format output using a custom template: 'table': Print output in table format with column headers 'table TEMPLATE': Print output in table format using the given Go template 'json': Print in JSON format 'TEMPLATE': Print output using the given Go template.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display volume names.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: VolumesArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let session = Session::named(global)?;
    let mut volumes = session
        .backend
        .volumes(&[(labels::PROJECT, &session.project_name)])?;
    if !args.services.is_empty() {
        let containers = session.of_services(&args.services, OneOff::Include)?;
        let mounted = |volume: &Volume| {
            containers.iter().flat_map(|c| &c.mounts).any(|mount| {
                matches!(&mount.source, MountedSource::Volume(name) if *name == volume.name)
            })
        };
        volumes.retain(mounted);
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
    let rows = volumes.iter().map(to_json).collect();
    List { format, rows }.print(|| {
        let mut table = Table::new(&["DRIVER", "VOLUME NAME"], 10);
        volumes
            .iter()
            .for_each(|volume| table.row([&volume.driver, &volume.name]));
        table
    })?;
    Ok(Exit::Success)
}

fn to_json(volume: &Volume) -> serde_json::Value {
    let labels: Vec<String> = volume
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    json!({
        "Availability": "N/A",
        "Driver": volume.driver,
        "Group": "N/A",
        "Labels": labels.join(","),
        "Links": "N/A",
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    })
}

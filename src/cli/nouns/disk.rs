//! `system df`: what takes up space.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use clap::Args;
use gantry_engine::container::ListFilter;
use gantry_engine::engine::{Engine, EngineError};
use serde_json::json;

use crate::backend;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing;
use crate::cli::output::{List, print};
use crate::ui::container::{command, id, status};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `df`.
#[derive(Debug, Args)]
pub struct DfArgs {
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// Each image, container, volume and piece of the build cache.
    #[arg(short = 'v', long)]
    verbose: bool,
}

/// Runs the command.
pub fn run(engine: &Engine, args: &DfArgs) -> Result<Exit, CliError> {
    if args.verbose {
        if args.format.is_some() {
            return Err(CliError::usage(
                "--verbose shows tables: leave out --format",
            ));
        }
        print(&format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n{}",
            images(engine)?.render(),
            containers(engine)?.render(),
            volumes(engine)?.render(),
            build_cache(engine)?,
        ))?;
        return Ok(Exit::Success);
    }
    summary(
        engine,
        Format::parse(args.format.as_deref().unwrap_or("table"))?,
    )
}

fn summary(engine: &Engine, format: Format) -> Result<Exit, CliError> {
    let usage = engine.disk_usage()?;
    let rows: Vec<_> = usage
        .iter()
        .map(|kind| {
            json!({
                "Type": kind.name,
                "TotalCount": kind.total.to_string(),
                "Active": kind.active.to_string(),
                "Size": text::size(kind.size),
                "Reclaimable": reclaimable(kind.size, kind.reclaimable),
            })
        })
        .collect();
    List { format, rows }.print(|| {
        let mut table = Table::new(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], 10);
        for kind in &usage {
            table.row([
                kind.name.to_owned(),
                kind.total.to_string(),
                kind.active.to_string(),
                text::size(kind.size),
                reclaimable(kind.size, kind.reclaimable),
            ]);
        }
        table
    })?;
    Ok(Exit::Success)
}

fn reclaimable(size: u64, bytes: u64) -> String {
    match (bytes * 100).checked_div(size) {
        Some(percent) => format!("{} ({percent}%)", text::size(bytes)),
        None => text::size(bytes),
    }
}

fn since(time: SystemTime, now: SystemTime) -> String {
    text::ago(now.duration_since(time).unwrap_or(Duration::ZERO))
}

fn images(engine: &Engine) -> Result<Table, CliError> {
    let titles = [
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ];
    let mut table = Table::new(&titles, 10);
    let now = SystemTime::now();
    let roots = engine.image_roots()?;
    let mut found = Vec::new();
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for summary in engine.images().list().map_err(EngineError::from)? {
        let image = engine
            .images()
            .get(&summary.id)
            .map_err(EngineError::from)?;
        for layer in &image.layers {
            *users.entry(layer.chain_id.to_string()).or_default() += 1;
        }
        found.push((summary, image));
    }
    for (summary, image) in found.iter().filter(|(summary, _)| !summary.built_in) {
        let shared = image.layers.iter().filter(|layer| {
            users
                .get(&layer.chain_id.to_string())
                .is_some_and(|n| *n > 1)
        });
        let shared: u64 = shared.map(|layer| layer.size).sum();
        let created = summary.created.as_deref();
        let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let name = summary.tags.first();
        table.row([
            name.map_or_else(|| "<none>".to_owned(), |name| name.familiar_name()),
            name.and_then(|name| name.tag())
                .unwrap_or("<none>")
                .to_owned(),
            summary.id.short().to_string(),
            created.map_or_else(|| "N/A".to_owned(), |time| since(time.into(), now)),
            text::short_size(summary.size),
            text::short_size(shared),
            text::short_size(summary.size.saturating_sub(shared)),
            roots
                .images
                .get(&summary.id)
                .map_or(0, Vec::len)
                .to_string(),
        ]);
    }
    Ok(table)
}

fn containers(engine: &Engine) -> Result<Table, CliError> {
    let titles = [
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "LOCAL VOLUMES",
        "SIZE",
        "CREATED",
        "STATUS",
        "NAMES",
    ];
    let mut table = Table::new(&titles, 10);
    let now = SystemTime::now();
    for container in engine.list(&ListFilter::everything())? {
        let size = engine.written(&container);
        let volumes = container
            .mounts
            .iter()
            .filter(|mount| super::container::volume_name(mount).is_some());
        let volumes = volumes.count().to_string();
        let container = backend::engine::container(container);
        table.row([
            id(&container, false),
            container.image.clone(),
            command(&container.command, false),
            volumes,
            text::short_size(size),
            since(container.created, now),
            status(&container, now),
            container.name.clone(),
        ]);
    }
    Ok(table)
}

fn volumes(engine: &Engine) -> Result<Table, CliError> {
    let mut table = Table::new(&["VOLUME NAME", "LINKS", "SIZE"], 10);
    let users = engine.volume_users()?;
    for volume in engine.volumes().list().map_err(EngineError::from)? {
        table.row([
            volume.name.to_string(),
            users
                .get(volume.name.as_str())
                .map_or(0, Vec::len)
                .to_string(),
            text::size(engine.volume_size(&volume)),
        ]);
    }
    Ok(table)
}

/// Its size, and each piece.
fn build_cache(engine: &Engine) -> Result<String, CliError> {
    let pieces = engine.build_cache()?;
    let own = pieces.iter().filter(|piece| !piece.shared);
    let size: u64 = own.map(|piece| piece.size).sum();
    let titles = [
        "CACHE ID",
        "CACHE TYPE",
        "SIZE",
        "CREATED",
        "LAST USED",
        "USAGE",
        "SHARED",
        "DESCRIPTION",
    ];
    let mut table = Table::new(&titles, 10);
    let now = SystemTime::now();
    for piece in &pieces {
        let used = if piece.in_use { "*" } else { "" };
        let age = |time: Option<SystemTime>| {
            time.map_or_else(|| "N/A".to_owned(), |time| since(time, now))
        };
        let uses = piece.uses.map(|uses| uses.to_string());
        table.row([
            format!("{}{used}", listing::id(&piece.id, false)),
            piece.kind.word().to_owned(),
            text::short_size(piece.size),
            age(piece.created),
            age(piece.last_used),
            uses.unwrap_or_else(|| "N/A".to_owned()),
            piece.shared.to_string(),
            text::printable(&piece.description),
        ]);
    }
    let size = text::size(size);
    Ok(format!("Build cache usage: {size}\n\n{}", table.render()))
}

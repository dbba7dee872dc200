//! `image inspect` and `image history`.

use std::time::SystemTime;

use clap::Args;
use gantry_engine::engine::Engine;
use gantry_engine::image::{Image, ImageError, Platform, Reference};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::list::age;
use super::wrap;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing::{self, NEVER};
use crate::cli::nouns::{print_inspected, shape};
use crate::cli::output::List;
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// Sizes and times for people; otherwise bytes and dates.
    #[arg(short = 'H', long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    human: bool,
    /// Nothing is cut.
    #[arg(long)]
    no_trunc: bool,
    /// Only of this platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
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
    /// Only of this platform, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

pub(super) fn history(engine: &Engine, args: &HistoryArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let image = found(engine, &args.image, args.platform.as_deref()).map_err(wrap)?;
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
            let created = step.created.as_deref();
            let at = created.map(date).unwrap_or_default();
            let (since, size) = match args.human {
                true => (age(created, now), text::short_size(size)),
                false => (at.clone(), size.to_string()),
            };
            json!({
                "Comment": step.comment,
                "CreatedAt": at,
                "CreatedBy": by,
                "CreatedSince": since,
                "ID": "<missing>",
                "Size": size,
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
        let created = if args.human { "CREATED" } else { "CREATED AT" };
        let mut table = Table::new(&["IMAGE", created, "CREATED BY", "SIZE", "COMMENT"], 10);
        for row in &rows {
            let columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
            table.row(columns.map(|column| row[column].as_str().unwrap_or_default().to_owned()));
        }
        table
    })?;
    Ok(Exit::Success)
}

/// A time to the second.
fn date(created: &str) -> String {
    match created.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => created.to_owned(),
    }
}

/// What a name means, on a platform when one is asked for.
fn found(engine: &Engine, name: &str, platform: Option<&str>) -> Result<Image, ImageError> {
    match platform {
        Some(platform) => engine
            .images()
            .resolve_for(name, &Platform::parse(platform)?),
        None => engine.images().resolve(name),
    }
}

/// Prints what is known of images.
pub(super) fn inspect(engine: &Engine, args: &InspectArgs) -> Result<Exit, CliError> {
    print_inspected(args.format.as_deref(), shape::IMAGE, &args.names, |name| {
        Ok(describe(
            engine,
            &found(engine, name, args.platform.as_deref())?,
        )?)
    })
}

fn describe(engine: &Engine, image: &Image) -> Result<Value, ImageError> {
    let (tags, digests) = engine.images().names(&image.id)?;
    let config = serde_json::to_value(&image.config).unwrap_or_default();
    let settings = config.get("config").filter(|settings| settings.is_object());
    let names = tags.iter().chain(&digests);
    let tagged = names
        .filter_map(|name| engine.images().named_at(name))
        .max();
    let tagged = tagged.and_then(|time| Timestamp::try_from(time).ok());
    let comment = image.config.history.last().map(|step| &step.comment);
    let mut value = json!({
        "Id": image.id.to_string(),
        "RepoTags": tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": digests.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Parent": "",
        "Comment": comment.cloned().unwrap_or_default(),
        "Created": image.config.created,
        "DockerVersion": "",
        "Author": image.config.author,
        "Config": settings.cloned().unwrap_or_else(|| json!({})),
        "Architecture": image.config.architecture,
        "Os": image.config.os,
        "Size": image.size(),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": { "LowerDir": image.lower().iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(":") },
        },
        "RootFS": {
            "Type": "layers",
            "Layers": image.layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>(),
        },
        "Metadata": { "LastTagTime": tagged.map_or_else(|| NEVER.to_owned(), |time| time.to_string()) },
    });
    if !image.config.variant.is_empty() {
        value["Variant"] = json!(image.config.variant);
    }
    Ok(value)
}

//! `image inspect` and `image history`.

use gantry_engine::image::{Image, ImageError, ImageStore, Reference};
use serde_json::{Value, json};

use super::list::{since, time};
use super::{HistoryArgs, InspectArgs, failed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{List, print};
use crate::ui::table::Table;
use crate::ui::template::{Format, Template};
use crate::ui::text;

const MISSING: &str = "<missing>";

pub(super) fn inspect(store: &ImageStore, args: &InspectArgs) -> Result<Exit, CliError> {
    let mut found = Vec::new();
    let mut failures = String::new();
    for name in &args.images {
        match store.resolve(name).and_then(|image| to_json(store, &image)) {
            Ok(value) => found.push(value),
            Err(error) => {
                failures += &failed(format!("cannot inspect image `{name}`"), error).render()
            }
        }
    }
    match &args.format {
        None => print(&format!(
            "{}\n",
            serde_json::to_string_pretty(&found).unwrap_or_default()
        ))?,
        Some(format) => {
            for value in &found {
                print(&match Format::parse(format)? {
                    Format::Json | Format::Table => format!("{value}\n"),
                    Format::Template(template) => template.render(value)? + "\n",
                    Format::Columns(_) => Template::parse(format)?.render(value)? + "\n",
                })?;
            }
        }
    }
    if failures.is_empty() {
        return Ok(Exit::Success);
    }
    eprint!("{failures}");
    Ok(Exit::Failure)
}

/// Docker's `ImageInspect`.
fn to_json(store: &ImageStore, image: &Image) -> Result<Value, ImageError> {
    let (tags, digests) = store.names(&image.id)?;
    let config = &image.config;
    Ok(json!({
        "Id": image.id,
        "RepoTags": tags.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "RepoDigests": digests.iter().map(Reference::familiar).collect::<Vec<_>>(),
        "Parent": "",
        "Comment": config.history.last().map_or("", |step| step.comment.as_str()),
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Config": config.config,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size(),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": { "LowerDir": image.lower().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":") },
        },
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    }))
}

pub(super) fn history(store: &ImageStore, args: &HistoryArgs) -> Result<Exit, CliError> {
    let image = store.resolve(&args.image).map_err(|error| {
        failed(
            format!("cannot show the history of `{}`", args.image),
            error,
        )
    })?;
    let id = if args.no_trunc {
        image.id.to_string()
    } else {
        image.id.short()
    };
    let mut sizes = image.layers.iter().rev().map(|layer| layer.size);
    let mut rows = Vec::new();
    for (index, step) in image.config.history.iter().rev().enumerate() {
        let size = if step.empty_layer {
            0
        } else {
            sizes.next().unwrap_or(0)
        };
        let created = time(step.created.as_deref());
        let by = if args.no_trunc {
            step.created_by.clone()
        } else {
            shorten(&step.created_by)
        };
        rows.push(json!({
            "ID": if index == 0 { id.as_str() } else { MISSING },
            "CreatedAt": step.created.clone().unwrap_or_default(),
            "CreatedSince": if args.human { since(created) } else { step.created.clone().unwrap_or_default() },
            "CreatedBy": by,
            "Size": if args.human { text::size(size) } else { size.to_string() },
            "Comment": step.comment,
        }));
    }
    let field = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    if args.quiet {
        print(
            &rows
                .iter()
                .map(|row| field(row, "ID") + "\n")
                .collect::<String>(),
        )?;
        return Ok(Exit::Success);
    }
    let list = List {
        format: Format::parse(&args.format)?,
        rows,
    };
    list.print(|| {
        let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], 10);
        for row in &list.rows {
            table.row(
                ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"].map(|name| field(row, name)),
            );
        }
        table
    })?;
    Ok(Exit::Success)
}

/// At most 45 characters, as Docker shows steps.
fn shorten(step: &str) -> String {
    let step = step.replace('\t', " ");
    if step.chars().count() <= 45 {
        step
    } else {
        step.chars().take(44).chain(['…']).collect()
    }
}

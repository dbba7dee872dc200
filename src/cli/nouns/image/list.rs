//! `image ls`.

use std::time::SystemTime;

use clap::Args;
use gantry_engine::engine::Engine;
use gantry_engine::image::{ImageSummary, Reference};
use serde_json::json;

use super::wrap;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::output::{List, print};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Images of build steps too. There are none: steps are kept in the build cache, so the list is the same.
    #[arg(short = 'a', long)]
    all: bool,
    /// The digest of each name at its registry.
    #[arg(long)]
    digests: bool,
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
    /// The platforms of each image.
    #[arg(long)]
    tree: bool,
    /// Only this repository, or this name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

/// A row: one for each name, or one without.
struct Row<'a> {
    image: &'a ImageSummary,
    repository: String,
    tag: String,
}

impl Row<'_> {
    /// What the repository's registry calls the image.
    fn digest(&self) -> String {
        let digests = self.image.digests.iter();
        let mut own = digests.filter(|name| name.familiar_name() == self.repository);
        own.find_map(|name| name.digest())
            .map_or_else(|| "<none>".to_owned(), ToString::to_string)
    }
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

pub(super) fn ls(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
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
    if args.tree {
        return tree(&rows, &id);
    }
    if args.quiet {
        let mut ids: Vec<String> = rows.iter().map(|row| id(row.image)).collect();
        ids.dedup();
        listing::print_lines(ids)?;
        return Ok(Exit::Success);
    }
    table(format, &rows, args.digests, &id)
}

/// A row for each name, in the form that was asked for.
fn table(
    format: Format,
    rows: &[Row<'_>],
    digests: bool,
    id: &dyn Fn(&ImageSummary) -> String,
) -> Result<Exit, CliError> {
    let now = SystemTime::now();
    let objects = rows
        .iter()
        .map(|row| {
            json!({
                "Containers": "N/A",
                "CreatedAt": row.image.created.clone().unwrap_or_default(),
                "CreatedSince": age(row.image.created.as_deref(), now),
                "Digest": row.digest(),
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
        let mut titles = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        if digests {
            titles.insert(2, "DIGEST");
        }
        let mut table = Table::new(&titles, 10);
        for row in rows {
            let mut cells = vec![
                row.repository.clone(),
                row.tag.clone(),
                id(row.image),
                age(row.image.created.as_deref(), now),
                text::short_size(row.image.size),
            ];
            if digests {
                cells.insert(2, row.digest());
            }
            table.row(cells);
        }
        table
    })?;
    Ok(Exit::Success)
}

/// Each name with its platforms below it.
fn tree(rows: &[Row<'_>], id: &dyn Fn(&ImageSummary) -> String) -> Result<Exit, CliError> {
    let mut table = Table::new(&["IMAGE", "ID", "SIZE"], 10);
    for row in rows {
        let name = match (row.repository.as_str(), row.tag.as_str()) {
            ("<none>", _) => "<untagged>".to_owned(),
            (repository, "<none>") => repository.to_owned(),
            (repository, tag) => format!("{repository}:{tag}"),
        };
        let variants = &row.image.variants;
        let size = variants.iter().map(|variant| variant.size).sum();
        table.row([name, id(row.image), text::short_size(size)]);
        for (at, variant) in variants.iter().enumerate() {
            let branch = if at + 1 == variants.len() {
                "└─"
            } else {
                "├─"
            };
            table.row([
                format!("{branch} {}", variant.platform),
                variant.id.short().to_string(),
                text::short_size(variant.size),
            ]);
        }
    }
    print(&table.render())?;
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

pub(super) fn age(created: Option<&str>, now: SystemTime) -> String {
    let time = created
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(SystemTime::from);
    time.and_then(|time| now.duration_since(time).ok())
        .map_or_else(|| "N/A".to_owned(), text::ago)
}

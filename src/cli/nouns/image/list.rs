//! `image ls`.

use std::collections::BTreeSet;
use std::time::SystemTime;

use gantry_engine::image::{ImageStore, ImageSummary, Reference};
use serde_json::{Value, json};

use super::{LsArgs, failed};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{List, print};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

const NONE: &str = "<none>";

/// One line: an image under one of its names.
struct Row {
    repository: String,
    tag: String,
    digest: String,
    id: String,
    created: Option<SystemTime>,
    size: u64,
}

pub(super) fn ls(store: &ImageStore, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let mut images = store
        .list()
        .map_err(|error| failed("cannot list images", error))?;
    for filter in &args.filter {
        keep(store, &mut images, filter)?;
    }
    let rows: Vec<Row> = images.iter().flat_map(|image| rows(image, args)).collect();
    if args.quiet {
        // An image with several names is one id.
        let mut seen = BTreeSet::new();
        let ids = rows
            .iter()
            .filter(|row| seen.insert(&row.id))
            .map(|row| format!("{}\n", row.id));
        print(&ids.collect::<String>())?;
        return Ok(Exit::Success);
    }
    List {
        format,
        rows: rows.iter().map(to_json).collect(),
    }
    .print(|| table(&rows, args.digests))?;
    Ok(Exit::Success)
}

fn table(rows: &[Row], digests: bool) -> Table {
    let mut titles = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
    if digests {
        titles.insert(2, "DIGEST");
    }
    let mut table = Table::new(&titles, 10);
    for row in rows {
        let mut cells = vec![
            row.repository.clone(),
            row.tag.clone(),
            row.id.clone(),
            since(row.created),
            text::short_size(row.size),
        ];
        if digests {
            cells.insert(2, row.digest.clone());
        }
        table.row(cells);
    }
    table
}

fn to_json(row: &Row) -> Value {
    json!({
        "Containers": "N/A",
        "CreatedAt": row.created.and_then(|time| jiff::Timestamp::try_from(time).ok()).map_or_else(|| "N/A".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()),
        "CreatedSince": since(row.created),
        "Digest": row.digest,
        "ID": row.id,
        "Repository": row.repository,
        "SharedSize": "N/A",
        "Size": text::short_size(row.size),
        "Tag": row.tag,
        "UniqueSize": "N/A",
        "VirtualSize": text::short_size(row.size),
    })
}

/// When an image was made, from its configuration.
pub(super) fn time(created: Option<&str>) -> Option<SystemTime> {
    created?
        .parse::<jiff::Timestamp>()
        .ok()
        .map(SystemTime::from)
}

pub(super) fn since(created: Option<SystemTime>) -> String {
    match created {
        Some(time) => text::ago(SystemTime::now().duration_since(time).unwrap_or_default()),
        None => "N/A".to_owned(),
    }
}

fn rows(image: &ImageSummary, args: &LsArgs) -> Vec<Row> {
    let id = if args.no_trunc {
        image.id.to_string()
    } else {
        image.id.short()
    };
    let row = |repository: String, tag: &str, digest: String| Row {
        repository,
        tag: tag.to_owned(),
        digest,
        id: id.clone(),
        created: time(image.created.as_deref()),
        size: image.size,
    };
    let digest_of = |tag: &Reference| {
        image
            .digests
            .iter()
            .find(|digest| digest.familiar_name() == tag.familiar_name())
            .and_then(Reference::digest)
            .map_or_else(|| NONE.to_owned(), ToString::to_string)
    };
    let mut rows: Vec<Row> = image
        .tags
        .iter()
        .filter(|tag| {
            args.repository
                .as_deref()
                .is_none_or(|wanted| is_named(tag, wanted))
        })
        .map(|tag| {
            row(
                tag.familiar_name(),
                tag.tag().unwrap_or(NONE),
                digest_of(tag),
            )
        })
        .collect();
    if image.tags.is_empty() && args.repository.is_none() {
        rows.push(match image.digests.first() {
            Some(digest) => row(
                digest.familiar_name(),
                NONE,
                digest
                    .digest()
                    .map_or_else(|| NONE.to_owned(), ToString::to_string),
            ),
            None => row(NONE.to_owned(), NONE, NONE.to_owned()),
        });
    }
    rows
}

/// `nginx` names every tag, `nginx:1` one; `*` stands for anything but `/`.
fn is_named(tag: &Reference, wanted: &str) -> bool {
    let has_tag = wanted
        .rsplit_once(':')
        .is_some_and(|(_, tag)| !tag.contains('/'));
    let name = if has_tag {
        tag.familiar()
    } else {
        tag.familiar_name()
    };
    matches(wanted.as_bytes(), name.as_bytes())
        || Reference::parse(wanted).is_ok_and(|reference| {
            if has_tag {
                reference == *tag
            } else {
                reference.familiar_name() == tag.familiar_name()
            }
        })
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(first, left)| *first != b'/' && matches(pattern, left))
        }
        (Some((b'?', rest)), Some((first, left))) => *first != b'/' && matches(rest, left),
        (Some((wanted, rest)), Some((first, left))) => wanted == first && matches(rest, left),
        _ => false,
    }
}

fn keep(store: &ImageStore, images: &mut Vec<ImageSummary>, filter: &str) -> Result<(), CliError> {
    let (key, value) = filter
        .split_once('=')
        .ok_or_else(|| CliError::usage(format!("filter `{filter}`: expected key=value")))?;
    match key {
        "dangling" => match value {
            "true" | "1" => images.retain(|image| image.tags.is_empty()),
            "false" | "0" => images.retain(|image| !image.tags.is_empty()),
            other => {
                return Err(CliError::usage(format!(
                    "filter `dangling={other}`: expected true or false"
                )));
            }
        },
        "label" => images.retain(|image| has_label(image, value)),
        "reference" => images.retain(|image| image.tags.iter().any(|tag| is_named(tag, value))),
        "before" | "since" => {
            let border = store
                .resolve(value)
                .map_err(|error| failed(format!("filter `{filter}`"), error))?;
            let border = time(border.config.created.as_deref());
            images.retain(|image| {
                let created = time(image.created.as_deref());
                if key == "before" {
                    created < border
                } else {
                    created > border
                }
            });
        }
        other => {
            return Err(CliError::usage(format!(
                "filter `{other}` is not supported; known are dangling, label, reference, before and since"
            )));
        }
    }
    Ok(())
}

pub(super) fn has_label(image: &ImageSummary, wanted: &str) -> bool {
    let (key, value) = wanted
        .split_once('=')
        .map_or((wanted, None), |(key, value)| (key, Some(value)));
    image
        .labels
        .get(key)
        .is_some_and(|found| value.is_none_or(|value| value == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_dockers() {
        let tag = Reference::parse("quay.io/team/app:1.2").unwrap();
        for wanted in [
            "quay.io/team/app",
            "quay.io/team/app:1.2",
            "quay.io/*/app",
            "quay.io/team/a*:1.?",
        ] {
            assert!(is_named(&tag, wanted), "{wanted}");
        }
        for wanted in ["app", "quay.io/*", "quay.io/team/app:1"] {
            assert!(!is_named(&tag, wanted), "{wanted}");
        }
        assert!(is_named(
            &Reference::parse("nginx").unwrap(),
            "library/nginx"
        ));
    }
}

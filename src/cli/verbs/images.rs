//! `images`: list images used by the created containers.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use crate::backend::{Container, Image};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{print, print_json};
use crate::cli::session::{OneOff, Session};
use crate::ui::container::rfc3339;
use crate::ui::table::Table;
use crate::ui::text;

/// What was typed after `images`.
#[derive(Debug, Args)]
pub struct ImagesArgs {
    /// Format the output. Values: [table | json].
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Only display IDs.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: ImagesArgs) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let containers = session.of_services(&args.services, OneOff::Include)?;
    let mut used: Vec<(Container, Option<Image>)> = Vec::new();
    for container in containers {
        let image = session.backend.image(&container.image_id)?;
        used.push((container, image));
    }
    if args.quiet {
        let mut ids: Vec<&str> = used.iter().map(|(c, _)| bare(&c.image_id)).collect();
        ids.sort_unstable();
        ids.dedup();
        print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?;
        return Ok(Exit::Success);
    }
    match args.format.as_str() {
        "" | "table" => print(&table(&used).render())?,
        "json" => print_json(
            &used
                .iter()
                .map(|(c, i)| to_json(c, i.as_ref()))
                .collect::<Vec<_>>()
                .into(),
        )?,
        other => {
            return Err(CliError::usage(format!(
                "unknown format `{other}`: table or json"
            )));
        }
    }
    Ok(Exit::Success)
}

fn bare(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// Repository and tag of the image a container was made from.
fn name(container: &Container) -> (String, String) {
    let reference = &container.image;
    if let Some((repository, _)) = reference.split_once('@') {
        return (repository.to_owned(), "<none>".to_owned());
    }
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (reference.clone(), "latest".to_owned()),
    }
}

fn table(used: &[(Container, Option<Image>)]) -> Table {
    let mut table = Table::new(
        &[
            "CONTAINER",
            "REPOSITORY",
            "TAG",
            "PLATFORM",
            "IMAGE ID",
            "SIZE",
            "CREATED",
        ],
        20,
    );
    let now = SystemTime::now();
    for (container, image) in used {
        let (repository, tag) = name(container);
        let created = image.as_ref().and_then(|image| image.created);
        let age = created
            .and_then(|time| now.duration_since(time).ok())
            .unwrap_or(Duration::ZERO);
        table.row([
            container.name.clone(),
            repository,
            tag,
            image
                .as_ref()
                .map(|image| image.platform.clone())
                .unwrap_or_default(),
            bare(&container.image_id).chars().take(12).collect(),
            text::short_size(image.as_ref().map_or(0, |image| image.size)),
            if created.is_some() {
                text::ago(age)
            } else {
                "N/A".to_owned()
            },
        ]);
    }
    table
}

fn to_json(container: &Container, image: Option<&Image>) -> serde_json::Value {
    let (repository, tag) = name(container);
    json!({
        "ID": container.image_id,
        "ContainerName": container.name,
        "Repository": repository,
        "Tag": tag,
        "Platform": image.map(|image| image.platform.as_str()).unwrap_or_default(),
        "Size": image.map_or(0, |image| image.size),
        "Created": image.and_then(|image| image.created).map(rfc3339),
        "LastTagTime": image.and_then(|image| image.tagged).map(rfc3339),
    })
}

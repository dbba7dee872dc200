//! `container ls`.

use std::time::{Duration, SystemTime};

use clap::Args;
use gantry_engine::container::{Container, ListFilter, Status};
use gantry_engine::engine::Engine;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{List, print};
use crate::ui::container::{command, socket};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Stopped ones too.
    #[arg(short = 'a', long)]
    all: bool,
    /// name=, id=, label=, status=, health=, ancestor=, network=, volume=, exited=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long, default_value = "table")]
    format: String,
    /// The last N created, stopped ones too.
    #[arg(short = 'n', long, allow_negative_numbers = true)]
    last: Option<i64>,
    /// The last created.
    #[arg(short = 'l', long)]
    latest: bool,
    /// Nothing is cut.
    #[arg(long)]
    no_trunc: bool,
    /// Only ids.
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Runs the command.
pub fn run(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(&args.format)?;
    let filters = args
        .filter
        .iter()
        .map(|text| Filter::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let last = if args.latest {
        Some(1)
    } else {
        args.last.and_then(|n| usize::try_from(n).ok())
    };
    let states = filters
        .iter()
        .any(|f| matches!(f, Filter::Status(_) | Filter::Exited(_)));
    let all = args.all || last.is_some() || states;
    let mut containers = engine.list(&ListFilter {
        all,
        labels: Vec::new(),
    })?;
    containers.retain(|container| passes(container, &filters));
    containers.sort_by_key(|container| std::cmp::Reverse(container.created));
    containers.truncate(last.unwrap_or(usize::MAX));
    if args.quiet {
        let ids = containers
            .iter()
            .map(|c| format!("{}\n", id(c, args.no_trunc)));
        print(&ids.collect::<String>())?;
        return Ok(Exit::Success);
    }
    let now = SystemTime::now();
    let rows = containers
        .iter()
        .map(|container| to_json(container, now, args.no_trunc));
    List {
        format,
        rows: rows.collect(),
    }
    .print(|| table(&containers, now, args.no_trunc))?;
    Ok(Exit::Success)
}

/// One `--filter`.
enum Filter {
    Name(String),
    Id(String),
    Label(String, Option<String>),
    Status(String),
    Health(String),
    Ancestor(String),
    Network(String),
    Volume(String),
    Exited(u8),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, CliError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| CliError::usage(format!("filter `{text}`: expected key=value")))?;
        let value = value.to_owned();
        Ok(match key {
            "name" => Self::Name(value),
            "id" => Self::Id(value),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value, None),
            },
            "status" => Self::Status(value),
            "health" => Self::Health(value),
            "ancestor" => Self::Ancestor(value),
            "network" => Self::Network(value),
            "volume" => Self::Volume(value),
            "exited" => {
                let code = value.parse();
                Self::Exited(
                    code.map_err(|_| {
                        CliError::usage(format!("filter `{text}`: not an exit code"))
                    })?,
                )
            }
            other => {
                return Err(CliError::usage(format!(
                    "filter `{other}` is not supported"
                )));
            }
        })
    }

    fn matches(&self, container: &Container) -> bool {
        match self {
            // Docker takes regular expressions; names hold no sign that would need one
            // but the anchors.
            Self::Name(pattern) => name_matches(&container.name, pattern),
            Self::Id(prefix) => container.id.to_string().starts_with(prefix.as_str()),
            Self::Label(key, value) => container
                .labels
                .get(key)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::Status(status) => container.state.status.as_str() == status,
            Self::Health(health) => {
                container
                    .health
                    .as_ref()
                    .map_or("none", |found| found.status.as_str())
                    == health
            }
            Self::Ancestor(image) => {
                container.image == *image
                    || container
                        .image_id
                        .trim_start_matches("sha256:")
                        .starts_with(image.trim_start_matches("sha256:"))
                    || container
                        .image
                        .rsplit_once(':')
                        .is_some_and(|(name, _)| name == image)
            }
            Self::Network(network) => container
                .endpoints
                .iter()
                .any(|endpoint| endpoint.network == *network || endpoint.network_id == *network),
            Self::Volume(volume) => container.mounts.iter().any(|mount| {
                mount.target == *volume
                    || super::inspect::volume_name(mount) == Some(volume.as_str())
            }),
            Self::Exited(code) => {
                container.state.status == Status::Exited && container.state.exit_code == *code
            }
        }
    }

    /// Filters of one kind are alternatives.
    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

fn name_matches(name: &str, pattern: &str) -> bool {
    let (from_start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest.trim_start_matches('/')),
        None => (false, pattern),
    };
    match (from_start, pattern.strip_suffix('$')) {
        (true, Some(whole)) => name == whole,
        (true, None) => name.starts_with(pattern),
        (false, Some(end)) => name.ends_with(end),
        (false, None) => name.contains(pattern),
    }
}

fn passes(container: &Container, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| match filter {
        // Labels must all be there.
        Filter::Label(..) => filter.matches(container),
        _ => filters
            .iter()
            .filter(|other| other.kind() == filter.kind())
            .any(|f| f.matches(container)),
    })
}

fn id(container: &Container, whole: bool) -> String {
    let id = container.id.to_string();
    if whole {
        id
    } else {
        id.chars().take(12).collect()
    }
}

fn since(time: Option<jiff::Timestamp>, now: SystemTime) -> Duration {
    let time = time.map(SystemTime::from);
    time.and_then(|time| now.duration_since(time).ok())
        .unwrap_or_default()
}

/// `Up 3 seconds (healthy)`.
pub fn status(container: &Container, now: SystemTime) -> String {
    let state = &container.state;
    let up = || format!("Up {}", text::duration(since(state.started_at, now)));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => match &container.health {
            Some(health) if health.status.as_str() == "starting" => {
                format!("{} (health: starting)", up())
            }
            Some(health) => format!("{} ({})", up(), health.status.as_str()),
            None => up(),
        },
        Status::Paused => format!("{} (Paused)", up()),
        Status::Restarting => {
            format!(
                "Restarting ({}) {}",
                state.exit_code,
                text::ago(since(state.finished_at, now))
            )
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => {
            format!(
                "Exited ({}) {}",
                state.exit_code,
                text::ago(since(state.finished_at, now))
            )
        }
        Status::Dead => "Dead".to_owned(),
    }
}

fn ports(container: &Container) -> String {
    let mut texts: Vec<String> = container
        .ports
        .iter()
        .map(|port| {
            format!(
                "{}->{}/{}",
                socket(port.host_ip, port.host_port),
                port.container_port,
                port.protocol
            )
        })
        .collect();
    let published = |exposed: &String| {
        texts
            .iter()
            .any(|text| text.ends_with(&format!(">{exposed}")))
    };
    let exposed: Vec<String> = container
        .exposed
        .iter()
        // As Docker: one that does not run has no ports.
        .filter(|port| container.state.status.is_up() && !published(port))
        .cloned()
        .collect();
    texts.extend(exposed);
    texts.join(", ")
}

fn table(containers: &[Container], now: SystemTime, whole: bool) -> Table {
    let mut table = Table::new(
        &[
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES",
        ],
        10,
    );
    for container in containers {
        table.row([
            id(container, whole),
            container.image.clone(),
            command(&container.command, whole),
            text::ago(since(Some(container.created), now)),
            status(container, now),
            ports(container),
            container.name.clone(),
        ]);
    }
    table
}

fn to_json(container: &Container, now: SystemTime, whole: bool) -> Value {
    let labels: Vec<String> = container
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let networks: Vec<&str> = container
        .endpoints
        .iter()
        .map(|e| e.network.as_str())
        .collect();
    let volumes = container
        .mounts
        .iter()
        .filter(|m| super::inspect::volume_name(m).is_some())
        .count();
    let mounts: Vec<String> = container
        .mounts
        .iter()
        .map(|mount| match super::inspect::volume_name(mount) {
            Some(name) => name.to_owned(),
            None => mount.source.display().to_string(),
        })
        .collect();
    json!({
        "Command": command(&container.command, whole),
        "CreatedAt": container.created.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        "ID": id(container, whole),
        "Image": container.image,
        "Labels": labels.join(","),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Names": container.name,
        "Networks": networks.join(","),
        "Ports": ports(container),
        "RunningFor": text::ago(since(Some(container.created), now)),
        "Size": "0B",
        "State": container.state.status.as_str(),
        "Status": status(container, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_anchored() {
        for (pattern, expected) in [
            ("web", true),
            ("^web", false),
            ("^/blog-web-1$", true),
            ("1$", true),
            ("db", false),
        ] {
            assert_eq!(name_matches("blog-web-1", pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn unknown_filters_are_named() {
        assert!(
            Filter::parse("colour=red").is_err_and(|error| error.to_string().contains("colour"))
        );
        assert!(Filter::parse("label").is_err());
    }
}

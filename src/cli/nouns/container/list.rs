//! `container ls`.

use std::time::{Duration, SystemTime};

use clap::Args;
use gantry_engine::container::{Container, ListFilter, MountPoint, MountType, Status};
use gantry_engine::engine::Engine;
use gantry_engine::image::Image;
use gantry_engine::spec::NetworkMode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::backend;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::nouns::listing::{self, Filters};
use crate::cli::output::List;
use crate::ui::container::{command, id, ports, status, to_json};
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text;

/// What was typed after `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Stopped ones too.
    #[arg(short = 'a', long)]
    all: bool,
    /// ancestor=, before=, expose=, exited=, health=, id=, label=, name=, network=, publish=,
    /// since=, status=, volume=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// The last N created, stopped ones too.
    #[arg(
        short = 'n',
        long,
        default_value_t = -1,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    last: i64,
    /// The last created.
    #[arg(short = 'l', long)]
    latest: bool,
    /// Nothing is cut.
    #[arg(long)]
    no_trunc: bool,
    /// Only ids.
    #[arg(short = 'q', long)]
    quiet: bool,
    /// What each has written, and with its image.
    #[arg(short = 's', long)]
    size: bool,
}

const FILTERS: &[&str] = &[
    "ancestor", "before", "expose", "exited", "health", "id", "is-task", "label", "name",
    "network", "publish", "since", "status", "volume",
];

/// Docker's titles for columns of containers.
pub const TITLES: &[(&str, &str)] = &[("ID", "CONTAINER ID")];

/// One container to show.
struct Row {
    container: backend::Container,
    size: Option<String>,
}

impl Row {
    fn of(container: Container, size: Option<String>) -> Self {
        let connected = matches!(container.spec.network, NetworkMode::Networks(_));
        let mut container = backend::engine::container(container);
        // As Docker: ports are those of a network of its own.
        if !connected {
            container.ports.clear();
        }
        container.command = quoted(&container.command);
        Self { container, size }
    }
}

/// As Docker shows a command: arguments with blanks in quotes, and nothing else.
fn quoted(argv: &[String]) -> Vec<String> {
    let word = |(n, word): (usize, &String)| match n > 0 && word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    argv.iter().enumerate().map(word).collect()
}

/// Runs the command.
pub fn run(engine: &Engine, args: &LsArgs) -> Result<Exit, CliError> {
    let format = Format::parse(args.format.as_deref().unwrap_or("table"))?.titled(TITLES);
    let wanted = Wanted::of(engine, Filters::parse(&args.filter, FILTERS)?)?;
    let last = if args.latest {
        Some(1)
    } else {
        usize::try_from(args.last).ok()
    };
    let states = wanted.filters.has("status") || wanted.filters.has("exited");
    let mut containers = engine.list(&ListFilter {
        all: args.all || last.is_some() || states,
        labels: Vec::new(),
    })?;
    containers.retain(|container| wanted.fits(container) && wanted.made_from(engine, container));
    containers.sort_by_key(|container| std::cmp::Reverse(container.created));
    containers.truncate(last.unwrap_or(usize::MAX));
    // As Docker: a template that asks for sizes gets them.
    let sized = args.size || format.names("Size");
    let rows: Vec<Row> = containers
        .into_iter()
        .map(|container| {
            let size = sized.then(|| size(engine, &container));
            Row::of(container, size)
        })
        .collect();
    if args.quiet {
        listing::print_lines(rows.iter().map(|row| id(&row.container, args.no_trunc)))?;
        return Ok(Exit::Success);
    }
    let now = SystemTime::now();
    List {
        format,
        rows: rows
            .iter()
            .map(|row| object(row, now, args.no_trunc))
            .collect(),
    }
    .print(|| table(&rows, now, args))?;
    Ok(Exit::Success)
}

/// `12kB (virtual 88MB)`: what it has written, and that with its image.
fn size(engine: &Engine, container: &Container) -> String {
    let written = engine.written(container);
    let image = engine.images().resolve(&container.image_id);
    let whole = written + image.map_or(0, |image| image.size());
    format!(
        "{} (virtual {})",
        text::short_size(written),
        text::short_size(whole)
    )
}

/// Filters whose names are looked up.
struct Wanted {
    filters: Filters,
    ancestors: Vec<Image>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
}

impl Wanted {
    fn of(engine: &Engine, filters: Filters) -> Result<Self, CliError> {
        const STATES: &[&str] = &[
            "created",
            "dead",
            "exited",
            "paused",
            "removing",
            "restarting",
            "running",
        ];
        one_of(&filters, "status", STATES)?;
        one_of(
            &filters,
            "health",
            &["healthy", "none", "starting", "unhealthy"],
        )?;
        filters.flag("is-task")?;
        for code in filters.values("exited") {
            code.parse::<i32>().map_err(|_| {
                CliError::usage(format!("filter `exited={code}`: not an exit code"))
            })?;
        }
        for key in ["expose", "publish"] {
            for ports in filters.values(key) {
                port_range(ports).ok_or_else(|| {
                    CliError::usage(format!(
                        "filter `{key}={ports}`: expected port[-port][/protocol]"
                    ))
                })?;
            }
        }
        let mut wanted = Self {
            ancestors: Vec::new(),
            before: None,
            since: None,
            filters,
        };
        for name in wanted.filters.values("ancestor") {
            // One that is not here any more can still be the name that a container was made from.
            if let Ok(image) = engine.images().resolve(name) {
                wanted.ancestors.push(image);
            }
        }
        for name in wanted.filters.values("before") {
            let created = engine.inspect(name)?.created;
            wanted.before = Some(wanted.before.map_or(created, |time| time.min(created)));
        }
        for name in wanted.filters.values("since") {
            wanted.since = wanted.since.max(Some(engine.inspect(name)?.created));
        }
        Ok(wanted)
    }

    fn fits(&self, container: &Container) -> bool {
        let filters = &self.filters;
        let health = container.health.as_ref();
        let health = health.map_or("none", |health| health.status.as_str());
        (filters.name(&container.name) || filters.name(&format!("/{}", container.name)))
            && filters.any("id", |id| container.id.as_str().starts_with(id))
            && filters.labels(&container.labels)
            && filters.any("status", |status| container.state.status.as_str() == status)
            && filters.any("health", |wanted| health == wanted)
            && filters.any("is-task", |wanted| wanted == "false" || wanted == "0")
            && filters.any("exited", |code| {
                container.state.status == Status::Exited
                    && code == container.state.exit_code.to_string()
            })
            && filters.any("network", |network| is_on(container, network))
            && filters.any("volume", |volume| {
                container.mounts.iter().any(|mount| mounts(mount, volume))
            })
            && filters.any("publish", |ports| publishes(container, ports))
            && filters.any("expose", |ports| exposes(container, ports))
            && self.before.is_none_or(|time| container.created < time)
            && self.since.is_none_or(|time| container.created > time)
    }

    /// Whether it was made from an image of `ancestor=`, or from one that was made from that.
    fn made_from(&self, engine: &Engine, container: &Container) -> bool {
        self.filters.any("ancestor", |name| container.image == name) || {
            let image = engine.images().resolve(&container.image_id);
            let descends = |image: Image| self.ancestors.iter().any(|one| is_from(&image, one));
            image.is_ok_and(descends)
        }
    }
}

/// Whether an image is another one, or has its layers and its history below its own. No image says what it was made
/// from; a step that changes no file makes no layer, and images can have all layers in common without being related.
fn is_from(image: &Image, ancestor: &Image) -> bool {
    let (one, other) = (&image.config, &ancestor.config);
    let digests = |image: &Image| -> Vec<_> { image.layers.iter().map(|l| l.diff_id).collect() };
    let (layers, below) = (digests(image), digests(ancestor));
    let begins_alike = one.base == other.base
        && layers.starts_with(&below)
        && one.history.starts_with(&other.history);
    // What has neither layers nor a base is below everything.
    let is_something = other.base.is_some() || !below.is_empty();
    let goes_on = layers.len() > below.len() || one.history.len() > other.history.len();
    image.id == ancestor.id || (begins_alike && is_something && goes_on)
}

/// By a volume's name, a path of the machine, or the place in the container.
fn mounts(mount: &MountPoint, volume: &str) -> bool {
    let by_source = match &mount.kind {
        MountType::Tmpfs(_) => return false,
        MountType::Bind { .. } => mount.source.as_os_str() == volume,
        MountType::Volume { name, .. } => name == volume,
        MountType::Image { .. } => false,
    };
    by_source || mount.target == volume
}

fn one_of(filters: &Filters, key: &str, words: &[&str]) -> Result<(), CliError> {
    match filters.values(key).find(|value| !words.contains(value)) {
        None => Ok(()),
        Some(value) => Err(CliError::usage(format!(
            "filter `{key}={value}`: one of {}",
            words.join(", ")
        ))),
    }
}

fn is_on(container: &Container, network: &str) -> bool {
    let running = container
        .endpoints
        .iter()
        .any(|endpoint| endpoint.network == network || endpoint.network_id.starts_with(network));
    let planned = || container.spec.network.endpoints();
    running || planned().iter().any(|endpoint| endpoint.network == network)
}

/// `80`, `8000-8010/udp`.
fn port_range(text: &str) -> Option<(u16, u16, &str)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((first.parse().ok()?, last.parse().ok()?, protocol))
}

fn publishes(container: &Container, ports: &str) -> bool {
    port_range(ports).is_some_and(|(first, last, protocol)| {
        container.ports.iter().any(|port| {
            (first..=last).contains(&port.host_port) && port.protocol.to_string() == protocol
        })
    })
}

fn exposes(container: &Container, ports: &str) -> bool {
    let published = container
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.container_port, port.protocol));
    let mut known = container.exposed.iter().cloned().chain(published);
    port_range(ports).is_some_and(|(first, last, protocol)| {
        known.any(|port| {
            port.split_once('/').is_some_and(|(number, of)| {
                of == protocol && number.parse().is_ok_and(|n| (first..=last).contains(&n))
            })
        })
    })
}

fn table(rows: &[Row], now: SystemTime, args: &LsArgs) -> Table {
    let mut titles = vec![
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ];
    if args.size {
        titles.push("SIZE");
    }
    let mut table = Table::new(&titles, 10);
    for Row { container, size } in rows {
        let age = now.duration_since(container.created);
        let cells = [
            id(container, args.no_trunc),
            container.image.clone(),
            command(&container.command, args.no_trunc),
            text::ago(age.unwrap_or(Duration::ZERO)),
            status(container, now),
            ports(&container.ports),
            container.name.clone(),
        ];
        table.row(cells.into_iter().chain(size.clone()));
    }
    table
}

fn object(row: &Row, now: SystemTime, whole: bool) -> Value {
    let mut value = to_json(&row.container, now, whole);
    if let Some(size) = &row.size {
        value["Size"] = json!(size);
    }
    // Docker knows it of images from containerd alone.
    value["Platform"] = Value::Null;
    if let Value::Object(fields) = &mut value {
        fields.sort_keys();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_with_blanks_are_quoted() {
        let words = ["my program", "-c", "exit 3", "it's", ""].map(str::to_owned);
        assert_eq!(quoted(&words), ["my program", "-c", "'exit 3'", "it's", ""]);
    }

    #[test]
    fn ports_are_numbers_or_ranges() {
        assert_eq!(port_range("80"), Some((80, 80, "tcp")));
        assert_eq!(port_range("53-54/udp"), Some((53, 54, "udp")));
        assert_eq!(port_range("http"), None);
    }
}

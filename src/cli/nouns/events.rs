//! `system events`: what happens to containers, images, networks and volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use gantry_engine::container::events::{Event, EventFilter};
use gantry_engine::engine::{Engine, EngineError};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::listing::Filters;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{List, print};
use crate::cli::time;
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text::printable;

/// What was typed after `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// container=, event=, image=, label=, network=, scope=, type=, volume=.
    #[arg(short = 'f', long)]
    filter: Vec<String>,
    /// json or a template.
    #[arg(long)]
    format: Option<String>,
    /// Also what happened since this time, or so long ago.
    #[arg(long)]
    since: Option<String>,
    /// Only until this time.
    #[arg(long)]
    until: Option<String>,
}

const FILTERS: &[&str] = &[
    "container",
    "event",
    "image",
    "label",
    "network",
    "scope",
    "type",
    "volume",
];

/// Runs the command.
pub fn run(engine: &Engine, args: &EventsArgs) -> Result<Exit, CliError> {
    let now = Timestamp::now();
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| time::parse(text, now))
            .transpose()
    };
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    let format = args.format.as_deref().map(Format::parse).transpose()?;
    let filters = Filters::parse(&args.filter, FILTERS)?;
    // With an end alone, what has been so far counts too, as in Docker.
    let since = since.or(until.map(|_| Timestamp::UNIX_EPOCH));
    let mut events = engine.subscribe(EventFilter {
        since,
        ..EventFilter::default()
    })?;
    loop {
        let left = until.map(|until| {
            Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
        });
        let Some(event) = events.next(left).map_err(EngineError::from)? else {
            return Ok(Exit::Success);
        };
        if until.is_some_and(|until| event.time > until) {
            return Ok(Exit::Success);
        }
        let told = Told::of(event);
        if told.fits(&filters) {
            told.print(format.as_ref())?;
        }
    }
}

/// An event in Docker's words.
struct Told {
    time: Timestamp,
    kind: String,
    action: String,
    id: String,
    attributes: BTreeMap<String, String>,
}

impl Told {
    fn of(event: Event) -> Self {
        Self {
            time: event.time,
            action: event.action.word(),
            attributes: event.all_attributes(),
            kind: event.kind,
            id: event.id,
        }
    }

    fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Whether it is about this thing, by name or beginning of its id.
    fn is_of(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && (self.id.starts_with(name) || self.attribute("name") == name)
    }

    fn fits(&self, filters: &Filters) -> bool {
        let image = self.attribute("image");
        let untagged = image.rsplit_once(':').map_or(image, |(name, _)| name);
        filters.any("type", |kind| self.kind == kind)
            && filters.any("scope", |scope| scope == "local")
            && filters.any("event", |action| {
                self.action == action || self.action.split(':').next() == Some(action)
            })
            && filters.any("container", |name| {
                self.is_of("container", name)
                    || (self.kind == "network" && self.attribute("container").starts_with(name))
            })
            && filters.any("network", |name| self.is_of("network", name))
            && filters.any("volume", |name| self.is_of("volume", name))
            && filters.any("image", |name| {
                image == name || untagged == name || self.is_of("image", name)
            })
            && filters.labels(&self.attributes)
    }

    fn to_json(&self) -> Value {
        let mut value = json!({
            "Type": self.kind,
            "Action": self.action,
            "Actor": { "ID": self.id, "Attributes": self.attributes },
            "scope": "local",
            "time": self.time.as_second(),
            "timeNano": i64::try_from(self.time.as_nanosecond()).unwrap_or(i64::MAX),
        });
        if self.kind == "container" {
            // Deprecated by Docker, and read by many scripts.
            value["status"] = json!(self.action);
            value["id"] = json!(self.id);
            value["from"] = json!(self.attribute("image"));
        }
        value
    }

    /// What templates call the fields whose names in JSON are small.
    fn add_fields(&self, row: &mut Value) {
        let of_container = |text: &str| match self.kind.as_str() {
            "container" => json!(text),
            _ => json!(""),
        };
        row["Status"] = of_container(&self.action);
        row["ID"] = of_container(&self.id);
        row["From"] = of_container(self.attribute("image"));
        for (field, key) in [
            ("Scope", "scope"),
            ("Time", "time"),
            ("TimeNano", "timeNano"),
        ] {
            row[field] = row[key].clone();
        }
    }

    fn print(&self, format: Option<&Format>) -> Result<(), CliError> {
        if let Some(format) = format {
            let mut row = self.to_json();
            if matches!(format, Format::Columns(_) | Format::Template(_)) {
                self.add_fields(&mut row);
            }
            let list = List {
                format: format.clone(),
                rows: vec![row],
            };
            return list.print(|| Table::new(&[], 0));
        }
        let pairs: Vec<String> = self
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let line = format!(
            "{:.9} {} {} {} ({})",
            self.time,
            self.kind,
            self.action,
            self.id,
            pairs.join(", ")
        );
        print(&format!("{}\n", printable(&line)))
    }
}

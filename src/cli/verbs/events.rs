//! `events`: receive real time events from containers.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use crate::backend::Change;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::print;
use crate::cli::session::Session;
use crate::cli::time;
use crate::plan::labels;
use crate::ui::container::rfc3339;

/// What was typed after `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Output events as a stream of json objects.
    #[arg(long)]
    pub json: bool,
    /// Show all events created since timestamp.
    #[arg(long)]
    pub since: Option<String>,
    /// Stream events until this timestamp.
    #[arg(long)]
    pub until: Option<String>,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: EventsArgs) -> Result<Exit, CliError> {
    let now = jiff::Timestamp::now();
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| time::parse(text, now).map(SystemTime::from))
            .transpose()
    };
    let (since, until) = (moment(&args.since)?, moment(&args.until)?);
    let session = Session::named(global)?;
    let labels = [(labels::PROJECT, session.project_name.as_str())];
    let (sender, changes) = channel();
    // First, so that nothing happens between the past and now.
    let _subscription = session.backend.subscribe(&labels, sender)?;
    let told = std::cell::Cell::new(None);
    let tell = |change: &Change| {
        let service = change.attributes.get(labels::SERVICE);
        let service = service.map_or("", String::as_str);
        let wanted = args.services.is_empty() || args.services.iter().any(|name| name == service);
        // What came while the past was read is in both.
        let again = told.get().is_some_and(|time| change.time <= time);
        if again || !wanted || until.is_some_and(|until| change.time > until) {
            return Ok(());
        }
        print(&line(change, service, args.json))
    };
    if let Some(since) = since {
        let past = session.backend.past_changes(&labels, since)?;
        past.iter().try_for_each(&tell)?;
        told.set(past.last().map(|change| change.time));
    }
    loop {
        let left = until.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        match changes.recv_timeout(left.unwrap_or(Duration::from_secs(3600))) {
            Ok(change) => tell(&change)?,
            Err(RecvTimeoutError::Timeout) if until.is_none() => {}
            Err(_) => return Ok(Exit::Success),
        }
    }
}

fn line(change: &Change, service: &str, as_json: bool) -> String {
    // Compose's own labels are not attributes of the event.
    let attributes: std::collections::BTreeMap<&str, &str> = change
        .attributes
        .iter()
        .filter(|(key, _)| !key.starts_with("com.docker.compose."))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    if as_json {
        let value = json!({
            "time": rfc3339(change.time),
            "type": "container",
            "service": service,
            "id": change.id.0,
            "action": change.action.word(),
            "attributes": attributes,
        });
        return format!("{value}\n");
    }
    let pairs: Vec<String> = attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let time = rfc3339(change.time);
    format!(
        "{time} container {} {} ({})\n",
        change.action.word(),
        change.id,
        pairs.join(", ")
    )
}

//! A JSON object per event, with docker compose's keys.

use serde_json::{Value, json};

use super::Lines;
use crate::backend::BuildEvent;
use crate::executor::{Event, Phase};

pub(super) struct Json {
    dry_run: bool,
}

impl Json {
    pub(super) fn new(dry_run: bool) -> Self {
        Self { dry_run }
    }
}

impl Lines for Json {
    fn event(&mut self, event: &Event) -> String {
        let mut value = object(event);
        if self.dry_run {
            value["dry-run"] = json!(true);
        }
        format!("{value}\n")
    }
}

fn object(event: &Event) -> Value {
    match event {
        Event::Phase { kind, name, phase } => {
            let status = match phase {
                Phase::Error(_) => "Error",
                Phase::Warning(_) | Phase::Skipped(_) => "Warning",
                phase if phase.is_final() => "Done",
                _ => "Working",
            };
            let mut value = json!({
                "id": format!("{} {name}", kind.word()),
                "status": status,
                "text": phase.word(),
            });
            if let Some(detail) = phase.detail() {
                value["details"] = json!(detail);
            }
            value
        }
        Event::Image {
            reference,
            progress,
        } => {
            let mut value = json!({
                "id": progress.id,
                "parent_id": format!("Image {reference}"),
                "text": progress.status,
            });
            if let (Some(current), Some(total)) = (progress.current, progress.total) {
                value["current"] = json!(current);
                value["total"] = json!(total);
                value["percent"] = json!((current * 100).checked_div(total).unwrap_or(100));
            }
            value
        }
        Event::Build { service, event } => {
            let (id, text) = match event {
                BuildEvent::Started(step) => (step, "Working".to_owned()),
                BuildEvent::Cached(step) => (step, "Cached".to_owned()),
                BuildEvent::Done(step) => (step, "Done".to_owned()),
                BuildEvent::Failed(step) => (step, "Error".to_owned()),
                BuildEvent::Log { step, line } => (step, line.trim_end().to_owned()),
                BuildEvent::Warning(text) => {
                    return json!({ "parent_id": service, "warning": text });
                }
            };
            json!({ "id": id, "parent_id": service, "text": text })
        }
        Event::Warning(text) => json!({ "warning": text }),
    }
}

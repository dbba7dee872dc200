//! A line per event, as docker compose and BuildKit print them on a pipe.

use std::collections::HashMap;
use std::time::Instant;

use super::Lines;
use crate::backend::BuildEvent;
use crate::executor::Event;
use crate::ui::text::printable;

/// Compose's lines, and BuildKit's numbered ones for build steps.
pub(super) struct Plain {
    prefix: &'static str,
    steps: HashMap<String, (usize, Instant)>,
    last: usize,
}

impl Plain {
    pub(super) fn new(dry_run: bool) -> Self {
        let prefix = if dry_run { " DRY-RUN MODE - " } else { " " };
        Self {
            prefix,
            steps: HashMap::new(),
            last: 0,
        }
    }

    /// The step's number, with a line that names it when another one spoke last.
    fn step(&mut self, service: &str, step: &str) -> (usize, String) {
        let key = format!("{service} {step}");
        let next = self.steps.len() + 1;
        let (number, _) = *self
            .steps
            .entry(key)
            .or_insert_with(|| (next, Instant::now()));
        let mut text = String::new();
        if self.last != number {
            let blank = if self.last == 0 { "" } else { "\n" };
            text = format!("{blank}#{number} [{service}] {}\n", printable(step));
            self.last = number;
        }
        (number, text)
    }

    fn seconds(&self, service: &str, step: &str) -> f64 {
        let begun = self.steps.get(&format!("{service} {step}"));
        begun.map_or(0.0, |(_, begun)| begun.elapsed().as_secs_f64())
    }

    fn build(&mut self, service: &str, event: &BuildEvent) -> String {
        match event {
            BuildEvent::Started(step) => self.step(service, step).1,
            BuildEvent::Cached(step) => {
                let (number, text) = self.step(service, step);
                format!("{text}#{number} CACHED\n")
            }
            BuildEvent::Done(step) => {
                let (number, text) = self.step(service, step);
                format!("{text}#{number} DONE {:.1}s\n", self.seconds(service, step))
            }
            BuildEvent::Failed(step) => {
                let (number, text) = self.step(service, step);
                format!("{text}#{number} ERROR\n")
            }
            BuildEvent::Log { step, line } => {
                let (number, text) = self.step(service, step);
                format!(
                    "{text}#{number} {:.3} {}\n",
                    self.seconds(service, step),
                    printable(line.trim_end())
                )
            }
            BuildEvent::Warning(text) => format!("{}\n", text.trim_end()),
        }
    }
}

impl Lines for Plain {
    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Phase { kind, name, phase } => {
                let detail = phase
                    .detail()
                    .map(|text| format!(" {}", printable(text)))
                    .unwrap_or_default();
                format!(
                    "{}{} {}  {}{detail}\n",
                    self.prefix,
                    kind.word(),
                    printable(name),
                    phase.word()
                )
            }
            // A pipe is not flooded with percentages: only words are told.
            Event::Image {
                reference,
                progress,
            } if progress.current.is_none() => {
                format!(
                    "{}Image {reference}  {} {}\n",
                    self.prefix, progress.id, progress.status
                )
            }
            Event::Image { .. } => String::new(),
            Event::Build { service, event } => self.build(service, event),
            Event::Warning(text) => format!("warning: {}\n", printable(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{Kind, Phase};

    #[test]
    fn phases_are_composes_lines() {
        let mut plain = Plain::new(false);
        let event = Event::Phase {
            kind: Kind::Container,
            name: "p-web-1".into(),
            phase: Phase::Created,
        };
        assert_eq!(plain.event(&event), " Container p-web-1  Created\n");
        assert_eq!(
            Plain::new(true).event(&event),
            " DRY-RUN MODE - Container p-web-1  Created\n"
        );
    }

    #[test]
    fn a_build_step_is_named_when_it_begins_to_speak() {
        let mut plain = Plain::new(false);
        let mut tell = |event| {
            plain.event(&Event::Build {
                service: "web".into(),
                event,
            })
        };
        assert_eq!(
            tell(BuildEvent::Started("[1/2] FROM host".into())),
            "#1 [web] [1/2] FROM host\n"
        );
        assert_eq!(
            tell(BuildEvent::Cached("[1/2] FROM host".into())),
            "#1 CACHED\n"
        );
        assert_eq!(
            tell(BuildEvent::Started("[2/2] RUN x".into())),
            "\n#2 [web] [2/2] RUN x\n"
        );
        let log = tell(BuildEvent::Log {
            step: "[2/2] RUN x".into(),
            line: "hello\n".into(),
        });
        assert!(
            log.starts_with("#2 0.") && log.ends_with(" hello\n"),
            "{log}"
        );
    }
}

//! Progress of a plan's execution: a list redrawn on a terminal, a line an event on a pipe,
//! JSON for programs, or nothing.
//!
//! Everything goes to standard error. On a terminal nothing is drawn in the first 250 ms, so
//! a quick command prints its list once, at its end.

mod json;
mod plain;
mod step_list;
mod steps;
mod tty;

use std::sync::{Mutex, PoisonError};

use crate::backend::BuildEvent;
use crate::executor::Event;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A list that is redrawn in place.
    Tty,
    /// A line per event.
    Plain,
    /// A JSON object per event.
    Json,
    /// Nothing but warnings, and what a failed build step printed.
    Quiet,
}

/// Shows events as they come, from several threads.
pub struct Reporter {
    view: View,
}

enum View {
    Tty(tty::Screen),
    Lines(Mutex<Box<dyn Lines>>),
}

/// A renderer that turns each event into lines.
trait Lines: Send {
    fn event(&mut self, event: &Event) -> String;
}

impl Reporter {
    /// `title` says what is done to the things listed, `dry_run` marks every line as something
    /// that was not done.
    pub fn new(mode: impl Into<Mode>, title: &'static str, colour: bool, dry_run: bool) -> Self {
        let view = match mode.into() {
            Mode::Tty => View::Tty(tty::Screen::new(title, colour, dry_run)),
            Mode::Plain => View::Lines(Mutex::new(Box::new(plain::Plain::new(dry_run)))),
            Mode::Json => View::Lines(Mutex::new(Box::new(json::Json::new(dry_run)))),
            Mode::Quiet => View::Lines(Mutex::new(Box::new(Quiet::default()))),
        };
        Self { view }
    }

    /// Shows an event.
    pub fn tell(&self, event: Event) {
        match &self.view {
            View::Tty(screen) => screen.event(&event),
            View::Lines(lines) => {
                let text = lines
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .event(&event);
                write(&text);
            }
        }
    }

    /// Draws what was not drawn yet; nothing moves afterwards. Events that follow begin a
    /// list of their own.
    pub fn finish(&self) {
        if let View::Tty(screen) = &self.view {
            screen.finish();
        }
    }

    /// What the next list is called.
    pub fn entitle(&self, title: &'static str) {
        if let View::Tty(screen) = &self.view {
            screen.entitle(title);
        }
    }

    /// Writes whole lines to the same terminal: they appear above the list.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.view {
            View::Tty(screen) => screen.above(write),
            View::Lines(_) => write(),
        }
    }
}

/// Warnings and the reason of a failure are not progress: they are told in every mode.
#[derive(Default)]
struct Quiet {
    logs: steps::StepLogs,
}

impl Lines for Quiet {
    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Warning(text) => format!("warning: {text}\n"),
            // A Dockerfile's warnings are part of the build's output.
            Event::Build {
                event: BuildEvent::Warning(_),
                ..
            } => String::new(),
            Event::Build { service, event } => self.logs.take(service, event).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// One write, so that lines of several threads stay whole. Nobody is left to tell when
/// standard error is closed.
fn write(text: &str) {
    use std::io::Write as _;
    if !text.is_empty() {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

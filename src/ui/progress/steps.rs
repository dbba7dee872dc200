//! What build steps printed, kept until it is known whether it matters: a list shows only the
//! last line of a step, and all of it once the step has failed.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use crate::backend::BuildEvent;
use crate::ui::text::printable;

/// Lines kept of a step.
const MOST: usize = 1000;

/// The logs of steps that run.
#[derive(Debug, Default)]
pub(super) struct StepLogs(HashMap<(String, String), Log>);

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    dropped: usize,
}

impl StepLogs {
    /// Takes note of an event; what it is to be told outside of the list.
    pub(super) fn take(&mut self, service: &str, event: &BuildEvent) -> Option<String> {
        let key = |step: &str| (service.to_owned(), step.to_owned());
        match event {
            BuildEvent::Log { step, line } => {
                let log = self.0.entry(key(step)).or_default();
                if log.lines.len() == MOST {
                    log.lines.pop_front();
                    log.dropped += 1;
                }
                log.lines.push_back(printable(line.trim_end()));
                None
            }
            BuildEvent::Done(step) | BuildEvent::Cached(step) => {
                self.0.remove(&key(step));
                None
            }
            BuildEvent::Failed(step) => {
                let log = self.0.remove(&key(step)).unwrap_or_default();
                Some(log.render(service, step))
            }
            BuildEvent::Warning(text) => Some(format!("{}\n", text.trim_end())),
            BuildEvent::Started(_) => None,
        }
    }
}

impl Log {
    fn render(&self, service: &str, step: &str) -> String {
        let mut text = format!("------\n > [{service}] {}:\n", printable(step));
        if self.dropped > 0 {
            let _ = writeln!(text, "({} lines before)", self.dropped);
        }
        for line in &self.lines {
            text += line;
            text.push('\n');
        }
        text + "------\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(step: &str, line: &str) -> BuildEvent {
        BuildEvent::Log {
            step: step.into(),
            line: line.into(),
        }
    }

    #[test]
    fn only_a_failed_step_tells_its_log() {
        let mut logs = StepLogs::default();
        assert_eq!(logs.take("web", &log("RUN a", "fine\n")), None);
        assert_eq!(logs.take("web", &BuildEvent::Done("RUN a".into())), None);
        assert_eq!(logs.take("web", &log("RUN b", "bad\n")), None);
        assert_eq!(
            logs.take("web", &BuildEvent::Failed("RUN b".into())),
            Some("------\n > [web] RUN b:\nbad\n------\n".into())
        );
    }

    #[test]
    fn a_long_log_shows_its_end() {
        let mut logs = StepLogs::default();
        for n in 0..=MOST {
            logs.take("web", &log("RUN", &format!("line {n}")));
        }
        let text = logs.take("web", &BuildEvent::Failed("RUN".into()));
        let text = text.expect("a log");
        assert!(text.contains("(1 lines before)\nline 1\n"), "{text}");
    }
}

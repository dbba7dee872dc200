//! The steps of a build below its image's row, as BuildKit's users know them.

use std::collections::VecDeque;
use std::time::Instant;

use super::tty::fitted;
use crate::backend::BuildEvent;
use crate::ui::text::printable;

/// Lines that are shown of what a step prints while it runs.
const TAIL: usize = 6;

/// In the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

#[derive(Debug)]
struct Step {
    name: String,
    state: State,
    begun: Instant,
    ended: Option<Instant>,
    tail: VecDeque<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Cached,
    Done,
    Failed,
}

impl Steps {
    pub(super) fn apply(&mut self, event: &BuildEvent) {
        match event {
            BuildEvent::Started(name) => {
                self.step(name);
            }
            BuildEvent::Cached(name) => self.end(name, State::Cached),
            BuildEvent::Done(name) => self.end(name, State::Done),
            BuildEvent::Failed(name) => self.end(name, State::Failed),
            BuildEvent::Log { step, line } => {
                let tail = &mut self.step(step).tail;
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(printable(line.trim_end()));
            }
            BuildEvent::Warning(_) => {}
        }
    }

    fn step(&mut self, name: &str) -> &mut Step {
        let at = self.0.iter().position(|step| step.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(Step {
                name: name.to_owned(),
                state: State::Running,
                begun: Instant::now(),
                ended: None,
                tail: VecDeque::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn end(&mut self, name: &str, state: State) {
        let step = self.step(name);
        step.state = state;
        step.ended = Some(Instant::now());
        step.tail.clear();
    }

    /// One line each, and what those that run have printed last.
    pub(super) fn lines(&self, columns: usize, colour: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for step in &self.0 {
            lines.push(step.line(columns, colour));
            for line in &step.tail {
                let line: String = format!(" => => # {line}").chars().take(columns).collect();
                lines.push(match colour {
                    true => format!("\x1b[2m{line}\x1b[0m"),
                    false => line,
                });
            }
        }
        lines
    }
}

impl Step {
    fn line(&self, columns: usize, colour: bool) -> String {
        let (word, code) = match self.state {
            State::Running => ("", "0"),
            State::Cached => ("CACHED ", "34"),
            State::Done => ("", "34"),
            State::Failed => ("ERROR ", "31"),
        };
        let took = self.ended.unwrap_or_else(Instant::now) - self.begun;
        let time = format!("{:.1}s", took.as_secs_f64());
        let name = printable(&self.name);
        let (text, blanks) = fitted(&format!(" => {word}{name}"), &time, columns, 1);
        match colour {
            true => format!("\x1b[{code}m{text}{blanks} {time}\x1b[0m"),
            false => format!("{text}{blanks} {time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_their_places_and_show_the_end_of_what_they_print() {
        let mut steps = Steps::default();
        let (one, two) = ("[1/2] COPY . .".to_owned(), "[2/2] RUN make".to_owned());
        steps.apply(&BuildEvent::Cached(one));
        steps.apply(&BuildEvent::Started(two.clone()));
        for number in 0..9 {
            steps.apply(&BuildEvent::Log {
                step: two.clone(),
                line: format!("line {number}\x1b[2J\n"),
            });
        }
        let lines = steps.lines(40, false);
        assert_eq!(lines.len(), 2 + TAIL, "{lines:?}");
        assert!(
            lines[0].starts_with(" => CACHED [1/2] COPY . ."),
            "{lines:?}"
        );
        assert!(
            lines[0].ends_with(" 0.0s") && lines[0].len() == 40,
            "{lines:?}"
        );
        assert!(lines[2].starts_with(" => => # line 3"), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\x1b')), "{lines:?}");
        steps.apply(&BuildEvent::Failed(two));
        let lines = steps.lines(40, false);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].starts_with(" => ERROR [2/2] RUN make"),
            "{lines:?}"
        );
    }
}

//! The output of a project's containers as it is written, of those that are started later too.
//!
//! Each container's log is read on a thread of its own. The follower owns no policy: whoever
//! drives the command asks it to look at the containers after each change.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use crate::backend::{Backend, Container, ContainerId, Flow, LogQuery, State};
use crate::cli::session::short_name;
use crate::ui::container::rfc3339;
use crate::ui::logs::LogPrinter;

/// A printer that several threads share.
pub type Printer = Arc<Mutex<LogPrinter<Box<dyn Write + Send>>>>;

/// Follows containers.
pub struct Follower {
    backend: Arc<dyn Backend>,
    project: String,
    printer: Printer,
    /// Where each container's log begins.
    query: LogQuery,
    readers: BTreeMap<ContainerId, Reader>,
}

/// A thread that reads a log, and the start of the container it began with.
struct Reader {
    thread: JoinHandle<()>,
    started: Option<SystemTime>,
}

impl Follower {
    /// Follows nothing yet.
    pub fn new(
        backend: Arc<dyn Backend>,
        project: &str,
        printer: Printer,
        query: LogQuery,
    ) -> Self {
        Self {
            backend,
            project: project.to_owned(),
            printer,
            query,
            readers: BTreeMap::new(),
        }
    }

    /// Begins with every container of these that is not followed yet and has begun to run.
    pub fn look_at<'c>(&mut self, containers: impl IntoIterator<Item = &'c Container>) {
        for container in containers {
            if container.state == State::Created || self.ended_before(container) {
                continue;
            }
            let query = match self.readers.get(&container.id) {
                None => self.query.clone(),
                // It was started again after its log had been read to the end.
                Some(reader)
                    if reader.thread.is_finished()
                        && container.state.is_live()
                        && container.started != reader.started =>
                {
                    LogQuery {
                        since: container.started,
                        tail: None,
                        ..self.query.clone()
                    }
                }
                Some(_) => continue,
            };
            let reader = Reader {
                thread: self.read(container, query),
                started: container.started,
            };
            self.readers.insert(container.id.clone(), reader);
        }
    }

    /// What ended before the time that is asked for has nothing to say; it may start again at
    /// any moment, and its log is read from then on.
    fn ended_before(&self, container: &Container) -> bool {
        let ended = container.finished.filter(|_| !container.state.is_live());
        ended
            .zip(self.query.since)
            .is_some_and(|(end, since)| end < since)
    }

    fn read(&self, container: &Container, query: LogQuery) -> JoinHandle<()> {
        let name = self.name(container);
        let backend = Arc::clone(&self.backend);
        let printer = Arc::clone(&self.printer);
        let id = container.id.clone();
        thread::spawn(move || {
            let ended = backend.logs(&id, &query, &mut |line| {
                let time = rfc3339(line.time);
                let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
                match printer.line(&name, Some(&time), &line.text) {
                    Ok(()) => Flow::Continue,
                    // Nobody reads any more.
                    Err(_) => Flow::Stop,
                }
            });
            if let Err(error) = ended {
                tracing::debug!(%id, %error, "the log cannot be followed");
            }
        })
    }

    /// Whether the log of a container has been read to its end.
    #[must_use]
    pub fn has_read(&self, id: &ContainerId) -> bool {
        self.readers
            .get(id)
            .is_none_or(|reader| reader.thread.is_finished())
    }

    /// Waits until every log has been read to its end.
    pub fn finish(self) {
        for reader in self.readers.into_values() {
            // A reader that panicked has said so itself.
            let _ = reader.thread.join();
        }
    }

    /// Says between its lines that a container has ended.
    pub fn ended(&self, container: &Container, code: i32) {
        let name = self.name(container);
        let text = if container.name.starts_with(&aside(container)) {
            "has been recreated".to_owned()
        } else {
            format!("exited with code {code}")
        };
        let mut printer = self.printer.lock().unwrap_or_else(PoisonError::into_inner);
        // As above: a closed output is noticed by the readers.
        let _ = printer.note(&name, &text);
    }

    /// The name shown, which is still that of the one whose place another takes.
    fn name(&self, container: &Container) -> String {
        let aside = aside(container);
        let name = container.name.strip_prefix(&aside);
        short_name(&self.project, name.unwrap_or(&container.name)).to_owned()
    }
}

/// What the name of a container begins with that is being replaced.
fn aside(container: &Container) -> String {
    format!("{}_", container.id.short())
}

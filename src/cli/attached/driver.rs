//! What `up` in the foreground does about each change: tells of ends, decides when to stop,
//! stops gracefully, kills when asked twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::{Abort, Attached, Message, talk};
use crate::backend::{Backend, Container, ContainerId, State};
use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::follow::Follower;
use crate::cli::global::Global;
use crate::executor::{Cancel, ExecuteError, Execution};
use crate::lower::Stack;
use crate::plan::lifecycle::{self, Scope};
use crate::plan::{Condition, labels, observed};
use crate::ui::progress::Reporter;

/// Look again after so long without news: a supervisor that was killed tells nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While a log is still being read to its end.
const SOON: Duration = Duration::from_millis(10);

/// How far the end has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stopping {
    #[default]
    No,
    /// Ctrl-C came while the plan was still being executed.
    Asked,
    /// Containers are being stopped.
    Gracefully,
    /// Containers have been killed.
    Forced,
}

pub(super) struct Driver<'a> {
    pub(super) global: &'a Global,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) project: &'a str,
    pub(super) stack: &'a Stack,
    pub(super) attached: &'a Attached,
    /// Services whose output is shown.
    pub(super) shown: BTreeSet<String>,
    pub(super) follower: Follower,
    pub(super) reporter: Arc<Reporter>,
    /// Ends the execution of the plan.
    pub(super) cancel: Cancel,
    /// What ended before is not told.
    pub(super) since: SystemTime,
    pub(super) course: Course,
}

/// How far things have gone.
#[derive(Default)]
pub(super) struct Course {
    /// Logs may be shown.
    opened: bool,
    /// The plan has been carried out.
    executed: bool,
    stopping: Stopping,
    /// Ends that were told: container and time.
    ended: BTreeSet<(ContainerId, Option<SystemTime>)>,
    /// The exit code that ends all.
    first_code: Option<i32>,
}

impl Driver<'_> {
    /// Stays until everything has ended.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> Result<Exit, CliError> {
        let mut failed = None;
        let mut interrupted = false;
        loop {
            let containers = self.containers()?;
            let mut reading = false;
            if self.course.opened {
                let shown = self.shown(&containers);
                self.follower.look_at(shown.iter().copied());
                reading = self.tell_ends(&containers);
            }
            if self.course.executed && !reading {
                let aborting =
                    self.course.stopping == Stopping::No && self.course.first_code.is_some();
                if aborting {
                    talk("Aborting on container exit...\n");
                }
                if aborting || self.course.stopping == Stopping::Asked {
                    self.stop(messages)?;
                    continue;
                }
                if failed.is_some() || (self.all_ended(&containers) && self.for_good()?) {
                    break;
                }
            }
            match messages.recv_timeout(if reading { SOON } else { LOOK_AGAIN }) {
                Ok(Message::Interrupted) => {
                    interrupted = true;
                    self.interrupt(messages)?;
                }
                Ok(Message::Executed(result)) => {
                    self.course.executed = true;
                    match result {
                        Err(CliError::Execute(ExecuteError::Cancelled)) | Ok(()) => {}
                        Err(error) => failed = Some(error),
                    }
                }
                Ok(Message::Opened) => self.course.opened = true,
                Ok(Message::Changed) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(error) = failed {
            // The services that did start stay: the user sees them, and `up` again goes on.
            return Err(error);
        }
        let exit = self.exit_code(interrupted)?;
        self.follower.finish();
        Ok(exit)
    }

    fn containers(&self) -> Result<Vec<Container>, CliError> {
        Ok(self
            .backend
            .containers(&[(labels::PROJECT, self.project)])?)
    }

    fn shown<'c>(&self, containers: &'c [Container]) -> Vec<&'c Container> {
        let shown =
            |c: &&Container| self.shown.contains(observed::service(c)) && !observed::is_one_off(c);
        containers.iter().filter(shown).collect()
    }

    /// Tells of containers that ended since the last look, once their last line is out; says
    /// whether some log is still being read.
    fn tell_ends(&mut self, containers: &[Container]) -> bool {
        let mut reading = false;
        for container in self.shown(containers) {
            let State::Exited(ended) = &container.state else {
                continue;
            };
            let key = (container.id.clone(), container.finished);
            let before = container.finished.is_some_and(|time| time < self.since);
            if before || self.course.ended.contains(&key) {
                continue;
            }
            if !self.follower.has_read(&container.id) {
                reading = true;
                continue;
            }
            self.follower.ended(container, ended.code);
            self.course.ended.insert(key);
            if self.course.first_code.is_none() && self.counts(container, ended.code) {
                self.course.first_code = Some(ended.code);
            }
        }
        reading
    }

    /// Whether a container's end matters to `--abort-on-…`.
    fn counts(&self, container: &Container, code: i32) -> bool {
        match &self.attached.abort {
            Abort::Never => false,
            Abort::OnFailure => code != 0,
            Abort::OnExit => {
                let asked = self.attached.exit_code_from.as_deref();
                code != 0
                    || asked == Some(observed::service(container))
                    || !self.is_meant_to_end(container)
            }
        }
    }

    fn is_meant_to_end(&self, container: &Container) -> bool {
        let name = observed::service(container);
        self.stack.desired.services.values().any(|service| {
            service
                .depends_on
                .get(name)
                .is_some_and(|d| d.condition == Condition::CompletedSuccessfully)
        })
    }

    fn all_ended(&self, containers: &[Container]) -> bool {
        let shown = self.shown(containers);
        shown.iter().all(|c| !c.state.is_live())
    }

    /// Whether nobody is about to start them again: another command that replaces containers
    /// stops them first.
    fn for_good(&self) -> Result<bool, CliError> {
        if self.course.stopping != Stopping::No {
            return Ok(true);
        }
        let _lock = self.backend.lock_project(self.project, &mut || {})?;
        Ok(self.all_ended(&self.containers()?))
    }

    fn interrupt(&mut self, messages: &Receiver<Message>) -> Result<(), CliError> {
        match self.course.stopping {
            Stopping::No => {
                talk("Gracefully Stopping... press Ctrl+C again to force\n");
                self.cancel.cancel();
                self.course.stopping = Stopping::Asked;
                if self.course.executed {
                    self.stop(messages)?;
                }
                Ok(())
            }
            Stopping::Asked | Stopping::Gracefully => self.kill(),
            Stopping::Forced => Ok(()),
        }
    }

    /// Stops everything, dependents first, while a second Ctrl-C can still kill.
    fn stop(&mut self, messages: &Receiver<Message>) -> Result<(), CliError> {
        self.course.stopping = Stopping::Gracefully;
        let observed = apply::observe(&*self.backend, self.project, Some(&self.stack.desired))?;
        let scope = Scope {
            desired: Some(&self.stack.desired),
            observed: &observed,
            services: &[],
        };
        let plan = lifecycle::stop(&scope, self.attached.timeout)?;
        self.reporter.entitle("Stopping");
        thread::scope(|scope| {
            let (done, stopped) = mpsc::channel();
            let (global, project, stack) = (self.global, self.project, self.stack);
            let (backend, reporter) = (Arc::clone(&self.backend), Arc::clone(&self.reporter));
            scope.spawn(move || {
                let execution = Execution {
                    backend: &*backend,
                    project,
                    stack: Some(stack),
                    events: &|event| reporter.tell(event),
                    parallel: global.parallel,
                    cancel: &Cancel::default(),
                    lock: None,
                };
                let result = apply::carry_out(global, &execution, &plan);
                reporter.finish();
                // The driver listens until it has heard.
                let _ = done.send(result.map(drop));
            });
            self.until_stopped(&stopped, messages)
        })
    }

    fn until_stopped(
        &mut self,
        stopped: &Receiver<Result<(), CliError>>,
        messages: &Receiver<Message>,
    ) -> Result<(), CliError> {
        let mut changed = false;
        loop {
            match stopped.recv_timeout(SOON) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Ok(message) = messages.try_recv() {
                match message {
                    Message::Interrupted => self.kill()?,
                    Message::Changed => changed = true,
                    Message::Opened | Message::Executed(_) => {}
                }
            }
            if changed {
                let containers = self.containers()?;
                changed = self.tell_ends(&containers);
            }
        }
    }

    fn kill(&mut self) -> Result<(), CliError> {
        self.course.stopping = Stopping::Forced;
        for container in self.containers()? {
            if container.state.is_live() && !observed::is_one_off(&container) {
                // One that has just ended needs no signal.
                let _ = self.backend.kill(&container.id, "SIGKILL");
            }
        }
        Ok(())
    }

    fn exit_code(&self, interrupted: bool) -> Result<Exit, CliError> {
        if let Some(service) = &self.attached.exit_code_from {
            let containers = self.containers()?;
            let code = containers
                .iter()
                .filter(|c| observed::service(c) == service && !observed::is_one_off(c))
                .find_map(|c| match &c.state {
                    State::Exited(ended) => Some(ended.code),
                    _ => None,
                });
            return Ok(code.map_or(Exit::Failure, Exit::of_child));
        }
        Ok(match self.course.first_code {
            Some(code) => Exit::of_child(code),
            None if interrupted => Exit::Interrupted,
            None => Exit::Success,
        })
    }
}

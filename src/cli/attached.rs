//! `up` in the foreground: what containers print, until they end or Ctrl-C.
//!
//! The plan is executed on a thread of its own; this one hears of changes, of Ctrl-C and of
//! the execution's end, looks at the containers after each, and decides.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::backend::{Backend, Container, ContainerId, LogQuery, State};
use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::follow::Follower;
use crate::cli::global::Global;
use crate::cli::interrupt;
use crate::cli::session::{Session, short_name};
use crate::cli::verbs::up::{Up, bring_up};
use crate::executor::{Cancel, Event, ExecuteError, Execution, Phase};
use crate::lower::Stack;
use crate::plan::lifecycle::{self, Scope};
use crate::plan::{Condition, labels, observed};
use crate::ui::logs::{LogPrinter, LogStyle};

/// Look again after so long without news: a supervisor that was killed tells nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While a log is still being read to its end.
const SOON: Duration = Duration::from_millis(10);

/// What is shown, and when to end.
#[derive(Clone, Debug)]
pub struct Attached {
    /// `--attach`.
    pub only: Vec<String>,
    /// `--no-attach`.
    pub except: Vec<String>,
    /// `--attach-dependencies`.
    pub dependencies: bool,
    /// Coloured prefixes.
    pub colour: bool,
    /// Prefixes at all.
    pub prefix: bool,
    /// Times.
    pub timestamps: bool,
    /// When to stop everything.
    pub abort: Abort,
    /// `-t`.
    pub timeout: Option<Duration>,
}

/// When the end of one container ends all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Never.
    Never,
    /// When any ends. One that ends with 0 and is waited for to do just that does not count.
    OnExit,
    /// When any fails.
    OnFailure,
    /// As `OnExit`, with this service's exit code.
    ExitCodeFrom(String),
}

impl Attached {
    /// Services named in flags must exist.
    pub fn check(&self, stack: &Stack) -> Result<(), CliError> {
        let from = match &self.abort {
            Abort::ExitCodeFrom(service) => Some(service),
            _ => None,
        };
        for name in self.only.iter().chain(&self.except).chain(from) {
            stack.desired.select(std::slice::from_ref(name))?;
        }
        Ok(())
    }

    /// The services whose output is shown.
    fn services(&self, stack: &Stack, named: &[String]) -> BTreeSet<String> {
        let base = if !self.only.is_empty() {
            self.only.clone()
        } else if self.dependencies || named.is_empty() {
            stack.desired.services.keys().cloned().collect()
        } else {
            named.to_vec()
        };
        base.into_iter()
            .filter(|name| !self.except.contains(name))
            .filter(|name| {
                let attach = stack.project.services.get(name).and_then(|s| s.attach);
                attach != Some(false) || self.only.contains(name)
            })
            .collect()
    }
}

enum Message {
    Changed,
    Interrupted,
    Executed(Result<(), CliError>),
}

/// Brings the project up and stays.
pub fn up(
    global: &Global,
    session: Session,
    stack: Stack,
    options: &Up,
    attached: &Attached,
) -> Result<Exit, CliError> {
    let since = SystemTime::now();
    let backend: Arc<dyn Backend> = Arc::clone(&session.backend);
    let project = session.project_name;
    let shown = attached.services(&stack, &options.plan.services);
    let (sender, messages) = mpsc::channel();
    let interrupts = interrupt::install().map_err(|source| CliError::Io {
        what: "listen for Ctrl-C".to_owned(),
        source,
    })?;
    forward(interrupts, sender.clone(), |()| Message::Interrupted);
    let (told, changes) = mpsc::channel();
    let _subscription = backend.subscribe(&[(labels::PROJECT, &project)], told)?;
    forward(changes, sender.clone(), |_| Message::Changed);

    let names: Vec<_> = shown
        .iter()
        .flat_map(|name| {
            let replicas = stack.desired.services.get(name).map_or(0, |s| s.replicas);
            (1..=replicas).map(move |n| format!("{name}-{n}"))
        })
        .collect();
    let style = LogStyle {
        colour: attached.colour && apply::colour_stdout(global),
        prefix: attached.prefix,
        timestamps: attached.timestamps,
    };
    let out: Box<dyn std::io::Write + Send> = Box::new(std::io::stdout());
    let printer = Arc::new(Mutex::new(LogPrinter::new(out, style, &names)));
    let query = LogQuery {
        since: Some(since),
        follow: true,
        ..LogQuery::default()
    };
    let cancel = Cancel::default();
    let mut planned = stack.clone();
    let driver = Driver {
        global,
        backend: Arc::clone(&backend),
        project: &project,
        stack: &stack,
        attached,
        shown,
        follower: Follower::new(Arc::clone(&backend), &project, printer, query),
        cancel: cancel.clone(),
        since,
        ended: BTreeSet::new(),
        first_code: None,
        executed: false,
        phase: Stopping::No,
    };
    thread::scope(|scope| {
        let backend = Arc::clone(&backend);
        let attaching = format!("Attaching to {}\n", names.join(", "));
        scope.spawn(move || {
            let result = execute(
                global,
                &*backend,
                &mut planned,
                options,
                &cancel,
                &attaching,
            );
            // The driver may have given up.
            let _ = sender.send(Message::Executed(result));
        });
        driver.run(&messages)
    })
}

fn execute(
    global: &Global,
    backend: &dyn Backend,
    stack: &mut Stack,
    options: &Up,
    cancel: &Cancel,
    attaching: &str,
) -> Result<(), CliError> {
    let reporter = apply::reporter(global);
    let logs_begin = AtomicBool::new(false);
    let begin = || {
        if !logs_begin.swap(true, Ordering::SeqCst) {
            reporter.finish();
            talk(attaching);
        }
    };
    let events = |event: Event| match &event {
        // From the first start on the screen belongs to the logs.
        Event::Phase {
            phase:
                Phase::Starting
                | Phase::Started
                | Phase::Waiting
                | Phase::Healthy
                | Phase::Exited
                | Phase::Running,
            ..
        } => begin(),
        _ if logs_begin.load(Ordering::SeqCst) => {
            if let Event::Warning(text) = event {
                talk(&format!("warning: {text}\n"));
            }
        }
        _ => reporter.tell(event),
    };
    let result = bring_up(global, backend, stack, options, &events, cancel);
    begin();
    result
}

fn forward<T: Send + 'static>(
    from: Receiver<T>,
    to: mpsc::Sender<Message>,
    message: impl Fn(T) -> Message + Send + 'static,
) {
    thread::spawn(move || {
        for item in from {
            if to.send(message(item)).is_err() {
                break;
            }
        }
    });
}

fn talk(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Ctrl-C came while the plan was still being executed.
    Asked,
    /// Containers are being stopped.
    Gracefully,
    /// Containers have been killed.
    Forced,
}

struct Driver<'a> {
    global: &'a Global,
    backend: Arc<dyn Backend>,
    project: &'a str,
    stack: &'a Stack,
    attached: &'a Attached,
    shown: BTreeSet<String>,
    follower: Follower,
    cancel: Cancel,
    since: SystemTime,
    /// Ends that were told: container and time.
    ended: BTreeSet<(ContainerId, Option<SystemTime>)>,
    first_code: Option<i32>,
    executed: bool,
    phase: Stopping,
}

impl Driver<'_> {
    fn run(mut self, messages: &Receiver<Message>) -> Result<Exit, CliError> {
        let mut failed = None;
        let mut interrupted = false;
        loop {
            let containers = self.containers()?;
            let shown = self.shown(&containers);
            self.follower.look_at(shown.iter().copied());
            let reading = self.tell_ends(&containers);
            if self.executed && !reading {
                if self.phase == Stopping::No && self.first_code.is_some() {
                    talk("Aborting on container exit...\n");
                    self.stop(messages)?;
                    continue;
                }
                if self.phase == Stopping::Asked {
                    self.stop(messages)?;
                    continue;
                }
                if failed.is_some() || self.all_ended(&containers) {
                    break;
                }
            }
            match messages.recv_timeout(if reading { SOON } else { LOOK_AGAIN }) {
                Ok(Message::Interrupted) => {
                    interrupted = true;
                    self.interrupt(messages)?;
                }
                Ok(Message::Executed(result)) => {
                    self.executed = true;
                    match result {
                        Err(CliError::Execute(ExecuteError::Cancelled)) => {}
                        Err(error) => failed = Some(error),
                        Ok(()) => {}
                    }
                }
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
            if before || self.ended.contains(&key) {
                continue;
            }
            if !self.follower.has_read(&container.id) {
                reading = true;
                continue;
            }
            self.follower
                .note(container, &format!("exited with code {}", ended.code));
            self.ended.insert(key);
            if self.first_code.is_none() && self.counts(container, ended.code) {
                self.first_code = Some(ended.code);
            }
        }
        reading
    }

    /// Whether a container's end matters to `--abort-on-…`.
    fn counts(&self, container: &Container, code: i32) -> bool {
        match &self.attached.abort {
            Abort::Never => false,
            Abort::OnFailure => code != 0,
            Abort::OnExit => code != 0 || !self.is_meant_to_end(container),
            Abort::ExitCodeFrom(service) => {
                code != 0
                    || observed::service(container) == service
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

    fn interrupt(&mut self, messages: &Receiver<Message>) -> Result<(), CliError> {
        match self.phase {
            Stopping::No => {
                talk("Gracefully Stopping... press Ctrl+C again to force\n");
                self.cancel.cancel();
                self.phase = Stopping::Asked;
                if self.executed {
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
        self.phase = Stopping::Gracefully;
        let observed = apply::observe(&*self.backend, self.project, Some(&self.stack.desired))?;
        let scope = Scope {
            desired: Some(&self.stack.desired),
            observed: &observed,
            services: &[],
        };
        let plan = lifecycle::stop(&scope, self.attached.timeout)?;
        let (done, stopped) = mpsc::channel();
        let (global, backend, project) = (
            self.global.clone(),
            Arc::clone(&self.backend),
            self.project.to_owned(),
        );
        let stack = self.stack.clone();
        thread::spawn(move || {
            let reporter = apply::reporter(&global);
            let events = |event| reporter.tell(event);
            let result = apply::carry_out(
                &global,
                &Execution {
                    backend: &*backend,
                    project: &project,
                    stack: Some(&stack),
                    events: &events,
                    parallel: global.parallel,
                    cancel: &Cancel::default(),
                    lock: None,
                },
                &plan,
            );
            reporter.finish();
            let _ = done.send(result.map(drop));
        });
        loop {
            match stopped.recv_timeout(SOON) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Ok(message) = messages.try_recv() {
                if matches!(message, Message::Interrupted) {
                    self.kill()?;
                }
            }
        }
    }

    fn kill(&mut self) -> Result<(), CliError> {
        self.phase = Stopping::Forced;
        for container in self.containers()? {
            if container.state.is_live() && !observed::is_one_off(&container) {
                // One that has just ended needs no signal.
                let _ = self.backend.kill(&container.id, "SIGKILL");
            }
        }
        Ok(())
    }

    fn exit_code(&self, interrupted: bool) -> Result<Exit, CliError> {
        if let Abort::ExitCodeFrom(service) = &self.attached.abort {
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
        Ok(match self.first_code {
            Some(code) => Exit::of_child(code),
            None if interrupted => Exit::Interrupted,
            None => Exit::Success,
        })
    }
}

/// The name a container's lines begin with.
#[must_use]
pub fn prefix(project: &str, container: &Container) -> String {
    short_name(project, container)
}

//! `up` in the foreground: what containers print, until they end or Ctrl-C.
//!
//! Images are provided and the project's lock is taken first; until then Ctrl-C simply ends
//! the program. Then the plan is executed on a thread of its own, while [`driver`] hears of
//! changes, of Ctrl-C and of the execution's end, looks at the containers after each, and
//! decides. [`curtain`] says when the screen goes from the list of what is made to the logs.

mod curtain;
mod driver;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::backend::{Backend, LogQuery, ProjectLock};
use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::follow::Follower;
use crate::cli::global::Global;
use crate::cli::interrupt;
use crate::cli::output::print;
use crate::cli::session::{Session, short_name};
use crate::cli::verbs::up::{self, Up};
use crate::cli::verbs::watch::{Habits, Watch};
use crate::executor::{Cancel, Event, Execution};
use crate::lower::Stack;
use crate::plan::labels;
use crate::ui::logs::{LogPrinter, LogStyle};
use crate::ui::progress::Reporter;

use curtain::{Curtain, Scene};
use driver::{Course, Driver};

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
    /// Keep containers in step with their source meanwhile.
    pub watch: bool,
    /// When to stop everything.
    pub abort: Abort,
    /// The service whose exit code is ours.
    pub exit_code_from: Option<String>,
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
}

impl Attached {
    /// Services named in flags must exist.
    pub fn check(&self, stack: &Stack) -> Result<(), CliError> {
        let named = self.only.iter().chain(&self.except);
        for name in named.chain(&self.exit_code_from) {
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
    /// Something happened to a container.
    Changed,
    /// Ctrl-C.
    Interrupted,
    /// Everything has been made: logs may be shown.
    Opened,
    /// The plan has been carried out.
    Executed(Result<(), CliError>),
}

/// Brings the project up and stays.
pub fn up(
    global: &Global,
    session: Session,
    mut stack: Stack,
    options: &Up,
    attached: &Attached,
) -> Result<Exit, CliError> {
    let watch = match attached.watch {
        true => {
            let habits = Habits {
                quiet: options.images.quiet_build,
                prune: false,
            };
            Some(Watch::prepare(global, &options.plan.services, habits)?)
        }
        false => None,
    };
    let backend: Arc<dyn Backend> = Arc::clone(&session.backend);
    let project = session.project_name;
    let reporter = Arc::new(apply::reporter(global, "Running"));
    let provided = up::provide(global, &*backend, &mut stack, options, &|event| {
        reporter.tell(event);
    });
    if provided.is_err() {
        reporter.finish();
    }
    provided?;
    let lock = apply::lock(&*backend, &project)?;

    let since = SystemTime::now();
    let (sender, messages) = mpsc::channel();
    let interrupts = interrupt::install().map_err(|source| CliError::Io {
        what: "listen for Ctrl-C".to_owned(),
        source,
    })?;
    forward(interrupts, sender.clone(), |()| Message::Interrupted);
    let (told, changes) = mpsc::channel();
    let _subscription = backend.subscribe(&[(labels::PROJECT, &project)], told)?;
    forward(changes, sender.clone(), |_| Message::Changed);

    let shown = attached.services(&stack, &options.plan.services);
    let names = container_names(&stack, &project, &shown);
    let printer = printer(global, attached, &reporter, &names);
    let query = LogQuery {
        since: Some(since),
        follow: true,
        ..LogQuery::default()
    };
    let cancel = Cancel::default();
    let follower = Follower::new(Arc::clone(&backend), &project, printer, query);
    let worker = Worker {
        global,
        backend: Arc::clone(&backend),
        stack: stack.clone(),
        options,
        cancel: cancel.clone(),
        reporter: Arc::clone(&reporter),
        attaching: format!("Attaching to {}\n", names.join(", ")),
        sender,
    };
    let driver = Driver {
        global,
        backend,
        project: &project,
        stack: &stack,
        attached,
        shown,
        follower,
        reporter,
        cancel,
        since,
        course: Course::default(),
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let done = worker.run(lock);
            if let (true, Some(watch)) = (done, watch)
                && let Err(error) = watch.run(global, || over.load(Ordering::Relaxed))
            {
                talk(&error.render());
            }
        });
        let exit = driver.run(&messages);
        over.store(true, Ordering::Relaxed);
        exit
    })
}

/// What the containers of these services are called in front of their output.
fn container_names(stack: &Stack, project: &str, services: &BTreeSet<String>) -> Vec<String> {
    let replicas = |name| stack.desired.services.get(name).map_or(0, |s| s.replicas);
    services
        .iter()
        .flat_map(|name| (1..=replicas(name)).map(move |n| (name, n)))
        .map(|(name, n)| stack.desired.container_name(name, n))
        .map(|name| short_name(project, &name).to_owned())
        .collect()
}

/// Prints logs, above the list of what goes on where there is a terminal.
fn printer(
    global: &Global,
    attached: &Attached,
    reporter: &Arc<Reporter>,
    names: &[String],
) -> Arc<Mutex<LogPrinter<Box<dyn Write + Send>>>> {
    let style = LogStyle {
        colour: attached.colour && apply::colour_stdout(global),
        prefix: attached.prefix,
        timestamps: attached.timestamps,
    };
    let out: Box<dyn Write + Send> = if std::io::stdout().is_terminal() {
        Box::new(AboveList(Arc::clone(reporter)))
    } else {
        Box::new(std::io::stdout())
    };
    Arc::new(Mutex::new(LogPrinter::new(out, style, names)))
}

/// Carries the plan out and shows how, until the logs take over.
struct Worker<'a> {
    global: &'a Global,
    backend: Arc<dyn Backend>,
    stack: Stack,
    options: &'a Up,
    cancel: Cancel,
    reporter: Arc<Reporter>,
    attaching: String,
    sender: mpsc::Sender<Message>,
}

impl Worker<'_> {
    /// Says whether everything was done.
    fn run(self, lock: Box<dyn ProjectLock>) -> bool {
        let result = self.execute(&*lock);
        drop(lock);
        let done = result.is_ok();
        // The driver may have given up.
        let _ = self.sender.send(Message::Executed(result));
        done
    }

    fn execute(&self, lock: &dyn ProjectLock) -> Result<(), CliError> {
        let tell = |event| self.reporter.tell(event);
        let plan = up::plan(&*self.backend, &self.stack, self.options, &tell);
        let curtain = Mutex::new(Curtain::new(plan.as_ref().ok()));
        let open = || {
            self.reporter.finish();
            // As Docker Compose, where it is the first line of the output. Without a reader
            // the logs end the program.
            let _ = print(&self.attaching);
            // As above.
            let _ = self.sender.send(Message::Opened);
        };
        let events = |event: Event| {
            let mut curtain = curtain.lock().unwrap_or_else(PoisonError::into_inner);
            match curtain.scene(&event) {
                Scene::List => self.reporter.tell(event),
                Scene::ListEnds => {
                    self.reporter.tell(event);
                    open();
                }
                Scene::LogsBegin => open(),
                Scene::Logs => {
                    if let Event::Warning(text) = event {
                        self.reporter.above(|| talk(&format!("warning: {text}\n")));
                    }
                }
            }
        };
        let result = plan.and_then(|plan| {
            let execution = Execution {
                backend: &*self.backend,
                project: &self.stack.desired.project,
                stack: Some(&self.stack),
                events: &events,
                parallel: self.global.parallel,
                cancel: &self.cancel,
                lock: Some(lock),
            };
            apply::carry_out(self.global, &execution, &plan)
        });
        let mut curtain = curtain.lock().unwrap_or_else(PoisonError::into_inner);
        if curtain.open() {
            open();
        }
        result.map(drop)
    }
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

/// Standard output, where it is the terminal that lists are drawn on.
struct AboveList(Arc<Reporter>);

impl Write for AboveList {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.above(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! What went wrong, and everything a user needs to see why: which service, how its process
//! ended, its last log lines, its last probes, and who was waiting for it.

use std::error::Error as _;
use std::fmt::Write as _;

use gantry_engine::error::{Classify, ErrorKind};

use crate::backend::{
    BackendError, Container, ContainerId, Ended, Flow, Health, LogQuery, Probe, State,
};
use crate::plan::labels;

use super::{Execution, conditions};

/// How many log lines a report shows.
const LOG_LINES: usize = 10;
/// How many probes a report shows.
const PROBES: usize = 3;

/// A run that was not finished.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The engine could not be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Some steps failed.
    #[error("{}", .0.first().map_or_else(String::new, Failure::summary))]
    Failed(Vec<Failure>),
    /// It took too long.
    #[error("application not healthy after {seconds}s")]
    Timeout {
        /// The limit.
        seconds: u64,
        /// Services that were not ready.
        waiting: Vec<String>,
    },
    /// The user gave up.
    #[error("interrupted")]
    Cancelled,
}

impl Classify for ExecuteError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Backend(error) => error.kind(),
            Self::Failed(failures) => match failures.first().map(|failure| &failure.cause) {
                Some(Cause::Engine(error)) => error.kind(),
                _ => ErrorKind::Conflict,
            },
            Self::Timeout { .. } => ErrorKind::Unavailable,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

/// One thing that failed.
#[derive(Debug)]
pub struct Failure {
    /// The service, if it is about one.
    pub service: Option<String>,
    /// The container, network, volume or image.
    pub container: Option<String>,
    /// What was tried: `start`, `create network \`back\`` …
    pub doing: String,
    /// Why it failed.
    pub cause: Cause,
    /// The container's last output.
    pub logs: Vec<String>,
    /// Its last probes.
    pub probes: Vec<Probe>,
    /// Services that were waiting for it.
    pub waiting: Vec<String>,
}

/// Why something failed.
#[derive(Debug)]
pub enum Cause {
    /// The engine said no.
    Engine(BackendError),
    /// The process ended.
    Exited(Ended),
    /// It ended without success, and success was waited for.
    Incomplete(Ended),
    /// Its probe says no.
    Unhealthy(Health),
    /// It has no probe, and health was waited for.
    NoProbe,
    /// It has no container.
    NoContainer,
    /// A hook ended with a code.
    Hook {
        /// Its command.
        command: String,
        /// Its code.
        code: i32,
        /// Its output.
        output: String,
    },
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Cause {}

impl Clone for Cause {
    fn clone(&self) -> Self {
        match self {
            Self::Engine(error) => Self::Engine(BackendError {
                what: error.to_string(),
                class: error.class,
                hint: error.hint.clone(),
                exit_code: error.exit_code,
                drawn: error.drawn.clone(),
                source: None,
            }),
            Self::Exited(ended) => Self::Exited(ended.clone()),
            Self::Incomplete(ended) => Self::Incomplete(ended.clone()),
            Self::Unhealthy(health) => Self::Unhealthy(health.clone()),
            Self::NoProbe => Self::NoProbe,
            Self::NoContainer => Self::NoContainer,
            Self::Hook {
                command,
                code,
                output,
            } => Self::Hook {
                command: command.clone(),
                code: *code,
                output: output.clone(),
            },
        }
    }
}

impl Cause {
    /// In words, to follow a subject.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Engine(error) => error.to_string(),
            Self::Exited(ended) => how_ended(ended),
            Self::Incomplete(ended) => {
                format!("didn't complete successfully: {}", how_ended(ended))
            }
            Self::Unhealthy(health) => match health.failing_streak {
                0 | 1 => "is unhealthy".to_owned(),
                n => format!("is unhealthy after {n} failed probes"),
            },
            Self::NoProbe => "has no healthcheck configured".to_owned(),
            Self::NoContainer => "has no container".to_owned(),
            Self::Hook { command, code, .. } => format!("hook `{command}` exited with code {code}"),
        }
    }
}

/// Exit code, signal or lack of memory.
#[must_use]
pub fn how_ended(ended: &Ended) -> String {
    if let Some(error) = &ended.error {
        return error.clone();
    }
    if ended.oom {
        return format!("was killed for lack of memory (exit code {})", ended.code);
    }
    match ended.code {
        129..=192 => match signal_name(ended.code - 128) {
            Some(name) => format!("exited with code {} ({name})", ended.code),
            None => format!("exited with code {}", ended.code),
        },
        code => format!("exited with code {code}"),
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

impl Failure {
    /// One without a container to ask.
    pub(super) fn plain(service: Option<String>, doing: String, error: BackendError) -> Box<Self> {
        Box::new(Self {
            service,
            container: None,
            doing,
            cause: Cause::Engine(error),
            logs: Vec::new(),
            probes: Vec::new(),
            waiting: Vec::new(),
        })
    }

    /// One of a service: asks its containers which is to blame and what it said.
    pub(super) fn of_service(run: &Execution<'_>, service: &str, cause: Cause) -> Self {
        let containers = run
            .backend
            .containers(&[(labels::PROJECT, run.project)])
            .unwrap_or_default();
        let culprit = conditions::of_service(&containers, service).max_by_key(|c| blame(c));
        let mut failure = Self {
            service: Some(service.to_owned()),
            container: culprit.map(|c| c.name.clone()),
            doing: String::new(),
            cause,
            logs: Vec::new(),
            probes: Vec::new(),
            waiting: Vec::new(),
        };
        if let Some(container) = culprit {
            failure.collect(run, container);
        }
        failure
    }

    fn collect(&mut self, run: &Execution<'_>, container: &Container) {
        self.logs = last_lines(run, &container.id);
        if let Some(health) = &container.health {
            let skip = health.log.len().saturating_sub(PROBES);
            self.probes = health.log[skip..]
                .iter()
                .filter(|probe| probe.exit_code != 0)
                .cloned()
                .collect();
        }
    }

    /// Adds the last lines of a container's output.
    pub(super) fn with_logs(
        mut self: Box<Self>,
        run: &Execution<'_>,
        id: &ContainerId,
    ) -> Box<Self> {
        self.logs = last_lines(run, id);
        self
    }

    /// One line.
    #[must_use]
    pub fn summary(&self) -> String {
        match (&self.service, self.doing.as_str()) {
            (Some(service), "") => format!("service `{service}` {}", self.cause.text()),
            (Some(service), doing) => {
                self.tried(&format!("service `{service}`: cannot {doing}"), doing)
            }
            (None, doing) => self.tried(&format!("cannot {doing}"), doing),
        }
    }

    /// What was tried, and why it failed unless the engine says the same of itself.
    fn tried(&self, what: &str, doing: &str) -> String {
        match self.cause.text() {
            text if text == format!("cannot {doing}") => what.to_owned(),
            text => format!("{what}: {text}"),
        }
    }

    /// Everything, as lines below `error:`.
    #[must_use]
    pub fn render(&self, escape: &dyn Fn(&str) -> String) -> String {
        let mut text = format!("error: {}\n", self.summary());
        if let Cause::Engine(error) = &self.cause {
            let mut source = error.source();
            while let Some(cause) = source {
                let _ = writeln!(text, "  caused by: {cause}");
                source = cause.source();
            }
        }
        for probe in &self.probes {
            let _ = writeln!(text, "  probe, exit code {}:", probe.exit_code);
            for line in probe.output.lines().take(LOG_LINES) {
                let _ = writeln!(text, "    {}", escape(line));
            }
        }
        if let Cause::Hook { output, .. } = &self.cause {
            for line in output.lines().take(LOG_LINES) {
                let _ = writeln!(text, "    {}", escape(line));
            }
        }
        if let Some(container) = &self.container {
            if self.logs.is_empty() {
                let _ = writeln!(text, "  `{container}` has printed nothing");
            } else {
                let _ = writeln!(text, "  last lines of `{container}`:");
            }
        }
        for line in &self.logs {
            let _ = writeln!(text, "    {}", escape(line));
        }
        if !self.waiting.is_empty() {
            let names: Vec<_> = self.waiting.iter().map(|w| format!("`{w}`")).collect();
            let _ = writeln!(text, "  waiting for it: {}", names.join(", "));
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    fn hint(&self) -> Option<String> {
        let service = self.service.as_deref()?;
        match &self.cause {
            Cause::Engine(error) => error.hint.clone(),
            Cause::NoProbe => Some(format!(
                "give `{service}` a `healthcheck`, or wait for `service_started`"
            )),
            Cause::Exited(ended) | Cause::Incomplete(ended) if ended.oom => {
                Some(format!("raise `mem_limit` of `{service}`"))
            }
            _ => None,
        }
    }
}

/// Which of several containers is told about: the worst one.
fn blame(container: &Container) -> u8 {
    use crate::backend::HealthStatus;
    match (&container.state, &container.health) {
        (State::Exited(ended), _) if ended.code != 0 => 3,
        (_, Some(health)) if health.status == HealthStatus::Unhealthy => 2,
        (State::Exited(_), _) => 1,
        _ => 0,
    }
}

fn last_lines(run: &Execution<'_>, id: &ContainerId) -> Vec<String> {
    let query = LogQuery {
        tail: Some(LOG_LINES),
        ..LogQuery::default()
    };
    let mut lines = Vec::new();
    let read = run.backend.logs(id, &query, &mut |line| {
        lines.push(String::from_utf8_lossy(&line.text).into_owned());
        Flow::Continue
    });
    // A report about a failure is not replaced by one about its log.
    drop(read);
    lines
}

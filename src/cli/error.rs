//! What a verb can fail with, and how the user reads it:
//!
//! ```text
//! error: service `web` cannot publish port 8080
//!   caused by: bind 0.0.0.0:8080: address already in use
//! hint: `blog-web-1` publishes it; stop it or choose another port
//! ```

use std::error::Error;
use std::fmt::Write as _;

use gantry_engine::engine::EngineError;
use gantry_engine::error::Classify as _;
use gantry_engine::oci::OciError;

use crate::backend::BackendError;
use crate::cli::exit::Exit;
use crate::executor::ExecuteError;
use crate::lower::Finding;
use crate::plan::PlanError;
use crate::ui::template::TemplateError;
use crate::ui::text::printable;

/// A verb failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Flags that contradict each other or a value that is not one.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
    },
    /// The compose files have problems; the text is rendered already.
    #[error("{0}")]
    Load(String),
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The engine could not run a one-off container of a service.
    #[error("{error}")]
    OneOff {
        /// The service.
        service: String,
        /// Why.
        error: BackendError,
    },
    /// The engine failed under one of its own nouns.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An operation of `gantry oci` failed.
    #[error(transparent)]
    Oci(#[from] Box<OciError>),
    /// A container could not be started; the exit code is Docker's for the cause.
    #[error("the container could not be started")]
    Start {
        /// 125, 126 or 127.
        code: u8,
        /// Why.
        source: Box<EngineError>,
    },
    /// A command could not be started in a container that runs; the exit code is Docker's for the cause.
    #[error("the command could not be started")]
    Exec {
        /// 126 or 127.
        code: u8,
        /// Why.
        source: Box<EngineError>,
    },
    /// `container run` failed before there was a program that could have failed: its exit code must not look
    /// like one of the program's.
    #[error(transparent)]
    BeforeRun(Box<CliError>),
    /// A registry failed.
    #[error("cannot {what}")]
    Registry {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Box<gantry_engine::registry::RegistryError>,
    },
    /// A build failed.
    #[error("the build failed")]
    Build(#[source] Box<gantry_engine::build::BuildError>),
    /// The conversation with an editor broke.
    #[error(transparent)]
    Lsp(#[from] crate::lsp::WireError),
    /// Files cannot be watched.
    #[error(transparent)]
    Watch(crate::watch::WatchError),
    /// The user was asked and said no.
    #[error("nothing was changed")]
    Declined,
    /// A `--format` that is none.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Reading or writing failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A thing named on the command line does not exist.
    #[error("{what} `{name}` not found")]
    NotFound {
        /// Its kind: service, container, …
        what: &'static str,
        /// Its name.
        name: String,
        /// A next step.
        hint: Option<String>,
    },
    /// The plan cannot be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan could not be carried out.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// Attributes that the engine cannot do.
    #[error("{}", .0.first().map_or("", |finding| finding.message.as_str()))]
    Refused(Vec<Finding>),
    /// A service's container does not run.
    #[error("service `{service}` is not running")]
    NotRunning {
        /// The service.
        service: String,
    },
    /// A thing that Docker Compose has and Gantry refuses.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// The verb or flag.
        what: String,
        /// Why.
        reason: &'static str,
    },
}

impl CliError {
    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
        }
    }

    /// Of `container run`, before it has started anything.
    pub fn before_run(error: impl Into<Self>) -> Self {
        Self::BeforeRun(Box::new(error.into()))
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Backend(error) | Self::OneOff { error, .. } => match error.exit_code {
                Some(code) => Exit::Child(code),
                None => Exit::from(error.kind()),
            },
            Self::Engine(error) => Exit::from(error.kind()),
            Self::Start { code, .. } | Self::Exec { code, .. } => Exit::Child(*code),
            Self::BeforeRun(error) => match error.exit() {
                Exit::Interrupted => Exit::Interrupted,
                _ => Exit::Child(Exit::BEFORE_RUN),
            },
            Self::Oci(error) => Exit::Child(error.exit_code()),
            Self::Registry { source, .. } => Exit::from(source.kind()),
            Self::Build(source) => Exit::from(source.kind()),
            Self::Template(_) => Exit::Usage,
            Self::Execute(error) => Exit::from(error.kind()),
            Self::Load(_)
            | Self::Io { .. }
            | Self::NotFound { .. }
            | Self::Declined
            | Self::Lsp(_)
            | Self::Watch(_)
            | Self::Plan(_)
            | Self::Refused(_)
            | Self::NotRunning { .. }
            | Self::Unsupported { .. } => Exit::Failure,
        }
    }

    /// A next step for the user, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) | Self::OneOff { error, .. } => error.hint.clone(),
            Self::BeforeRun(error) => error.hint(),
            Self::NotFound { hint, .. } => hint.clone(),
            Self::Plan(error) => error.hint(),
            Self::Execute(ExecuteError::Backend(error)) => error.hint.clone(),
            Self::Execute(ExecuteError::Timeout { waiting, .. }) => Some(format!(
                "not ready: {}; `gantry ps` and `gantry logs` show how far they are",
                waiting.join(", ")
            )),
            Self::NotRunning { service } => Some(format!("start it with `gantry up -d {service}`")),
            _ => None,
        }
    }

    /// The text for standard error.
    #[must_use]
    pub fn render(&self) -> String {
        if let Self::Load(rendered) = self {
            return rendered.clone();
        }
        if let Self::BeforeRun(error) = self {
            return error.render();
        }
        if let Self::Execute(ExecuteError::Failed(failures)) = self {
            return failures
                .iter()
                .map(|failure| failure.render(&printable))
                .collect();
        }
        if let Self::Backend(BackendError {
            drawn: Some(drawn), ..
        }) = self
        {
            return drawn.clone();
        }
        if let Self::Build(error) = self
            && let Some(diagnostic) = error.diagnostic()
        {
            return diagnostic.render();
        }
        let mut text = format!("error: {}\n", printable(&self.to_string()));
        let mut source = match self {
            Self::OneOff { error, .. } => error.source(),
            _ => self.source(),
        };
        while let Some(cause) = source {
            let _ = writeln!(text, "  caused by: {}", printable(&cause.to_string()));
            source = cause.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

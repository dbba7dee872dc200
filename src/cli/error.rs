//! What a verb can fail with, and how the user reads it:
//!
//! ```text
//! error: service `web` cannot publish port 8080
//!   caused by: bind 0.0.0.0:8080: address already in use
//! hint: `blog-web-1` publishes it; stop it or choose another port
//! ```

use std::error::Error;
use std::fmt::Write as _;

use gantry_engine::error::Classify as _;

use crate::backend::BackendError;
use crate::cli::exit::Exit;
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
    /// The verb is not ready.
    #[error("`{verb}` is not available yet")]
    NotYet {
        /// The verb.
        verb: &'static str,
    },
    /// The compose files have problems; the text is rendered already.
    #[error("{0}")]
    Load(String),
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
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

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::Backend(error) => Exit::from(error.kind()),
            Self::Template(_) => Exit::Usage,
            Self::NotYet { .. }
            | Self::Load(_)
            | Self::Io { .. }
            | Self::NotFound { .. }
            | Self::Unsupported { .. } => Exit::Failure,
        }
    }

    /// A next step for the user, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) => error.hint.clone(),
            Self::NotFound { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    /// The text for standard error.
    #[must_use]
    pub fn render(&self) -> String {
        if let Self::Load(rendered) = self {
            return rendered.clone();
        }
        let mut text = format!("error: {}\n", printable(&self.to_string()));
        let mut source = self.source();
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

//! What a verb can fail with, and how the user reads it:
//!
//! ```text
//! error: service `web` cannot publish port 8080
//!   caused by: bind 0.0.0.0:8080: address already in use
//! hint: `blog-web-1` publishes it; stop it or choose another port
//! ```

use std::error::Error;
use std::fmt::Write as _;

use crate::cli::exit::Exit;

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
            Self::NotYet { .. } | Self::Unsupported { .. } => Exit::Failure,
        }
    }

    /// A next step for the user, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }

    /// The text for standard error.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut source = self.source();
        while let Some(cause) = source {
            let _ = writeln!(text, "  caused by: {cause}");
            source = cause.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

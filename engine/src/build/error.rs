//! What can go wrong in a build.

use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Severity};
use crate::error::{Classify, ErrorKind};

/// Why a build gave no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile is wrong, or asks for something that cannot be; points at the line.
    #[error("{0}")]
    Dockerfile(Box<Diagnostic>),
    /// A lint rule was violated and `# check=error=true` is set.
    #[error("lint violation found for rules: {}", rules(.0))]
    Lint(Vec<Diagnostic>),
    /// A step failed for a reason other than its command's exit code; points at the line.
    #[error("{diagnostic}")]
    Step {
        /// The step's vertex name.
        step: String,
        /// The line of the Dockerfile, and what went wrong.
        diagnostic: Box<Diagnostic>,
        /// The class of the cause.
        kind: ErrorKind,
    },
    /// The command of a `RUN` step ended with a non-zero code.
    #[error("{diagnostic}")]
    Command {
        /// The step's vertex name.
        step: String,
        /// The line of the Dockerfile.
        diagnostic: Box<Diagnostic>,
        /// Exit code; 128 + n for signal n.
        exit_code: i32,
        /// Last lines of its output.
        output: Vec<String>,
    },
    /// No Dockerfile where it was looked for.
    #[error("cannot read Dockerfile `{path}`")]
    NoDockerfile {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The context cannot be used.
    #[error("cannot use build context `{context}`: {reason}")]
    Context {
        /// As the caller wrote it.
        context: String,
        /// Why.
        reason: String,
    },
    /// A line of an ignore file is wrong.
    #[error("{file}:{line}: bad pattern `{pattern}`: {reason}")]
    Ignore {
        /// The ignore file.
        file: String,
        /// Line number.
        line: usize,
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// An option that this builder does not have.
    #[error("{option} is not supported: {reason}")]
    Unsupported {
        /// As the user wrote it.
        option: String,
        /// Why, and what to do instead.
        reason: String,
    },
    /// An option with a wrong value.
    #[error("invalid {option}: {reason}")]
    Option {
        /// As the user wrote it.
        option: String,
        /// Why.
        reason: String,
    },
    /// The image store failed.
    #[error("image store: {action}")]
    Store {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// The class of the cause.
        kind: ErrorKind,
    },
    /// A cache could not be written for other machines.
    #[error("cannot export the cache to `{to}`")]
    Export {
        /// Where it was to go.
        to: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// The class of the cause.
        kind: ErrorKind,
    },
    /// A file operation of the builder itself failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// Verb: `read`, `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The caller gave up.
    #[error("build cancelled")]
    Cancelled,
}

/// The rules that were violated, each once, in the order they were.
fn rules(warnings: &[Diagnostic]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for warning in warnings {
        if let Severity::Warning(Some(rule)) = warning.severity
            && !names.contains(&rule.name)
        {
            names.push(rule.name);
        }
    }
    names.join(", ")
}

impl BuildError {
    /// The message about the Dockerfile, where there is one.
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            Self::Dockerfile(diagnostic)
            | Self::Step { diagnostic, .. }
            | Self::Command { diagnostic, .. } => Some(diagnostic),
            _ => None,
        }
    }
}

impl Classify for BuildError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Dockerfile(_)
            | Self::Lint(_)
            | Self::Context { .. }
            | Self::Ignore { .. }
            | Self::Option { .. } => ErrorKind::Invalid,
            Self::Command { .. } => ErrorKind::Conflict,
            Self::NoDockerfile { source, .. } | Self::Io { source, .. } => Classify::kind(source),
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Step { kind, .. } | Self::Store { kind, .. } | Self::Export { kind, .. } => *kind,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

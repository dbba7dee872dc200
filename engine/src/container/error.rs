//! What can go wrong with a container.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cdi::CdiError;
use crate::error::{Classify, ErrorKind};
use crate::image::ImageError;
use crate::network::NetworkError;
use crate::network::publish::PublishError;
use crate::runtime::RuntimeError;
use crate::snapshot::SnapshotError;
use crate::state::{IdError, StateError};
use crate::volume::VolumeError;

/// A failure of an operation on containers.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No container of that name or id.
    #[error("no such container: {0}")]
    NotFound(String),
    /// Several containers' ids begin so.
    #[error("several container ids begin with `{0}`; give more digits")]
    Ambiguous(String),
    /// Its state does not allow it.
    #[error("cannot {action} container `{name}`: {reason}")]
    State {
        /// What was asked for.
        action: &'static str,
        /// Of which container.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The option is known and not supported.
    #[error("{option} is not supported: {reason}")]
    Unsupported {
        /// The option, as the user knows it.
        option: String,
        /// Why not.
        reason: String,
    },
    /// A file or device of the host.
    #[error("cannot {action} `{path}`")]
    Host {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The supervisor reported a failure.
    #[error(transparent)]
    Supervisor(#[from] Failure),
    /// The supervisor died meanwhile.
    #[error("the supervisor of container `{0}` died; try again")]
    Lost(String),
    /// A name is not allowed.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Records.
    #[error(transparent)]
    Store(#[from] StateError),
    /// Volumes.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Images.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Layers.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Networks.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Published ports.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Devices by name.
    #[error(transparent)]
    Cdi(#[from] CdiError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl ContainerError {
    /// The exit code `docker run` would give: 126 and 127 for the program, 125 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Supervisor(failure) => failure.exit_code,
            Self::Runtime(error) => error.exit_code(),
            _ => 125,
        }
    }
}

impl Classify for ContainerError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Ambiguous(_) | Self::Invalid(_) => ErrorKind::Invalid,
            Self::State { .. } => ErrorKind::Conflict,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Host { source, .. } => Classify::kind(source),
            Self::Supervisor(failure) => failure.kind,
            Self::Lost(_) => ErrorKind::Unavailable,
            Self::Id(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Publish(error) => error.kind(),
            Self::Cdi(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
        }
    }
}

/// An error that travelled between processes: its class and its chain of causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class.
    pub kind: ErrorKind,
    /// What the exit code of a `run` would be.
    pub exit_code: u8,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub cause: Option<Box<Failure>>,
}

impl Failure {
    /// Of an error with a class.
    pub fn new(error: &(impl std::error::Error + Classify), exit_code: u8) -> Self {
        Self::chain(error, error.kind(), exit_code)
    }

    fn chain(error: &dyn std::error::Error, kind: ErrorKind, exit_code: u8) -> Self {
        Self {
            kind,
            exit_code,
            message: error.to_string(),
            cause: error
                .source()
                .map(|source| Box::new(Self::chain(source, kind, exit_code))),
        }
    }

    /// The whole chain on one line, for records.
    pub fn line(&self) -> String {
        let mut text = self.message.clone();
        let mut next = &self.cause;
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.message);
            next = &cause.cause;
        }
        text
    }
}

impl From<&ContainerError> for Failure {
    fn from(error: &ContainerError) -> Self {
        match error {
            ContainerError::Supervisor(failure) => failure.clone(),
            other => Self::new(other, other.exit_code()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

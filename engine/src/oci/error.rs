//! What can go wrong between a bundle and a container.

use std::io;
use std::path::PathBuf;

use crate::cgroup::CgroupError;
use crate::error::{Classify, ErrorKind};
use crate::runtime::RuntimeError;
use crate::state::StateError;

use super::Status;

/// A failure of an operation of this module.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// Nothing of this id.
    #[error("container `{id}` does not exist")]
    NotFound {
        /// As asked for.
        id: String,
    },
    /// The id is taken.
    #[error("container `{id}` exists already; delete it first or choose another id")]
    Exists {
        /// The id.
        id: String,
    },
    /// Not an id.
    #[error("`{id}` is no container id: 1 to 255 letters, digits, `_`, `+`, `-` and `.`")]
    Id {
        /// As asked for.
        id: String,
    },
    /// The container is not in a state for this.
    #[error("cannot {action} container `{id}`: it is {status}")]
    Status {
        /// What was asked for.
        action: &'static str,
        /// The container.
        id: String,
        /// What it is.
        status: Status,
    },
    /// A signal for a process that is gone. Callers look for these words.
    #[error("cannot kill container `{id}`: container not running")]
    NotRunning {
        /// The container.
        id: String,
    },
    /// The bundle asks for something wrong.
    #[error("`{}`: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the member's name.
        what: String,
    },
    /// The file is not of its format.
    #[error("`{}` is not what the OCI runtime specification describes", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// A file or directory.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was asked for on the command line contradicts the container.
    #[error("{0}")]
    Invalid(String),
    /// A descriptor to preserve is not there.
    #[error("--preserve-fds: descriptor {number} is not open")]
    Preserved {
        /// Its number.
        number: u32,
    },
    /// A limit that cannot be in force.
    #[error("limit `{limit}` of `linux.resources` cannot be set: {reason}")]
    Limit {
        /// Which.
        limit: String,
        /// Why not.
        reason: String,
    },
    /// Our own executable could be written to.
    #[error("cannot protect this executable against the container")]
    Seal {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A user namespace.
    #[error("cannot {action} the user namespace of the container")]
    UserNamespace {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A process would not end.
    #[error("container `{id}` does not end")]
    Lives {
        /// Which.
        id: String,
    },
    /// The program is not there. Callers look for these words.
    #[error(
        "executable file not found in $PATH or at its place: `{command}`: no such file or directory"
    )]
    Command {
        /// As asked for.
        command: String,
    },
    /// The runtime failed.
    #[error(transparent)]
    Runtime(RuntimeError),
    /// The cgroup failed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A record or lock failed.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<RuntimeError> for OciError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::CommandNotFound { command } => Self::Command { command },
            other => Self::Runtime(other),
        }
    }
}

impl OciError {
    /// The exit code of `run` and `exec`: 127 and 126 for the program itself, 1 for everything before it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Command { .. } => 127,
            Self::Runtime(RuntimeError::CommandNotExecutable { .. }) => 126,
            _ => 1,
        }
    }
}

impl Classify for OciError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::Command { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Status { .. } | Self::NotRunning { .. } => ErrorKind::Conflict,
            Self::Id { .. }
            | Self::Config { .. }
            | Self::Syntax { .. }
            | Self::Invalid(_)
            | Self::Preserved { .. } => ErrorKind::Invalid,
            Self::Limit { .. } => ErrorKind::Unsupported,
            Self::File { source, .. }
            | Self::UserNamespace { source, .. }
            | Self::Seal { source } => Classify::kind(source),
            Self::Lives { .. } => ErrorKind::Unavailable,
            Self::Runtime(source) => source.kind(),
            Self::Cgroup(source) => source.kind(),
            Self::State(source) => source.kind(),
        }
    }
}

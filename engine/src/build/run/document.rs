//! What the builder and the process of a `RUN` tell each other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::spec::{ExtraHost, Ulimit};

/// What the command is and what it sees.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunSpec {
    /// 64 hex digits.
    pub(super) id: String,
    pub(super) root: PathBuf,
    pub(super) run_dir: PathBuf,
    /// A directory for files of this run.
    pub(super) scratch: PathBuf,
    /// Topmost first.
    pub(super) lower: Vec<PathBuf>,
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) user: Option<String>,
    pub(super) hostname: String,
    pub(super) network: Network,
    /// Without isolation (`--security=insecure`).
    pub(super) insecure: bool,
    pub(super) extra_hosts: Vec<ExtraHost>,
    pub(super) mounts: Vec<RunMount>,
    pub(super) shm_size: Option<u64>,
    pub(super) ulimits: BTreeMap<String, Ulimit>,
    pub(super) cgroup_parent: Option<String>,
}

/// The network of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    /// Loopback only.
    None,
    /// The machine's.
    Host,
    /// A network of the engine.
    Named(String),
}

/// Whether a mount may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// Something mounted over the root, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum RunMount {
    /// A directory or file of the machine, or what is `below` it.
    Bind {
        source: PathBuf,
        below: String,
        target: String,
        access: Access,
    },
    /// Merged layers; `directory` has `at`, and `upper` and `work` when writes are allowed (and thrown away).
    Layers {
        lower: Vec<PathBuf>,
        directory: PathBuf,
        below: String,
        target: String,
        access: Access,
    },
    /// Memory.
    Tmpfs { target: String, size: Option<u64> },
    /// A file that is never on disk.
    File {
        target: String,
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

impl RunMount {
    /// Where it goes.
    pub(super) fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Layers { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::File { target, .. } => target,
        }
    }
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// With this code; 128 + n for signal n.
    Exited(i32),
    /// It never ran.
    Failed {
        kind: Kind,
        message: String,
        exit_code: Option<i32>,
    },
}

/// [`ErrorKind`] on its way through the socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    NotFound,
    Invalid,
    Unsupported,
    Unavailable,
    Internal,
}

impl From<Kind> for ErrorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::Invalid => Self::Invalid,
            Kind::Unsupported => Self::Unsupported,
            Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

impl From<ErrorKind> for Kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Invalid | ErrorKind::AlreadyExists | ErrorKind::Conflict => Self::Invalid,
            ErrorKind::Unsupported | ErrorKind::Permission => Self::Unsupported,
            ErrorKind::Unavailable | ErrorKind::Cancelled => Self::Unavailable,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

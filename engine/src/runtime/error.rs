//! What can go wrong between a specification and a running process.

use std::fmt;
use std::io;

use crate::cgroup::CgroupError;
use crate::error::{Classify, ErrorKind};
use crate::mount::MountError;
use crate::sys::process::Exit;

use super::hook::HookError;
use super::seccomp::SeccompError;

/// A failure of [`super::prepare`], [`super::exec`] or [`super::Parked::release`].
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The specification is contradictory or asks for what this runtime refuses by name.
    #[error("{what}")]
    Invalid {
        /// The member and why it is refused.
        what: String,
    },
    /// A step in our own process failed.
    #[error("cannot {what}")]
    Parent {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A step in the container's process failed before its program ran.
    #[error("{stage} failed for `{subject}`")]
    Setup {
        /// Which step.
        stage: Stage,
        /// The path, name or value the step worked on.
        subject: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The user or group is not one of the container's own files.
    #[error("unable to find {kind} `{name}`: no matching entry in the container's {file}")]
    NoSuchUser {
        /// `user` or `group`.
        kind: &'static str,
        /// As asked for.
        name: String,
        /// Where it was looked up.
        file: &'static str,
    },
    /// The program is not there: exit code 127.
    #[error("executable file `{command}` not found{}", if command.contains('/') { "" } else { " in $PATH" })]
    CommandNotFound {
        /// As asked for.
        command: String,
    },
    /// The program is there and cannot be executed: exit code 126.
    #[error("cannot execute `{command}`")]
    CommandNotExecutable {
        /// As asked for.
        command: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The process ended before it reported anything.
    #[error("the container's process ended during set-up ({exit})")]
    Vanished {
        /// How.
        exit: Exit,
    },
    /// Another runtime failed.
    #[error("`{program} {operation}` failed: {message}")]
    Foreign {
        /// Its program.
        program: String,
        /// What it was asked to do.
        operation: &'static str,
        /// In its own words.
        message: String,
    },
    /// A hook of the specification failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The system call filter is wrong.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// A mount is wrong.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The cgroup could not be entered.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

impl RuntimeError {
    /// The exit code `docker run` would give: 127 and 126 for the program itself, 125 for everything before it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandNotFound { .. } => 127,
            Self::CommandNotExecutable { .. } => 126,
            _ => 125,
        }
    }
}

impl Classify for RuntimeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::NoSuchUser { .. } => ErrorKind::Invalid,
            Self::CommandNotFound { .. } => ErrorKind::NotFound,
            Self::CommandNotExecutable { .. } => ErrorKind::Permission,
            Self::Parent { source, .. } | Self::Setup { source, .. } => Classify::kind(source),
            Self::Vanished { .. } | Self::Hook(_) | Self::Foreign { .. } => ErrorKind::Internal,
            Self::Seccomp(source) => source.kind(),
            Self::Mount(source) => source.kind(),
            Self::Cgroup(source) => source.kind(),
        }
    }
}

/// The steps between clone and execve, in the order of [`super::prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Joining the cgroup.
    Cgroup,
    /// Joining or making a namespace.
    Namespace,
    /// Making the root file system.
    Root,
    /// Mounting something below it.
    Mount,
    /// Device nodes and links.
    Device,
    /// Kernel parameters.
    Sysctl,
    /// Masked and read-only paths.
    Mask,
    /// pivot_root and leaving the old root.
    Pivot,
    /// Host and domain name.
    Hostname,
    /// Terminal and standard streams.
    Stdio,
    /// Resource limits, out-of-memory score.
    Limits,
    /// User, groups.
    User,
    /// Working directory.
    WorkingDir,
    /// Capabilities, no_new_privs, keyring, LSM label.
    Privileges,
    /// The system call filter.
    Seccomp,
    /// Our small init.
    Init,
    /// Finding and executing the program.
    Exec,
    /// Talking to the parent.
    Report,
}

impl Stage {
    pub(super) const ALL: [Self; 18] = [
        Self::Cgroup,
        Self::Namespace,
        Self::Root,
        Self::Mount,
        Self::Device,
        Self::Sysctl,
        Self::Mask,
        Self::Pivot,
        Self::Hostname,
        Self::Stdio,
        Self::Limits,
        Self::User,
        Self::WorkingDir,
        Self::Privileges,
        Self::Seccomp,
        Self::Init,
        Self::Exec,
        Self::Report,
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "joining the cgroup",
            Self::Namespace => "entering a namespace",
            Self::Root => "mounting the root file system",
            Self::Mount => "mounting",
            Self::Device => "making a device",
            Self::Sysctl => "setting a kernel parameter",
            Self::Mask => "protecting a path",
            Self::Pivot => "changing the root",
            Self::Hostname => "setting the host name",
            Self::Stdio => "connecting the standard streams",
            Self::Limits => "setting a limit",
            Self::User => "becoming the user",
            Self::WorkingDir => "entering the working directory",
            Self::Privileges => "setting privileges",
            Self::Seccomp => "loading the system call filter",
            Self::Init => "starting init",
            Self::Exec => "executing the program",
            Self::Report => "reporting to the parent",
        })
    }
}

/// Something asked for that this machine could not give, and that does not stop the start.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Warning {
    /// What was asked for.
    pub what: String,
    /// Why it is not so.
    pub why: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Where a profile or list came from, for messages.
pub(super) fn invalid(what: impl Into<String>) -> RuntimeError {
    RuntimeError::Invalid { what: what.into() }
}

pub(super) fn parent(what: impl Into<String>, source: impl Into<io::Error>) -> RuntimeError {
    RuntimeError::Parent {
        what: what.into(),
        source: source.into(),
    }
}

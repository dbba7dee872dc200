//! Exit codes, all of them.

use std::process::ExitCode;

use gantry_engine::error::ErrorKind;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Success,
    /// 1: something failed.
    Failure,
    /// 2: the command line cannot be understood.
    Usage,
    /// 130: interrupted with Ctrl-C.
    Interrupted,
    /// The code of the container's process that the user asked for (`run`, `exec`, `wait`,
    /// `up --exit-code-from`); 125, 126 and 127 mean what they mean in Docker.
    Child(u8),
}

impl Exit {
    /// What Docker's `run` and `exec` end with where it is not the program that failed.
    pub const BEFORE_RUN: u8 = 125;

    /// The number the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
            Self::Child(code) => code,
        }
    }

    /// The exit of a container's process, which may have been killed.
    #[must_use]
    pub fn of_child(code: i32) -> Self {
        Self::Child(u8::try_from(code & 0xff).unwrap_or(1))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict
            | ErrorKind::Invalid
            | ErrorKind::Unsupported
            | ErrorKind::Permission
            | ErrorKind::Unavailable
            | ErrorKind::Internal => Self::Failure,
        }
    }
}

//! System call filters: profiles in, classic BPF out.

use std::path::Path;

use crate::error::{Classify, ErrorKind};

/// Which filter a process gets.
#[derive(Clone, Copy, Debug)]
pub enum Seccomp<'a> {
    /// None.
    Unconfined,
    /// Docker's default profile, fitted to the process's capabilities.
    Default,
    /// This profile.
    Profile(&'a Profile),
}

/// A profile in Docker's JSON format.
#[derive(Clone, Debug)]
pub struct Profile {
    _private: (),
}

impl Profile {
    /// Reads a profile file.
    pub fn read(path: &Path) -> Result<Self, SeccompError> {
        Err(SeccompError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::Unsupported.into(),
        })
    }
}

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// The file cannot be read.
    #[error("cannot read seccomp profile `{}`", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a profile.
    #[error("seccomp profile is wrong: {what}")]
    Profile {
        /// What is wrong.
        what: String,
    },
}

impl Classify for SeccompError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => Classify::kind(source),
            Self::Profile { .. } => ErrorKind::Invalid,
        }
    }
}

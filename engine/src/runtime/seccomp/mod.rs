//! System call filters: profiles in, classic BPF out.

use std::path::Path;

use oci_spec::runtime::LinuxCapabilities;

use crate::error::{Classify, ErrorKind};
use crate::sys::seccomp::Instruction;

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

impl Seccomp<'_> {
    /// Whether anything is filtered.
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::Unconfined)
    }

    /// The filter for a process with these capabilities; empty for none.
    pub(super) fn compile(
        &self,
        capabilities: Option<&LinuxCapabilities>,
    ) -> Result<Vec<Instruction>, SeccompError> {
        let _ = capabilities;
        Ok(Vec::new())
    }
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

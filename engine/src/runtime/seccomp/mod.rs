//! System call filters: profiles in, classic BPF out.
//!
//! `profile` reads Docker's JSON format (the default profile is such a file, compiled in) and decides
//! which rules apply to a process with these capabilities on this kernel. `compile` turns the rules into a balanced tree of
//! number ranges: a tenth of the instructions libseccomp makes, and no library. `table` knows the numbers.

mod compile;
mod profile;
mod table;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxCapabilities, LinuxSeccomp};

use crate::error::{Classify, ErrorKind};
use crate::sys::seccomp::Instruction;

use profile::Machine;
pub use profile::{ACTIONS, FLAGS, OPERATORS, Profile};

use super::caps;

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

/// Docker's default profile.
const DEFAULT: &str = include_str!("default.json");

impl Seccomp<'_> {
    /// Whether anything is filtered.
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::Unconfined)
    }

    /// The filter in the specification's form, for other runtimes.
    pub(super) fn specification(
        &self,
        capabilities: Option<&LinuxCapabilities>,
    ) -> Result<Option<LinuxSeccomp>, SeccompError> {
        let read;
        let profile = match self {
            Self::Unconfined => return Ok(None),
            Self::Default => {
                read = Profile::parse(DEFAULT)?;
                &read
            }
            Self::Profile(profile) => profile,
        };
        let bounding = caps::bits(capabilities.and_then(|c| c.bounding().as_ref()));
        profile.specification(bounding, this_machine()).map(Some)
    }

    /// The filter for a process with these capabilities; empty for none.
    pub(super) fn compile(
        &self,
        capabilities: Option<&LinuxCapabilities>,
    ) -> Result<Vec<Instruction>, SeccompError> {
        let read;
        let profile = match self {
            Self::Unconfined => return Ok(Vec::new()),
            Self::Default => {
                read = Profile::parse(DEFAULT)?;
                &read
            }
            Self::Profile(profile) => profile,
        };
        let bounding = caps::bits(capabilities.and_then(|c| c.bounding().as_ref()));
        profile.compile(bounding, this_machine())
    }
}

/// The machine we run on.
fn this_machine() -> Machine {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    Machine {
        kernel: profile::version(&release).unwrap_or((0, 0)),
        x32: crate::sys::seccomp::has_x32(),
    }
}

impl Profile {
    /// Reads a profile file.
    pub fn read(path: &Path) -> Result<Self, SeccompError> {
        let failed = |source| SeccompError::Read {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text).map_err(|error| SeccompError::File {
            path: path.to_owned(),
            source: Box::new(error),
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
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's text is wrong.
    #[error("cannot use seccomp profile `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<SeccompError>,
    },
    /// The text is not a profile.
    #[error("seccomp profile is not in Docker's JSON format")]
    Syntax(#[from] serde_json::Error),
    /// It says something that we do not do.
    #[error("seccomp profile: {what}")]
    Profile {
        /// What is wrong.
        what: String,
    },
}

impl Classify for SeccompError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => source.kind(),
            Self::Read { source, .. } => Classify::kind(source),
            Self::Syntax(_) | Self::Profile { .. } => ErrorKind::Invalid,
        }
    }
}

//! What can go wrong with layers.

use std::io;
use std::path::PathBuf;

use crate::content::Digest;
use crate::error::{Classify, ErrorKind};

/// What can go wrong with layers.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// No layer of that chain id.
    #[error("no layer `{0}` in the store")]
    NotFound(Digest),
    /// The unpacked bytes are not what the image's configuration promises.
    #[error("layer should be `{expected}` but unpacks to `{actual}`")]
    Mismatch {
        /// Diff id promised.
        expected: Digest,
        /// Diff id found.
        actual: Digest,
    },
    /// The archive cannot be understood.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// The archive asks for something that is refused.
    #[error("the archive's entry `{entry}` is refused: {why}")]
    Refused {
        /// Its name, shortened.
        entry: String,
        /// Why.
        why: String,
    },
    /// A compression that layers cannot have.
    #[error("a layer with {0} compression is not supported; use gzip, zstd or none")]
    Compression(&'static str),
    /// Reading the archive failed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// Writing the archive failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// An entry could not be made.
    #[error("cannot unpack `{entry}`")]
    Unpack {
        /// Its name, shortened.
        entry: String,
        /// Why not.
        source: io::Error,
    },
    /// A layer's record cannot be read.
    #[error("the record `{}` is damaged", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl LayerError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn errno(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io {
            action,
            path,
            source: errno.into(),
        }
    }
}

impl Classify for LayerError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Mismatch { .. } | Self::Damaged(_) | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Compression(_) => ErrorKind::Unsupported,
            Self::Read(source) | Self::Write(source) => Classify::kind(source),
            Self::Unpack { source, .. } | Self::Io { source, .. } => Classify::kind(source),
            Self::Record { .. } => ErrorKind::Internal,
        }
    }
}

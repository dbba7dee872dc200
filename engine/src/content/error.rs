//! What can go wrong with blobs.

use std::io;
use std::path::PathBuf;

use super::Digest;
use crate::error::{Classify, ErrorKind};

/// What can go wrong with blobs.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// No blob of that digest.
    #[error("no content `{0}` in the store")]
    NotFound(Digest),
    /// The bytes are not what was promised.
    #[error("content should be `{expected}` but is `{actual}`")]
    Mismatch {
        /// What was asked for.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// Another number of bytes than promised.
    #[error("content `{digest}` should have {expected} bytes but has {actual}")]
    Size {
        /// Which content.
        digest: Digest,
        /// Bytes promised.
        expected: u64,
        /// Bytes there are, or were when it was given up.
        actual: u64,
    },
    /// More bytes than this kind of content may have.
    #[error("content `{digest}` has {size} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Which content.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
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

impl ContentError {
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
}

impl Classify for ContentError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Mismatch { .. } | Self::Size { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}

//! What can go wrong with registries.

use crate::content::{ContentError, Digest};
use crate::error::{Classify, ErrorKind};
use crate::image::ImageError;

/// What can go wrong with registries.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No event loop, no descriptors.
    #[error("no runtime for talking to registries")]
    Runtime {
        /// Why.
        source: std::io::Error,
    },
    /// The registry has no such image, or hides it.
    #[error("`{0}` does not exist in its registry, or may not be seen without logging in")]
    NotFound(String),
    /// Credentials are missing or wrong.
    #[error("registry `{host}` refuses access to `{name}`: {why}")]
    Denied {
        /// The registry.
        host: String,
        /// What was asked for.
        name: String,
        /// Its words.
        why: String,
    },
    /// It asks us to slow down, and kept doing so.
    #[error("registry `{0}` limits the rate of requests; try again later, or log in")]
    RateLimited(String),
    /// Any other answer that is no success.
    #[error("registry `{host}` answers {status} to {action}: {why}")]
    Status {
        /// The registry.
        host: String,
        /// HTTP status.
        status: u16,
        /// What was tried.
        action: String,
        /// Its words.
        why: String,
    },
    /// No answer.
    #[error("cannot reach registry `{host}`")]
    Unreachable {
        /// The registry.
        host: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The answer broke the protocol.
    #[error("registry `{host}` answers wrongly: {why}")]
    Protocol {
        /// The registry.
        host: String,
        /// How.
        why: String,
    },
    /// One layer of an image could not be brought.
    #[error("cannot get layer `{layer}` of `{image}`")]
    Layer {
        /// The layer's digest.
        layer: Digest,
        /// The image.
        image: String,
        /// Why not.
        source: Box<RegistryError>,
    },
    /// More bytes than were announced or are accepted.
    #[error("registry `{host}` sends more than the {limit} bytes of `{what}`")]
    TooLarge {
        /// The registry.
        host: String,
        /// Of what.
        what: String,
        /// Bytes expected.
        limit: u64,
    },
    /// The bytes are not those asked for.
    #[error("registry `{host}` sends content `{actual}` where `{expected}` was asked for")]
    Mismatch {
        /// The registry.
        host: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The client could not be made: certificates, proxies.
    #[error("cannot set up the connection to `{host}`: {why}")]
    Setup {
        /// The registry.
        host: String,
        /// Why not.
        why: String,
    },
    /// Docker's configuration or a helper program failed.
    #[error("cannot get credentials for `{host}`: {why}")]
    Credentials {
        /// The registry.
        host: String,
        /// Why not.
        why: String,
    },
    /// The image store.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Blobs.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A transfer's thread ended without a result.
    #[error("a transfer was abandoned")]
    Abandoned,
}

impl Classify for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Denied { .. } | Self::Credentials { .. } => ErrorKind::Permission,
            Self::RateLimited(_)
            | Self::Status { .. }
            | Self::Unreachable { .. }
            | Self::Setup { .. } => ErrorKind::Unavailable,
            Self::Protocol { .. } | Self::TooLarge { .. } | Self::Mismatch { .. } => {
                ErrorKind::Invalid
            }
            Self::Layer { source, .. } => source.kind(),
            Self::Image(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Abandoned | Self::Runtime { .. } => ErrorKind::Internal,
        }
    }
}

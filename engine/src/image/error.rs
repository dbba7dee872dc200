//! What can go wrong with images.

use std::io;
use std::path::PathBuf;

use super::ReferenceError;
use crate::content::{ContentError, Digest};
use crate::error::{Classify, ErrorKind};
use crate::layer::LayerError;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image of that name or id here.
    #[error("no such image: `{0}`")]
    NotFound(String),
    /// A short id that fits several images.
    #[error("`{id}` is the beginning of {count} image ids; give more digits")]
    Ambiguous {
        /// What was asked for.
        id: String,
        /// How many fit.
        count: usize,
    },
    /// The text is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The configuration is no JSON of that shape.
    #[error("the image's configuration cannot be read")]
    Config(#[source] serde_json::Error),
    /// The configuration is readable but not acceptable.
    #[error("the image's configuration is refused: {0}")]
    HostileConfig(String),
    /// The manifest is not acceptable.
    #[error("the image's manifest is refused: {0}")]
    Manifest(String),
    /// An index without a manifest for the platform.
    #[error("no image for platform `{wanted}` in the index, which has {available}")]
    NoPlatform {
        /// What was looked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// The platform itself is malformed.
    #[error("`{0}` is no platform: write `os/architecture[/variant]`, as in `linux/arm64`")]
    Platform(String),
    /// Configuration and layers do not fit together.
    #[error("the image's configuration names {named} layers but {given} were given")]
    LayerCount {
        /// In `rootfs.diff_ids`.
        named: usize,
        /// Layers or manifest entries.
        given: usize,
    },
    /// It is in use.
    #[error("image `{image}` is used by {by}")]
    InUse {
        /// Its name or short id.
        image: String,
        /// Containers, or other names.
        by: String,
    },
    /// The built-in image, or one made from it, cannot leave this machine.
    #[error(
        "image `{0}` cannot be {1}: its root is this machine's own file system, which no archive holds"
    )]
    HostBound(String, &'static str),
    /// This machine's root cannot be shown as an image.
    #[error("the `host` image cannot be made on this machine: {0}")]
    HostView(String),
    /// An archive that is no image archive.
    #[error("not an image archive: {0}")]
    Archive(String),
    /// A record in the store that cannot be read.
    #[error("the record `{}` is damaged", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: serde_json::Error,
    },
    /// A layer of the image is gone.
    #[error("image `{image}` lacks its layer `{layer}`; remove the image and pull it again")]
    MissingLayer {
        /// The image.
        image: Digest,
        /// The layer's chain id.
        layer: Digest,
    },
    /// Blobs.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
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

impl ImageError {
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

impl Classify for ImageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoPlatform { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. }
            | Self::Reference(_)
            | Self::Config(_)
            | Self::HostileConfig(_)
            | Self::Manifest(_)
            | Self::Platform(_)
            | Self::LayerCount { .. }
            | Self::Archive(_) => ErrorKind::Invalid,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::HostBound(..) | Self::HostView(_) => ErrorKind::Unsupported,
            Self::Record { .. } | Self::MissingLayer { .. } => ErrorKind::Internal,
            Self::Content(error) => error.kind(),
            Self::Layer(error) => error.kind(),
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}

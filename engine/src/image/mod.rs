//! What images are called, what they say, and which are here.
//!
//! Start with [`ImageStore`]. `reference` parses names, `config` and `manifest` read what
//! registries and archives deliver (hostile ones are refused), `refs` keeps names, `host` is the
//! built-in image, `load` and `save` read and write archives, `collect` removes, `verify` checks. Nothing here
//! knows a registry or a container: what a container uses is told by [`Roots`].

mod archive_writer;
mod archives;
mod assemble;
mod cached;
mod collect;
mod config;
mod error;
mod host;
mod lease;
mod list;
mod load;
mod manifest;
mod members;
mod platform;
mod progress;
mod reference;
mod refs;
mod save;
mod store;
#[cfg(test)]
mod tests;
mod variants;
mod verify;

pub(crate) use assemble::Staged;
pub use cached::{CachedStep, Emptied};
pub use collect::{Collected, Removed, Roots};
pub use config::{
    CONFIG_LIMIT, Empty, HealthConfig, History, ImageConfig, LAYER_LIMIT, RootFs, RunConfig,
};
pub use error::ImageError;
pub use host::HostBase;
pub use lease::Lease;
pub use load::LoadedImage;
pub use manifest::{Descriptor, Document, Index, MANIFEST_LIMIT, Manifest, media};
pub use platform::{Platform, architecture};
pub use progress::{ProgressSink, Transfer, TransferState, quiet};
pub use reference::{DEFAULT_HOST, Reference, ReferenceError, is_host_image};
pub use store::{Base, Image, ImageId, ImageStore, ImageSummary};
pub use variants::Variant;
pub(crate) use variants::index;
pub use verify::{Damage, Problem, Verified};

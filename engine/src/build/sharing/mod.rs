//! Caches that travel: what `--cache-to` writes and `--cache-from` reads.
//!
//! A shared cache is an OCI artifact: its configuration ([`document`]) says which step made which layer, its layers
//! are those of the steps. It lies in a registry or in a directory (an OCI layout); or the list is part of
//! an image's own configuration (`inline`), and the image's layers are the cache. `option` reads the flags, `export`
//! writes; `import` is asked when this machine's cache knows nothing, and brings single layers.
//!
//! Keys and layers are those of `cache` and `layer`, which mean the same on every machine. BuildKit's form is another
//! one: it describes BuildKit's own graph. Steps over the `host` image never leave the machine.

mod directory;
mod document;
mod export;
mod import;
mod option;

pub(super) use document::INLINE;
pub(super) use export::{export, inline};
pub(super) use import::Imports;
pub(super) use option::CacheTo;

use super::digest::Hash;
use crate::layer::Layer;

/// A step of a stage that made a layer, as the cache knows it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: Hash,
    pub(super) layer: Layer,
    /// When the layer was made, RFC 3339.
    pub(super) created: String,
    /// The step, for people.
    pub(super) name: String,
}

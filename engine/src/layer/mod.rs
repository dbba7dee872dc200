//! Tar archives to layer directories and back.
//!
//! A layer is a directory in overlayfs' form, named by its chain id. It is made in one
//! of two ways: [`unpack`] of an archive (each into its own directory, so layers unpack in
//! parallel), or [`LayerStore::commit`] of an upper directory, by rename. [`write_tar`] makes
//! the deterministic archive of a layer, whose digest is its diff id. A layer that differs little from
//! another on the same parent may be made *over* it ([`Kin::Over`]): then it has two directories,
//! and the other one stays as long as it does.
//!
//! Archives are hostile until proved otherwise. Refused: paths and hard links that leave the
//! directory, names over the kernel's limits, too many entries, too large headers, whiteouts
//! of nothing, unknown entry types. Dropped: overlayfs' own extended attributes and all but
//! `security.capability` and `user.*`. Start with [`LayerStore`].

mod checkpoints;
mod commit;
mod compression;
mod digest;
mod error;
mod extract;
pub(crate) mod holes;
pub(crate) mod merged;
mod store;
mod tar;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod unpack;
mod upper;
mod write;

use sha2::{Digest as _, Sha256};

pub use commit::Kin;
pub use compression::{Compression, Decoder};
pub use digest::digest_tree;
pub use error::LayerError;
pub use extract::{ExtractOptions, Extracted, extract};
pub use store::{Draft, Layer, LayerBlob, LayerStore, Over};
pub use tar::{Entry, Kind, Limits, Reader, TarTime, TarWriter};
pub(crate) use tar::{plain, plain_file};
pub(crate) use tree::fill;
pub use unpack::{Unpacked, fill_implied, unpack};
pub use upper::clamp_times;
pub use write::{TarOptions, write_tar, write_trees};

use crate::content::Digest;

/// Names a layer together with everything below it (image-spec `config.md`, "Layer ChainID").
pub type ChainId = Digest;
/// Digest of a layer's uncompressed archive.
pub type DiffId = Digest;

/// The chain id of a layer over `parent`.
pub fn chain_id(parent: Option<&ChainId>, diff: &DiffId) -> ChainId {
    match parent {
        None => *diff,
        Some(parent) => {
            let mut hasher = Sha256::new();
            hasher.update(format!("{parent} {diff}"));
            Digest::from_hasher(hasher)
        }
    }
}

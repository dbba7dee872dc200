//! Blobs by digest, below `<root>/blobs/sha256/<hex>`.
//!
//! A blob appears under its name only after every byte of it was hashed and written:
//! [`Ingest`] writes to `<root>/ingest/`, hashes while streaming, syncs, then renames.
//! A full disk or a killed process therefore leaves at most an ingest file, which
//! [`ContentStore::clear_ingests`] removes. Nothing is read here without a size limit,
//! and small blobs are hashed again when they are read. It does not know what blobs
//! mean; what may be removed is decided by `image`.

mod digest;
mod error;
mod ingest;
mod store;

pub use digest::{Digest, DigestError};
pub use error::ContentError;
pub use ingest::Ingest;
pub(crate) use ingest::random;
pub use store::ContentStore;

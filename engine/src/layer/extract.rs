//! A plain archive into an existing directory: `ADD archive.tar`, `cp`.
//!
//! As safe as layers, but whiteouts mean nothing here and compression is detected.

use std::io::Read;
use std::path::Path;

use super::tree::{Tree, clean};
use super::{Decoder, LayerError, Limits, Reader};

/// How to extract.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtractOptions {
    /// Give everything to this user and group instead of those in the archive.
    pub owner: Option<(u32, u32)>,
    /// What the ids of the archive count from, in place of 0: the root of a user namespace.
    pub first: Option<(u32, u32)>,
    /// What the archive may claim.
    pub limits: Limits,
    /// An archive without the mark of its end is damaged. Many writers leave it out.
    pub whole: bool,
}

/// What was extracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Entries.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// Extracts an archive, compressed or not, below `directory`. Symbolic links already there,
/// or brought by the archive, resolve inside it.
pub fn extract(
    archive: impl Read,
    directory: &Path,
    options: &ExtractOptions,
) -> Result<Extracted, LayerError> {
    let mut tree =
        Tree::open(directory, options.owner).map_err(LayerError::io("open", directory))?;
    tree.count_ids_from(options.first.unwrap_or_default());
    let decoder = Decoder::new(archive)?;
    let mut reader = Reader::new(
        std::io::BufReader::with_capacity(64 << 10, decoder),
        options.limits,
    );
    let mut done = Extracted::default();
    while let Some(entry) = reader.next()? {
        let path = clean(&entry.path)?;
        done.bytes += tree.place(&path, &entry, &mut reader)?;
        done.entries += 1;
    }
    if options.whole && !reader.is_whole() {
        return Err(LayerError::Damaged("its end is missing".to_owned()));
    }
    tree.finish()?;
    Ok(done)
}

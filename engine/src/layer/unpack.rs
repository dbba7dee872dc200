//! An image layer's archive to a directory in overlayfs' form.
//!
//! Whiteouts (`.wh.NAME`) become 0/0 character devices, opaque markers the opaque attribute.
//! They act on lower layers only, wherever they stand in the archive (image-spec `layer.md`).
//! A layer is unpacked without looking at what lies below, so layers unpack in parallel; what
//! needs the lower layers, directories that the archive uses but does not describe, is
//! remembered and completed by [`fill_implied`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::tar::{TarTime, show};
use super::tree::{Tree, clean, split};
use super::{DiffId, LayerError, Limits, Reader, merged};
use crate::content::Digest;

const PREFIX: &[u8] = b".wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// aufs' own files, which never were content.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// What unpacking found.
#[derive(Debug)]
pub struct Unpacked {
    /// Digest of the uncompressed archive.
    pub diff_id: DiffId,
    /// Bytes of regular files.
    pub size: u64,
    implied: BTreeSet<Vec<u8>>,
    hides_root: bool,
}

/// A reader that hashes what passes.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Unpacks an uncompressed archive into `directory`, which should be empty.
///
/// The archive is read to its end; the caller compares [`Unpacked::diff_id`] with what was
/// promised before it publishes the directory, and removes the directory on errors.
pub fn unpack(
    archive: impl Read,
    directory: &Path,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let mut tree = Tree::open(directory, None).map_err(LayerError::io("open", directory))?;
    // 64 KiB at a time: hashing and decompressing header by header would double their cost.
    let hashing = Hashing {
        inner: archive,
        hasher: Sha256::new(),
    };
    let mut reader = Reader::new(std::io::BufReader::with_capacity(64 << 10, hashing), limits);
    let mut size = 0;
    let mut hides_root = false;
    while let Some(entry) = reader.next()? {
        let path = clean(&entry.path)?;
        let (parent, name) = split(&path);
        if parent
            .split(|byte| *byte == b'/')
            .any(|part| part.starts_with(PREFIX))
        {
            return Err(LayerError::Refused {
                entry: show(&path),
                why: "a whiteout cannot be a directory".to_owned(),
            });
        }
        let unpack = |errno: Errno| LayerError::Unpack {
            entry: show(&path),
            source: errno.into(),
        };
        if name == OPAQUE_MARKER {
            if parent.is_empty() {
                hides_root = true;
            } else {
                tree.directory(parent)
                    .and_then(|_| tree.mark_opaque(parent))
                    .map_err(unpack)?;
            }
        } else if name.starts_with(AUFS_PREFIX) {
            continue;
        } else if let Some(hidden) = name.strip_prefix(PREFIX) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(LayerError::Refused {
                    entry: show(&path),
                    why: "it is a whiteout of nothing".to_owned(),
                });
            }
            white_out(&mut tree, parent, hidden).map_err(unpack)?;
        } else {
            size += tree.place(&path, &entry, &mut reader)?;
        }
    }
    // The same archive gives the same files, whenever it is unpacked.
    let implied = tree.finish_at(TarTime::default())?;
    let hashing = reader.finish()?.into_inner();
    Ok(Unpacked {
        diff_id: Digest::from_hasher(hashing.hasher),
        size,
        implied,
        hides_root,
    })
}

/// Hides a lower entry. What this layer itself has under the name stays.
fn white_out(tree: &mut Tree, parent: &[u8], name: &[u8]) -> Result<(), Errno> {
    let directory = tree.directory(parent)?;
    match rustix::fs::statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::mknodat(
            &*directory,
            name,
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        ),
        Err(error) => Err(error),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            let path = if parent.is_empty() {
                name.to_vec()
            } else {
                [parent, name].join(&b'/')
            };
            tree.mark_opaque(&path)
        }
        Ok(_) => Ok(()),
    }
}

/// Completes an unpacked directory from the layers below it, topmost first: directories that
/// the archive did not describe take the attributes they have there.
pub fn fill_implied(
    unpacked: &Unpacked,
    directory: &Path,
    lowers: &[PathBuf],
) -> Result<(), LayerError> {
    for path in &unpacked.implied {
        let relative = Path::new(OsStr::from_bytes(path));
        if let Some(found) = merged::lookup(lowers, relative)
            && found.metadata.is_dir()
        {
            merged::copy_attributes(&found.path, &directory.join(relative))?;
        }
    }
    if unpacked.hides_root {
        // overlayfs ignores the opaque attribute on a layer's root: hide entry by entry.
        let mut tree = Tree::open(directory, None).map_err(LayerError::io("open", directory))?;
        for name in merged::names(lowers)? {
            white_out(&mut tree, b"", &name)
                .map_err(LayerError::errno("white out in", directory))?;
        }
    }
    Ok(())
}

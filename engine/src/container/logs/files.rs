//! The files of a log: the present one and those before it, compressed or not.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::supervisor::log::packed;

/// A file that is, or will be, read.
pub(super) enum Opened {
    Plain(BufReader<File>),
    /// Unpacked when it is its turn.
    Packed(File),
}

impl Opened {
    /// Its lines.
    pub(super) fn plain(&mut self) -> io::Result<&mut BufReader<File>> {
        if let Self::Packed(file) = self {
            let unpacked = packed::unpack(file.try_clone()?)?;
            *self = Self::Plain(BufReader::new(unpacked));
        }
        match self {
            Self::Plain(file) => Ok(file),
            Self::Packed(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// One of the files of a log.
#[derive(PartialEq, Eq)]
pub(super) struct Listed {
    /// 0 is the present one.
    number: u32,
    pub(super) path: PathBuf,
    /// The inode that it had when it was written.
    pub(super) inode: u64,
    pub(super) packed: bool,
}

/// The present file and those before it, youngest first. Numbers may be missing: a supervisor killed amid a
/// rotation leaves a gap.
pub(super) fn list(log: &Path) -> io::Result<Vec<Listed>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let file = entry.file_name();
        let Some((number, packed)) = file
            .as_bytes()
            .strip_prefix(name.as_bytes())
            .and_then(numbered)
        else {
            continue;
        };
        let path = entry.path();
        let inode = match packed {
            true => packed::inode(&path),
            false => entry.metadata().map(|metadata| Some(metadata.ino())),
        };
        match inode {
            Ok(Some(inode)) => found.push(Listed {
                number,
                path,
                inode,
                packed,
            }),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable_by_key(|file| (file.number, file.packed));
    // A supervisor killed before it removed what it had compressed leaves both.
    found.dedup_by_key(|file| file.number);
    Ok(found)
}

/// What stands behind a log's name: the number, and whether the file is compressed.
fn numbered(rest: &[u8]) -> Option<(u32, bool)> {
    let Some(rest) = rest.strip_prefix(b".") else {
        return rest.is_empty().then_some((0, false));
    };
    let (digits, packed) = match rest.strip_suffix(b".gz") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, packed))
}

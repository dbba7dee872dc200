//! Tar archives as streams: reading ustar, PAX, GNU long names and GNU sparse files (old and PAX forms); writing
//! ustar with PAX records.
//!
//! Bounded in everything a header can claim. Only bytes are understood here; whether a path is acceptable is decided
//! by `tree` and `unpack`. The formats are those of POSIX.1-2017 pax and of GNU tar's manual. Begin with [`Reader`]
//! and [`TarWriter`].

mod field;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::Reader;
pub use writer::TarWriter;
pub(crate) use writer::{plain, plain_file};

use super::LayerError;

const BLOCK: usize = 512;

/// What an archive may claim.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of one extended header or long name.
    pub header: u64,
    /// Pieces of one sparse file.
    pub pieces: usize,
    /// Bytes of the whole uncompressed archive.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 8 << 20,
            header: 1 << 20,
            pieces: 1 << 17,
            bytes: 256 << 30,
        }
    }
}

/// A time stamp of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TarTime {
    /// Since 1970, rounded down.
    pub seconds: i64,
    /// Of the second.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an entry before it.
    HardLink(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One entry's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: TarTime,
    /// Size of the file once unpacked.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Offset and length of each piece that has data, when the file is sparse.
    pub sparse: Option<Vec<(u64, u64)>>,
}

fn damaged(why: impl Into<String>) -> LayerError {
    LayerError::Damaged(why.into())
}

/// A hostile name for a message.
pub(in crate::layer) fn show(path: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(path)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

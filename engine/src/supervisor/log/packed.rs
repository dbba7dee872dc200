//! Former log files, compressed. The header of each keeps the inode that the file had, by which a reader that has read
//! it knows it again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

/// A file on its way: it is compressed piece by piece, beside what is written to its successor, because the supervisor
/// has one thread.
#[derive(Debug)]
pub struct Packing {
    plain: PathBuf,
    part: PathBuf,
    packed: PathBuf,
    from: File,
    to: GzEncoder<File>,
}

impl Packing {
    /// Begins with `plain`, which `packed` takes the place of in the end; `part` is what nobody reads.
    pub fn begin(plain: PathBuf, part: PathBuf, packed: PathBuf) -> io::Result<Self> {
        let from = File::open(&plain)?;
        let metadata = from.metadata()?;
        let to = File::create(&part)?;
        to.set_permissions(metadata.permissions())?;
        let to = GzBuilder::new()
            .extra(metadata.ino().to_le_bytes())
            .write(to, Compression::fast());
        Ok(Self {
            plain,
            part,
            packed,
            from,
            to,
        })
    }

    /// Takes up to so many bytes more; whether that was all.
    pub fn advance(&mut self, bytes: u64) -> io::Result<bool> {
        let taken = io::copy(&mut (&self.from).take(bytes), &mut self.to)?;
        if taken == bytes {
            return Ok(false);
        }
        self.to.try_finish()?;
        self.to.get_ref().sync_data()?;
        fs::rename(&self.part, &self.packed)?;
        fs::remove_file(&self.plain)?;
        Ok(true)
    }
}

/// The inode that a compressed file had; nothing when it is no such file.
pub fn inode(path: &Path) -> io::Result<Option<u64>> {
    let packed = GzDecoder::new(File::open(path)?);
    let extra = packed.header().and_then(|header| header.extra());
    let bytes = extra.and_then(|extra| extra.try_into().ok());
    Ok(bytes.map(u64::from_le_bytes))
}

/// Its content, in a file that nobody else sees.
pub fn unpack(packed: File) -> io::Result<File> {
    let unpacked = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut unpacked = File::from(unpacked);
    io::copy(&mut GzDecoder::new(packed), &mut unpacked)?;
    unpacked.flush()?;
    io::Seek::rewind(&mut unpacked)?;
    Ok(unpacked)
}

//! Holes of sparse files: what is only zeros takes no room on disk.
//!
//! Archives of layers hold the zeros (their digests must not depend on how a file lies on a disk), so holes are
//! found again when files are written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use rustix::io::Errno;

/// What file systems allocate: shorter runs of zeros are no holes.
const BLOCK: u64 = 4096;
const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// Writes bytes at a place of a new file, without the blocks that are zeros. Whoever wrote all sets the file's size
/// ([`rustix::fs::ftruncate`]) if this was ever `true`: something was left out.
pub(crate) fn write_at(file: impl AsFd, bytes: &[u8], at: u64) -> Result<bool, Errno> {
    let mut left_out = false;
    // What is to be written and has not been.
    let (mut start, mut end) = (0, 0);
    while end < bytes.len() {
        let place = at + end as u64;
        let room = usize::try_from(BLOCK - place % BLOCK).unwrap_or(usize::MAX);
        let block = &bytes[end..bytes.len().min(end + room)];
        if *block == ZEROS[..block.len()] {
            write_all(&file, &bytes[start..end], at + start as u64)?;
            left_out = true;
            start = end + block.len();
        }
        end += block.len();
    }
    write_all(&file, &bytes[start..end], at + start as u64)?;
    Ok(left_out)
}

fn write_all(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let count = rustix::io::pwrite(&file, bytes, at)?;
        at += count as u64;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Copies a file that has holes into an empty one, only what is between them.
pub(crate) fn copy(mut from: &File, mut to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    for (start, end) in segments(from, size)? {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        io::copy(&mut from.take(end - start), &mut to)?;
    }
    to.set_len(size)
}

/// Where a file has data: beginnings and ends.
pub(crate) fn segments(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    use rustix::fs::{SeekFrom, seek};
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            start => start?,
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        segments.push((start, end));
        at = end;
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_wherever_writes_begin() {
        let data = |length: usize| vec![7; length];
        let zeros = |length: usize| vec![0; length];
        let whole = [data(5000), zeros(20_000), data(1), zeros(9000)].concat();
        for step in [1, 100, 4096, 7000, 100_000] {
            let mut file = tempfile::tempfile_in("/var/tmp").unwrap();
            for (number, piece) in whole.chunks(step).enumerate() {
                write_at(&file, piece, (number * step) as u64).unwrap();
            }
            file.set_len(whole.len() as u64).unwrap();
            let mut read = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut read).unwrap();
            assert!(read == whole, "{step}");
            let copied = tempfile::tempfile_in("/var/tmp").unwrap();
            copy(&file, &copied).unwrap();
            let size = whole.len() as u64;
            let there = segments(&file, size).unwrap();
            assert_eq!(segments(&copied, size).unwrap(), there);
            // A file system without holes has one segment; then nothing can be said.
            if step >= 4096 && there.len() > 1 {
                assert_eq!(there, [(0, 8192), (24_576, 28_672)], "{step}");
            }
        }
    }
}

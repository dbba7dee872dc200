//! How far a pipe's content has got into the log, so that a successor neither loses nor repeats a line.
//!
//! A batch goes: journal says what is about to happen, entries into the file, bytes out of the pipe,
//! journal says idle. A process killed in between leaves the announcement: the file's size tells whether
//! the entries are in, and the bytes at the pipe's head whether they are still there.
//! The beginning of a line, taken from the pipe before its end has come, is kept here too.
//! The file lives on tmpfs; writes to it survive the process, which is all that is asked.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::json::PIECE;

/// Header: state, slot, then five numbers.
const HEAD: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"gntrylg1");

/// What is about to happen to one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The log file's size before it.
    pub offset: u64,
    /// Bytes of entries.
    pub entries: u64,
    /// Bytes to be taken from the pipe.
    pub taken: u64,
    /// Their hash.
    pub hash: u64,
}

/// The journal of one pipe.
#[derive(Debug)]
pub struct Journal {
    file: File,
    slot: u64,
}

/// What a predecessor left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The beginning of a line, as it was before the unfinished batch.
    pub before: Vec<u8>,
    /// The unfinished batch, and the beginning of a line as it is after it.
    pub unfinished: Option<(Batch, Vec<u8>)>,
}

impl Journal {
    /// Opens it, and reads what a predecessor left.
    pub fn open(path: &Path) -> io::Result<(Self, Left)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut journal = Self { file, slot: 0 };
        let left = journal.read()?;
        Ok((journal, left))
    }

    fn read(&mut self) -> io::Result<Left> {
        let mut head = [0; HEAD];
        if self.file.read_at(&mut head, 0)? < HEAD {
            return Ok(Left::default());
        }
        let number = |index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[index * 8..index * 8 + 8]);
            u64::from_le_bytes(bytes)
        };
        if number(0) != MAGIC {
            return Ok(Left::default());
        }
        self.slot = number(2) & 1;
        let before = self.slot_content(self.slot)?;
        let unfinished = if number(1) == 1 {
            let batch = Batch {
                offset: number(3),
                entries: number(4),
                taken: number(5),
                hash: number(6),
            };
            Some((batch, self.slot_content(self.slot ^ 1)?))
        } else {
            None
        };
        Ok(Left { before, unfinished })
    }

    fn slot_content(&self, slot: u64) -> io::Result<Vec<u8>> {
        let start = HEAD as u64 + slot * (PIECE as u64 + 8);
        let mut length = [0; 8];
        if self.file.read_at(&mut length, start)? < 8 {
            return Ok(Vec::new());
        }
        let length = (u64::from_le_bytes(length) as usize).min(PIECE);
        let mut content = vec![0; length];
        self.file.read_exact_at(&mut content, start + 8)?;
        Ok(content)
    }

    /// Announces a batch, after which the beginning of a line is `after`.
    pub fn begin(&mut self, batch: Batch, after: &[u8]) -> io::Result<()> {
        let start = HEAD as u64 + (self.slot ^ 1) * (PIECE as u64 + 8);
        let after = &after[..after.len().min(PIECE)];
        let mut slot = Vec::with_capacity(8 + after.len());
        slot.extend_from_slice(&(after.len() as u64).to_le_bytes());
        slot.extend_from_slice(after);
        self.file.write_all_at(&slot, start)?;
        self.write_head(1, Some(batch))
    }

    /// The announced batch is done.
    pub fn done(&mut self) -> io::Result<()> {
        self.slot ^= 1;
        self.write_head(0, None)
    }

    /// The announced batch did not happen.
    pub fn undone(&mut self) -> io::Result<()> {
        self.write_head(0, None)
    }

    fn write_head(&self, state: u64, batch: Option<Batch>) -> io::Result<()> {
        let batch = batch.unwrap_or(Batch {
            offset: 0,
            entries: 0,
            taken: 0,
            hash: 0,
        });
        let numbers = [
            MAGIC,
            state,
            self.slot,
            batch.offset,
            batch.entries,
            batch.taken,
            batch.hash,
            0,
        ];
        let mut head = [0; HEAD];
        for (place, number) in head.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.file.write_all_at(&head, 0)
    }
}

/// FNV-1a: tells one batch from another; nobody gains by forging it.
pub fn hash(bytes: &[u8]) -> u64 {
    // Eight bytes a step: a batch may be 64 KiB, many thousand times a second.
    let mut state = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = (state ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        state ^= state >> 29;
    }
    for &byte in chunks.remainder() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_survives_and_both_beginnings_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let batch = |taken| Batch {
            offset: 1,
            entries: 2,
            taken,
            hash: 4,
        };
        let (mut journal, left) = Journal::open(&path).unwrap();
        assert_eq!(left, Left::default());
        journal.begin(batch(1), b"first").unwrap();
        journal.done().unwrap();
        journal.begin(batch(2), b"second").unwrap();
        drop(journal);
        let (mut journal, left) = Journal::open(&path).unwrap();
        assert_eq!(left.before, b"first");
        assert_eq!(left.unfinished, Some((batch(2), b"second".to_vec())));
        journal.undone().unwrap();
        let (_, left) = Journal::open(&path).unwrap();
        assert_eq!((left.before, left.unfinished), (b"first".to_vec(), None));
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_without_panic(bytes: Vec<u8>) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("journal");
            std::fs::write(&path, bytes).unwrap();
            let _ = Journal::open(&path);
        }
    }
}

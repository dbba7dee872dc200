//! The digest of a layer's archive, without the archive: it is hashed while it is made.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;

use sha2::{Digest as _, Sha256};

use super::write::{TarOptions, write_merged};
use super::{DiffId, LayerError};
use crate::content::Digest;

const PIPE_CHUNK: usize = 256 << 10;
const PIPE_DEPTH: usize = 4;

/// The digest of the archive of directories merged as [`write_merged`] does, and the bytes of its
/// regular files.
pub(super) fn digest_merged<P: AsRef<Path>>(
    directories: &[P],
    options: &TarOptions,
) -> Result<(DiffId, u64), LayerError> {
    let (sent, received) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH);
    let (back, spare) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH + 2);
    std::thread::scope(|scope| {
        // Reading and hashing take about as long as each other: they take turns on no core.
        let hashing = scope.spawn(move || {
            let mut hasher = Sha256::new();
            for bytes in received {
                hasher.update(&bytes);
                let _ = back.try_send(bytes);
            }
            Digest::from_hasher(hasher)
        });
        let mut pipe = Pipe {
            filling: Vec::with_capacity(PIPE_CHUNK),
            sent,
            spare,
        };
        let written = write_merged(directories, &mut pipe, options);
        let flushed = pipe.flush();
        drop(pipe);
        let digest = hashing
            .join()
            .map_err(|_| LayerError::Read(io::Error::other("the hashing thread ended")))?;
        flushed.map_err(LayerError::Write)?;
        Ok((digest, written?))
    })
}

/// The digest of the archive of one directory, and the bytes of its regular files.
pub fn digest_tree(directory: &Path, options: &TarOptions) -> Result<(DiffId, u64), LayerError> {
    digest_merged(&[directory], options)
}

/// Collects small writes into chunks for the thread that hashes them.
struct Pipe {
    filling: Vec<u8>,
    sent: mpsc::SyncSender<Vec<u8>>,
    /// Chunks that came back, to be filled again.
    spare: mpsc::Receiver<Vec<u8>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filling.extend_from_slice(bytes);
        if self.filling.len() >= PIPE_CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut next = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIPE_CHUNK));
        next.clear();
        let full = std::mem::replace(&mut self.filling, next);
        self.sent
            .send(full)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

//! The digest of a layer's archive, without the archive: it is hashed while it is made.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc;

use sha2::{Digest as _, Sha256};

use super::checkpoints::{Checkpoints, Fingerprint, FingerprintChain};
use super::write::{Sink, TarOptions, write_to};
use super::{DiffId, LayerError};
use crate::content::Digest;

const PIPE_CHUNK: usize = 256 << 10;
const PIPE_DEPTH: usize = 4;

/// The digest of the archive of one directory, and the bytes of its regular files.
pub fn digest_tree(directory: &Path, options: &TarOptions) -> Result<(DiffId, u64), LayerError> {
    let done = hash(&[directory], options, None)?;
    done.ok_or_else(|| LayerError::Read(io::Error::other("the archive has no beginning")))
}

/// The digest of the archive of directories merged as [`super::write::write_merged`] does, and the bytes of its
/// regular files. What `known` knows of it is not read; afterwards it knows this archive.
pub(super) fn digest_merged<P: AsRef<Path>>(
    directories: &[P],
    options: &TarOptions,
    known: &mut Checkpoints,
) -> Result<(DiffId, u64), LayerError> {
    if let Some(done) = hash(directories, options, Some(known))? {
        return Ok(done);
    }
    // Something in it is damaged.
    *known = Checkpoints::default();
    let done = hash(directories, options, Some(known))?;
    done.ok_or_else(|| LayerError::Read(io::Error::other("the archive has no beginning")))
}

/// One attempt; nothing when the checkpoint to begin at is damaged.
fn hash<P: AsRef<Path>>(
    directories: &[P],
    options: &TarOptions,
    mut known: Option<&mut Checkpoints>,
) -> Result<Option<(DiffId, u64)>, LayerError> {
    let (sent, received) = mpsc::sync_channel::<Chunk>(PIPE_DEPTH);
    let (back, spare) = mpsc::sync_channel::<Vec<u8>>(PIPE_DEPTH + 2);
    let (done, new, first) = std::thread::scope(|scope| {
        // Reading and hashing take about as long as each other: they take turns on no core.
        let hashing = scope.spawn(move || consume(received, &back));
        let mut pipe = Pipe {
            filling: Chunk::default(),
            known: known.as_deref(),
            same: known.is_some(),
            chain: FingerprintChain::default(),
            number: 0,
            first: 0,
            damaged: false,
            sent,
            spare,
        };
        let written = write_to(directories, &mut pipe, options);
        let flushed = pipe.flush();
        let (damaged, first) = (pipe.damaged, pipe.first);
        drop(pipe);
        let (digest, new) = hashing
            .join()
            .map_err(|_| LayerError::Read(io::Error::other("the hashing thread ended")))?;
        if damaged {
            return Ok((None, new, first));
        }
        flushed.map_err(LayerError::Write)?;
        Ok::<_, LayerError>((Some((digest, written?)), new, first))
    })?;
    if let (Some(known), Some(_)) = (&mut known, &done) {
        known.truncate(first);
        for (chain, state) in &new {
            known.push(*chain, state);
        }
    }
    Ok(done)
}

/// Hashes chunks as they come and sends them back, to be filled again. Gives where the digest stood, too.
fn consume(
    received: mpsc::Receiver<Chunk>,
    back: &mpsc::SyncSender<Vec<u8>>,
) -> (Digest, Vec<(FingerprintChain, Sha256)>) {
    let (mut hasher, mut stood) = (Sha256::new(), Vec::new());
    for chunk in received {
        if let Some(state) = chunk.state {
            hasher = *state;
        }
        let mut done = 0;
        for (mark, chain) in chunk.marks {
            hasher.update(&chunk.bytes[done..mark]);
            done = mark;
            stood.push((chain, hasher.clone()));
        }
        hasher.update(&chunk.bytes[done..]);
        let _ = back.try_send(chunk.bytes);
    }
    (Digest::from_hasher(hasher), stood)
}

/// A piece of the archive.
#[derive(Default)]
struct Chunk {
    /// What stands in for everything before it.
    state: Option<Box<Sha256>>,
    bytes: Vec<u8>,
    /// Where members begin in it, and what those before come to.
    marks: Vec<(usize, FingerprintChain)>,
}

/// Collects small writes into chunks for the thread that hashes them.
struct Pipe<'c> {
    filling: Chunk,
    known: Option<&'c Checkpoints>,
    /// Every member so far is known.
    same: bool,
    /// What the members so far come to.
    chain: FingerprintChain,
    number: usize,
    /// The first that is not known.
    first: usize,
    /// The checkpoint to begin at cannot be used.
    damaged: bool,
    sent: mpsc::SyncSender<Chunk>,
    /// Chunks that came back, to be filled again.
    spare: mpsc::Receiver<Vec<u8>>,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filling.bytes.extend_from_slice(bytes);
        if self.filling.bytes.len() >= PIPE_CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut bytes = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIPE_CHUNK));
        bytes.clear();
        let next = Chunk {
            bytes,
            ..Chunk::default()
        };
        let full = std::mem::replace(&mut self.filling, next);
        self.sent
            .send(full)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Pipe<'_> {
    /// What follows is hashed.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.same) && self.number > 0 {
            let state = self.known.and_then(|known| known.state(self.number));
            self.damaged = state.is_none();
            self.filling.state = state.map(Box::new);
            self.first = self.number;
        }
        match self.damaged {
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(()),
        }
    }

    fn mark(&mut self) {
        let place = self.filling.bytes.len();
        self.filling.marks.push((place, self.chain));
    }
}

impl Sink for Pipe<'_> {
    fn compares(&self) -> bool {
        self.known.is_some()
    }

    fn member(&mut self, fingerprint: &Fingerprint) -> io::Result<bool> {
        let chain = self.chain.with(fingerprint);
        let is_known = |known: &Checkpoints| known.knows(self.number + 1, chain);
        self.same = self.same && self.known.is_some_and(is_known) || {
            self.begin()?;
            self.mark();
            false
        };
        self.chain = chain;
        self.number += 1;
        Ok(!self.same)
    }

    fn end(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.known.is_some() {
            self.mark();
        }
        Ok(())
    }
}

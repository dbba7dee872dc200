//! Content on its way into the store.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use super::{ContentError, Digest};

/// Bytes being received: hashed while they are written, invisible until [`Ingest::commit`].
///
/// Dropped without a commit, an anonymous ingest removes its file; a resumable one
/// leaves it for the next attempt.
pub struct Ingest {
    file: Option<File>,
    path: PathBuf,
    blobs: PathBuf,
    hasher: Sha256,
    written: u64,
    keep: bool,
}

impl Ingest {
    /// A fresh file nobody else can name.
    pub(super) fn anonymous(directory: &Path, blobs: &Path) -> Result<Self, ContentError> {
        loop {
            let path = directory.join(format!("{:016x}", random()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self::over(file, path, blobs, false)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ContentError::io("create", path)(error)),
            }
        }
    }

    /// The file kept for `digest`, with what an earlier attempt left in it. `None` when
    /// another process is receiving the same content now.
    pub(super) fn resumable(
        directory: &Path,
        blobs: &Path,
        digest: &Digest,
    ) -> Result<Option<Self>, ContentError> {
        let path = directory.join(format!("{}.partial", digest.hex()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(ContentError::io("create", &path))?;
        // The lock ends with the process, however that ends.
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        // Its former owner may have committed or removed it between our open and lock.
        if !same_file(&file, &path) {
            return Ok(None);
        }
        let mut hasher = Sha256::new();
        let mut written = 0;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file
                .read(&mut buffer)
                .map_err(ContentError::io("read", &path))?
            {
                0 => break,
                count => {
                    hasher.update(&buffer[..count]);
                    written += count as u64;
                }
            }
        }
        let mut ingest = Self::over(file, path, blobs, true);
        ingest.hasher = hasher;
        ingest.written = written;
        Ok(Some(ingest))
    }

    fn over(file: File, path: PathBuf, blobs: &Path, keep: bool) -> Self {
        Self {
            file: Some(file),
            path,
            blobs: blobs.to_owned(),
            hasher: Sha256::new(),
            written: 0,
            keep,
        }
    }

    /// Bytes received so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The digest of what was received so far.
    pub fn digest(&self) -> Digest {
        Digest::from_hasher(self.hasher.clone())
    }

    /// The file being written. Its bytes up to [`Ingest::written`] may be read again.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets everything received: the sender starts over.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        if let Some(file) = &mut self.file {
            file.set_len(0)
                .and_then(|()| file.seek(SeekFrom::Start(0)))
                .map_err(ContentError::io("truncate", &self.path))?;
        }
        self.hasher = Sha256::new();
        self.written = 0;
        Ok(())
    }

    /// Drops the file even when it could be resumed: its bytes proved wrong.
    pub fn discard(mut self) {
        self.keep = false;
    }

    /// Makes the content visible under its digest, which must be `expected` if given.
    /// The bytes are on disk when this returns.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<Digest, ContentError> {
        let actual = Digest::from_hasher(std::mem::take(&mut self.hasher));
        if let Some(expected) = expected
            && *expected != actual
        {
            self.keep = false;
            return Err(ContentError::Mismatch {
                expected: *expected,
                actual,
            });
        }
        let target = self.blobs.join(actual.hex());
        if target.exists() {
            self.keep = false;
            return Ok(actual);
        }
        if let Some(file) = &self.file {
            rustix::fs::fdatasync(file)
                .map_err(|errno| ContentError::io("sync", &self.path)(errno.into()))?;
        }
        fs::rename(&self.path, &target).map_err(ContentError::io("rename", &self.path))?;
        self.file = None;
        Ok(actual)
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self
            .file
            .as_mut()
            .ok_or_else(|| io::Error::other("the ingest is over"))?;
        let count = file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if self.file.is_some() && !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

/// A number for a temporary name. Collisions are found by `create_new`.
pub(crate) fn random() -> u64 {
    match crate::sys::random() {
        Ok(bytes) => u64::from_ne_bytes(bytes),
        Err(_) => {
            let time = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
            u64::from(std::process::id()) << 32 | u64::from(time)
        }
    }
}

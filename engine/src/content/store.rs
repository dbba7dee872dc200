//! The blob directory.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use super::{ContentError, Digest, Ingest};

/// The blob directory of one engine root. Cheap to clone and to open.
#[derive(Clone, Debug)]
pub struct ContentStore {
    blobs: PathBuf,
    ingests: PathBuf,
}

impl ContentStore {
    /// Opens the store below the engine's root, making its directories.
    pub fn open(root: &Path) -> Result<Self, ContentError> {
        let store = Self {
            blobs: root.join("blobs/sha256"),
            ingests: root.join("ingest"),
        };
        for directory in [&store.blobs, &store.ingests] {
            fs::create_dir_all(directory).map_err(ContentError::io("create", directory))?;
        }
        Ok(store)
    }

    /// Where a blob lies, or would.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Its size in bytes.
    pub fn size(&self, digest: &Digest) -> Result<u64, ContentError> {
        Ok(self.open_blob(digest)?.1)
    }

    /// Opens a blob for streaming; gives its size too. The reader verifies it while it reads.
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64), ContentError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ContentError::NotFound(*digest));
            }
            Err(error) => return Err(ContentError::io("open", path)(error)),
        };
        let size = file
            .metadata()
            .map_err(ContentError::io("stat", path))?
            .len();
        Ok((file, size))
    }

    /// Reads a small blob (manifest, configuration) and verifies it again.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let (file, size) = self.open_blob(digest)?;
        if size > limit {
            return Err(ContentError::TooLarge {
                digest: *digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(ContentError::io("read", self.path(digest)))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(ContentError::Mismatch {
                expected: *digest,
                actual,
            });
        }
        Ok(bytes)
    }

    /// Begins to receive content of unknown digest.
    pub fn ingest(&self) -> Result<Ingest, ContentError> {
        Ingest::anonymous(&self.ingests, &self.blobs)
    }

    /// Begins or continues to receive `digest`. `None` when another process does so now.
    pub fn resume(&self, digest: &Digest) -> Result<Option<Ingest>, ContentError> {
        Ingest::resumable(&self.ingests, &self.blobs, digest)
    }

    /// Stores bytes at hand.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            return Ok(digest);
        }
        let mut ingest = self.ingest()?;
        ingest
            .write_all(bytes)
            .map_err(ContentError::io("write", self.path(&digest)))?;
        ingest.commit(Some(&digest))
    }

    /// Removes a blob; one that is not there is no error. Gives the bytes freed.
    pub fn remove(&self, digest: &Digest) -> Result<u64, ContentError> {
        let path = self.path(digest);
        let size = fs::metadata(&path).map(|data| data.len()).unwrap_or(0);
        match fs::remove_file(&path) {
            Ok(()) => Ok(size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(ContentError::io("remove", path)(error)),
        }
    }

    /// Every blob there is.
    pub fn list(&self) -> Result<Vec<Digest>, ContentError> {
        let mut digests = Vec::new();
        for entry in fs::read_dir(&self.blobs).map_err(ContentError::io("list", &self.blobs))? {
            let entry = entry.map_err(ContentError::io("list", &self.blobs))?;
            if let Some(digest) = entry
                .file_name()
                .to_str()
                .and_then(|name| Digest::from_hex(name).ok())
            {
                digests.push(digest);
            }
        }
        digests.sort();
        Ok(digests)
    }

    /// Removes ingest files untouched for `age` that no process holds. Gives the bytes freed.
    pub fn clear_ingests(&self, age: Duration) -> Result<u64, ContentError> {
        let mut freed = 0;
        for entry in fs::read_dir(&self.ingests).map_err(ContentError::io("list", &self.ingests))? {
            let path = entry
                .map_err(ContentError::io("list", &self.ingests))?
                .path();
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let Ok(data) = file.metadata() else { continue };
            let idle = data
                .modified()
                .ok()
                .and_then(|time| SystemTime::now().duration_since(time).ok());
            let held = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err();
            if !held && idle.is_some_and(|idle| idle >= age) && fs::remove_file(&path).is_ok() {
                freed += data.len();
            }
        }
        Ok(freed)
    }
}

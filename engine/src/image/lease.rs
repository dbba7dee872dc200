//! Content that must survive although no image names it yet: pulls and builds in progress.
//!
//! A lease is a locked file below `<root>/leases` with one digest a line. The lock ends with its
//! process, so a killed one protects nothing. Collection takes the store's lock exclusively;
//! [`Lease::protect`] takes it shared for a moment: nothing waits for a pull.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::ImageError;
use crate::content::Digest;
use crate::layer::{ChainId, LayerError};

/// Protects digests (of layers' chains, blobs, images) from collection while it lives.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
    lock: PathBuf,
}

/// The store's lock, until dropped.
#[derive(Debug)]
pub(super) struct StoreLock(#[expect(dead_code, reason = "holds the lock")] File);

/// Takes the store's lock.
pub(super) fn lock(path: &Path, operation: FlockOperation) -> Result<StoreLock, ImageError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ImageError::io("open", path))?;
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(StoreLock(file)),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(ImageError::io("lock", path)(errno.into())),
        }
    }
}

impl Lease {
    pub(super) fn take(directory: &Path, store_lock: &Path) -> Result<Self, ImageError> {
        fs::create_dir_all(directory).map_err(ImageError::io("create", directory))?;
        // Under the shared lock, so that no collection sees the file before it is locked.
        let _shared = lock(store_lock, FlockOperation::LockShared)?;
        let path = directory.join(format!("{:016x}", crate::content::random()));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(ImageError::io("create", &path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| ImageError::io("lock", &path)(errno.into()))?;
        Ok(Self {
            file,
            path,
            lock: store_lock.to_owned(),
        })
    }

    /// Protects one more. Look whether the content exists only afterwards.
    pub fn protect(&self, digest: &Digest) -> Result<(), ImageError> {
        let _shared = lock(&self.lock, FlockOperation::LockShared)?;
        (&self.file)
            .write_all(format!("{digest}\n").as_bytes())
            .map_err(ImageError::io("write", &self.path))
    }

    /// The same for a layer that is about to be made.
    pub fn claim(&self, chain: &ChainId) -> Result<(), LayerError> {
        self.protect(chain)
            .map_err(|error| LayerError::io("protect", &self.path)(std::io::Error::other(error)))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What live leases protect; dead ones are removed. The caller holds the lock exclusively.
pub(super) fn protected(directory: &Path) -> Result<Vec<Digest>, ImageError> {
    let mut digests = Vec::new();
    for (path, mut file) in held(directory)? {
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(ImageError::io("read", &path))?;
        digests.extend(text.lines().filter_map(|line| line.parse::<Digest>().ok()));
    }
    Ok(digests)
}

/// Live leases; dead ones are removed. The caller holds the lock exclusively.
pub(super) fn held(directory: &Path) -> Result<Vec<(PathBuf, File)>, ImageError> {
    let list = match fs::read_dir(directory) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ImageError::io("list", directory)(error)),
    };
    let mut held = Vec::new();
    for path in list.filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_file(&path);
            continue;
        }
        held.push((path, file));
    }
    Ok(held)
}

//! Directories for the time of one build, on the store's file system.
//!
//! A locked directory belongs to a living build. What is done with goes to the trash: removing a directory
//! takes milliseconds that a build has not got. What a killed build left goes there with the next one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::FlockOperation;

use crate::state::Trash;

/// The directory of one build; removed when dropped.
pub(super) struct Scratch {
    path: PathBuf,
    trash: Trash,
    next: AtomicUsize,
    _lock: File,
}

impl Scratch {
    /// Makes one below `parent`, and throws those of dead builds away.
    pub(super) fn new(parent: &Path, trash: Trash) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        clear(parent, &trash)?;
        for _ in 0..100 {
            let path = parent.join(format!("{:016x}", random()?));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Before it is locked, another build may take it for a leftover, and be done with it.
            let Some(lock) = hold(&path)? else { continue };
            return Ok(Self {
                path,
                trash,
                next: AtomicUsize::new(0),
                _lock: lock,
            });
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// A fresh directory in it.
    pub(super) fn directory(&self) -> io::Result<Part> {
        let path = self
            .path
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        fs::DirBuilder::new().mode(0o711).create(&path)?;
        Ok(Part {
            path,
            trash: self.trash.clone(),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.trash.put(&self.path);
    }
}

/// A directory of one step; removed when dropped.
pub(super) struct Part {
    path: PathBuf,
    trash: Trash,
}

impl Part {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory in it, with the mode of a root.
    pub(super) fn make(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.trash.put(&self.path);
    }
}

/// Locks a directory; `None` when somebody else has it, or it is not there any more.
fn hold(path: &Path) -> io::Result<Option<File>> {
    let lock = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let locked = lock.metadata()?;
    let same = fs::symlink_metadata(path)
        .is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino()));
    Ok(same.then_some(lock))
}

fn clear(parent: &Path, trash: &Trash) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = trash.put(&path);
        }
    }
    Ok(())
}

/// 64 random bits.
pub(super) fn random() -> io::Result<u64> {
    crate::sys::random().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_that_begin_together_keep_what_is_theirs() {
        let root = tempfile::tempdir().expect("temporary directory");
        let (work, trash) = (root.path().join("work"), root.path().join("trash"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let scratch = Scratch::new(&work, Trash::new(trash.clone())).expect("made");
                        let part = scratch.directory().expect("still there");
                        assert!(part.make("root").expect("made").is_dir());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&work).expect("listed").count(), 0);
    }
}

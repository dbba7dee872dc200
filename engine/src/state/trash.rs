//! What is to be deleted: moved here at once, deleted when nobody waits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ContainerId, StateError, create_private_dir, failed};

/// A directory whose content nobody needs.
#[derive(Clone, Debug)]
pub struct Trash {
    dir: PathBuf,
}

impl Trash {
    /// Over this directory, which must be on the file system of what is thrown in.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Moves a file or directory in, under a fresh name; a missing one is fine.
    pub fn put(&self, path: &Path) -> Result<(), StateError> {
        let unique = ContainerId::random().map_err(failed("name", &self.dir))?;
        let target = self.dir.join(unique.as_str());
        for attempt in 0..2 {
            match fs::rename(path, &target) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if attempt == 1 || path.symlink_metadata().is_err() {
                        return Ok(());
                    }
                    create_private_dir(&self.dir)?;
                }
                Err(error) => return Err(failed("throw away", path)(error)),
            }
        }
        Ok(())
    }

    /// Whether something waits to be deleted.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(&self.dir).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Deletes everything in it. Several may do this at once; what cannot be deleted stays for the next.
    pub fn empty(&self) -> Result<(), StateError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("read", &self.dir)(error)),
        };
        let mut first = None;
        for entry in entries.flatten() {
            let path = entry.path();
            let removed = match entry.file_type() {
                Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
            match removed {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    first.get_or_insert(failed("delete", &path)(error));
                }
            }
        }
        first.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_gone_at_once_and_deleted_later() {
        let dir = tempfile::tempdir().unwrap();
        let trash = Trash::new(dir.path().join("trash"));
        let old = dir.path().join("old");
        fs::create_dir_all(old.join("deep/er")).unwrap();
        trash.put(&old).unwrap();
        trash.put(&old).unwrap();
        assert!(!old.exists() && !trash.is_empty());
        trash.empty().unwrap();
        assert!(trash.is_empty());
    }
}

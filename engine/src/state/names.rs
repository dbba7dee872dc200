//! Unique names: a name is a symbolic link to its owner's id, and making it is the lock.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{ContainerId, Name, StateError, failed};

/// The directory of names.
#[derive(Clone, Debug)]
pub struct Names {
    dir: PathBuf,
}

impl Names {
    /// Over this directory.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Gives `name` to `owner`. `alive` tells whether another owner still exists: a name left
    /// behind by a creation that died is taken over.
    pub fn reserve(
        &self,
        name: &Name,
        owner: &ContainerId,
        alive: &dyn Fn(&ContainerId) -> bool,
    ) -> Result<(), StateError> {
        let path = self.dir.join(name.as_str());
        loop {
            match symlink(owner.as_str(), &path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    super::create_private_dir(&self.dir)?;
                    continue;
                }
                Err(error) => return Err(failed("reserve the name", &path)(error)),
            }
            match self.owner(name)? {
                Some(holder) if &holder == owner => return Ok(()),
                Some(holder) if alive(&holder) => {
                    return Err(StateError::NameTaken {
                        name: name.to_string(),
                        owner: holder.short().to_owned(),
                    });
                }
                // Whoever died here is replaced by an atomic rename; of two that find it, one loses below.
                Some(_) | None => {
                    let temporary = self.dir.join(format!(".{}", owner.as_str()));
                    let _ = fs::remove_file(&temporary);
                    symlink(owner.as_str(), &temporary)
                        .map_err(failed("reserve the name", &temporary))?;
                    fs::rename(&temporary, &path).map_err(failed("reserve the name", &path))?;
                    if self.owner(name)?.as_ref() == Some(owner) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whose name it is.
    pub fn owner(&self, name: &Name) -> Result<Option<ContainerId>, StateError> {
        let path = self.dir.join(name.as_str());
        match fs::read_link(&path) {
            Ok(target) => Ok(target.to_str().and_then(|id| id.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read the name", &path)(error)),
        }
    }

    /// Gives a name back; somebody else's is left alone.
    pub fn release(&self, name: &Name, owner: &ContainerId) -> Result<(), StateError> {
        if self.owner(name)?.as_ref() == Some(owner) {
            super::remove_file(&self.dir.join(name.as_str()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path().join("names"));
        let name: Name = "web".parse().unwrap();
        let (a, b) = (
            ContainerId::random().unwrap(),
            ContainerId::random().unwrap(),
        );
        names.reserve(&name, &a, &|_| true).unwrap();
        names.reserve(&name, &a, &|_| true).unwrap();
        assert!(matches!(
            names.reserve(&name, &b, &|_| true),
            Err(StateError::NameTaken { .. })
        ));
        names.reserve(&name, &b, &|_| false).unwrap();
        names.release(&name, &a).unwrap();
        assert_eq!(names.owner(&name).unwrap(), Some(b));
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path().join("names"));
        let name: Name = "web".parse().unwrap();
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let id = ContainerId::random().unwrap();
                        usize::from(names.reserve(&name, &id, &|_| true).is_ok())
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(winners, 1);
    }
}

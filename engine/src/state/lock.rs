//! Advisory locks that die with their process.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{StateError, failed};

/// A lock on a file (flock(2)): held until dropped, by every process that has inherited the descriptor.
///
/// Order, where several are needed: project, network, container, store. Never hold one
/// while pulling or waiting for somebody.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Waits until nobody else holds it.
    pub fn exclusive(path: &Path) -> Result<Self, StateError> {
        Self::take(path, FlockOperation::LockExclusive)
            .map(|lock| lock.unwrap_or_else(|| unreachable!("a blocking flock never would block")))
    }

    /// Waits until nobody holds it exclusively.
    pub fn shared(path: &Path) -> Result<Self, StateError> {
        Self::take(path, FlockOperation::LockShared)
            .map(|lock| lock.unwrap_or_else(|| unreachable!("a blocking flock never would block")))
    }

    /// `None` when somebody holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, StateError> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Gives it up for a while; to be held again, [`Lock::retake`] it.
    pub fn release(&self) -> Result<(), StateError> {
        self.operate(FlockOperation::Unlock)
    }

    /// Holds it exclusively again, waiting until nobody else does.
    pub fn retake(&self) -> Result<(), StateError> {
        self.operate(FlockOperation::LockExclusive)
    }

    fn operate(&self, operation: FlockOperation) -> Result<(), StateError> {
        loop {
            match flock(&self.file, operation) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(failed("lock", "a file".as_ref())(error.into())),
            }
        }
    }

    /// Whether somebody holds it exclusively. A missing file is held by nobody.
    pub fn is_held(path: &Path) -> Result<bool, StateError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", path)(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(failed("lock", path)(error.into())),
        }
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<Option<Self>, StateError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed("open", path))?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Some(Self { file })),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(failed("lock", path)(error.into())),
            }
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path).unwrap());
        let first = Lock::exclusive(&path).unwrap();
        assert!(Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(first);
        assert!(!Lock::is_held(&path).unwrap());
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }
}

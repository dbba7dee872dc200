//! Layers merged for a step: a descriptor of the root, in no namespace, gone when it is closed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::mount::{MountError, Overlay, RootMount, detached_root};

/// Merges `lower` (topmost first). With `upper` and its work directory the result is writable.
pub(super) fn mount(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    match (lower, upper) {
        ([], None) => return Err(io::ErrorKind::InvalidInput.into()),
        // Nothing to merge: the directory itself is the root.
        ([only], None) => return directory(only),
        ([], Some((upper, _))) => return directory(upper),
        _ => {}
    }
    let overlay = Overlay {
        lower: lower.to_vec(),
        upper: upper.map(|(upper, _)| upper.to_owned()),
        work: upper.map(|(_, work)| work.to_owned()),
        // Build steps are thrown away when the machine stops in the middle of one.
        volatile: true,
    };
    detached_root(&RootMount::Overlay(overlay)).map_err(|error| match error {
        MountError::Step { source, .. } => source,
        other => io::Error::other(other),
    })
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::tree::{Tree, View};

    #[test]
    fn layers_merge() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, upper, work] = ["one", "two", "upper", "work"].map(|name| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        });
        std::fs::write(one.join("f"), "lower").unwrap();
        std::fs::write(two.join("f"), "higher").unwrap();
        let root = match mount(&[two, one], Some((&upper, &work))) {
            Ok(root) => root,
            Err(error) => {
                eprintln!("skipped: no overlay here: {error}");
                return;
            }
        };
        let tree = Tree::new(root, View::Image);
        assert_eq!(tree.read("f").unwrap().unwrap(), b"higher");
    }
}

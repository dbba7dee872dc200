//! Overlay mounts that belong to no namespace: a descriptor of the merged root, gone when it is closed.
//!
//! Paths are handed to the kernel as `/proc/self/fd/N`, so neither their length (256 bytes in fsconfig) nor
//! commas and colons in them matter.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// Merges `lower` (topmost first). With `upper` and its work directory the result is writable.
pub(super) fn mount(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    match (lower, upper) {
        ([], None) => return Err(io::ErrorKind::InvalidInput.into()),
        // Nothing to merge: the directory itself is the root.
        ([only], None) => return directory(only),
        ([], Some((upper, _))) => return directory(upper),
        _ => {}
    }
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut held = Vec::with_capacity(lower.len() + 2);
    let mut set = |key: &str, path: &Path| -> io::Result<()> {
        let fd = directory(path)?;
        fsconfig_set_string(
            context.as_fd(),
            key,
            format!("/proc/self/fd/{}", fd.as_raw_fd()),
        )?;
        held.push(fd);
        Ok(())
    };
    for path in lower {
        set("lowerdir+", path)?;
    }
    if let Some((upper, work)) = upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
        // Build steps are thrown away when the machine stops in the middle of one.
        fsconfig_set_flag(context.as_fd(), "volatile")?;
        // A layer must hold whole files under their own names.
        for key in ["redirect_dir", "metacopy", "index"] {
            fsconfig_set_string(context.as_fd(), key, "off")?;
        }
    }
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?)
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

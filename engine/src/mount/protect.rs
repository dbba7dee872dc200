//! Masked and read-only paths.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, open_tree,
};

use crate::sys::mount::{MountAttr, Reach, mount_setattr};

use super::MountError;
use super::attach::place;
use super::below::Below;

/// Hides each path that exists: a directory under an empty one, a file under /dev/null.
/// A `*` in the last-but-one name stands for any text within that name.
pub fn mask(below: Below<'_>, paths: &[String]) -> Result<(), MountError> {
    let mut mask = Mask {
        below,
        empty: None,
        null: None,
    };
    for path in paths {
        for path in expand(below, Path::new(path)) {
            mask.hide(&path)
                .map_err(|error| MountError::step("mask", path.display().to_string(), error))?;
        }
    }
    Ok(())
}

/// What covers things: made once, cloned for each.
struct Mask<'a> {
    below: Below<'a>,
    empty: Option<OwnedFd>,
    null: Option<OwnedFd>,
}

impl Mask<'_> {
    fn hide(&mut self, path: &Path) -> Result<(), Errno> {
        let target = match self.below.open(path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other?,
        };
        let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode).is_dir();
        if !is_directory {
            if self.null.is_none() {
                self.null = Some(null_device(self.below)?);
            }
            return match &self.null {
                Some(null) => place(clone(null)?.as_fd(), target.as_fd()),
                None => Ok(()),
            };
        }
        match &self.empty {
            // One empty file system serves all: each further one would cost a super block.
            Some(empty) => place(clone(empty)?.as_fd(), target.as_fd()),
            None => {
                let empty = empty_directory()?;
                place(empty.as_fd(), target.as_fd())?;
                self.empty = Some(empty);
                Ok(())
            }
        }
    }
}

fn clone(mount: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(mount, "", flags)?;
    mount_setattr(
        tree.as_fd(),
        MountAttr::set(MountAttrFlags::MOUNT_ATTR_RDONLY),
        Reach::This,
    )
    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(tree)
}

fn empty_directory() -> Result<OwnedFd, Errno> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "tmpfs")?;
    fsconfig_set_string(&fs, "size", "4k")?;
    fsconfig_set_string(&fs, "mode", "755")?;
    fsconfig_create(&fs)?;
    fsmount(
        &fs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

/// The container's /dev/null, proven to be one: a volume shared with another container could have put
/// anything there, which then would be bound over /proc files (CVE-2025-31133).
fn null_device(below: Below<'_>) -> Result<OwnedFd, Errno> {
    let path = Path::new("/dev/null");
    let null = match below.open_strictly(path, OFlags::PATH) {
        // A /dev of somebody's own without one. Ours is still the host's view; what is bound of it is read-only.
        Err(Errno::NOENT) => open(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?,
        other => other?,
    };
    let stat = rustix::fs::fstat(&null)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(null) } else { Err(Errno::NODEV) }
}

/// Makes each path that exists read-only, with everything mounted below it.
pub fn protect(below: Below<'_>, paths: &[String]) -> Result<(), MountError> {
    for path in paths {
        protect_one(below, Path::new(path))
            .map_err(|error| MountError::step("make read-only", path.as_str(), error))?;
    }
    Ok(())
}

fn protect_one(below: Below<'_>, path: &Path) -> std::io::Result<()> {
    let target = match below.open(path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&target, "", flags)?;
    let attr = MountAttr::set(MountAttrFlags::MOUNT_ATTR_RDONLY);
    mount_setattr(tree.as_fd(), attr, Reach::Recursive)?;
    place(tree.as_fd(), target.as_fd())?;
    Ok(())
}

/// The paths a pattern stands for. Directories that cannot be read have none.
pub fn expand(below: Below<'_>, pattern: &Path) -> Vec<PathBuf> {
    let bytes = pattern.as_os_str().as_bytes();
    let Some(star) = bytes.iter().position(|&b| b == b'*') else {
        return vec![pattern.to_owned()];
    };
    let start = bytes[..star]
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(0, |at| at + 1);
    let end = bytes[star..]
        .iter()
        .position(|&b| b == b'/')
        .map_or(bytes.len(), |at| star + at);
    let directory = Path::new(OsStr::from_bytes(&bytes[..start]));
    let (before, after) = (&bytes[start..star], &bytes[star + 1..end]);
    let rest = &bytes[end..];
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(entries) = below.open(directory, flags).and_then(Dir::new) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_bytes();
        if name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
            && name != b"."
            && name != b".."
        {
            let path = [&bytes[..start], name, rest].concat();
            found.extend(expand(below, Path::new(OsStr::from_bytes(&path))));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::below::open_root;

    #[test]
    fn a_star_stands_within_one_name() {
        let root = tempfile::tempdir().expect("temporary directory");
        for path in ["cpu/cpu0/t", "cpu/cpu11/t", "cpu/cpufreq", "cpu/other/t"] {
            std::fs::create_dir_all(root.path().join(path)).expect("made");
        }
        let fd = open_root(root.path()).expect("opens");
        let mut found = expand(Below::new(fd.as_fd()), Path::new("/cpu/cpu*/t"));
        found.sort();
        let expected = ["/cpu/cpu0/t", "/cpu/cpu11/t", "/cpu/cpufreq/t"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert!(expand(Below::new(fd.as_fd()), Path::new("/none/x*/t")).is_empty());
    }
}

//! Mount points that a root lacks: made by mounting, and taken away again when they are left empty.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::document::RunMount;
use crate::build::overlay;
use crate::build::tree::{Found, Tree, View};

/// Paths that the layers lack and the mounts will make, deepest first.
pub(super) fn of(lower: &[PathBuf], mounts: &[RunMount]) -> std::io::Result<Vec<PathBuf>> {
    let tree = Tree::new(overlay::mount(lower, None)?, View::Image);
    let mut stubs = Vec::new();
    let targets = ["/etc/resolv.conf", "/etc/hosts"]
        .into_iter()
        .chain(mounts.iter().map(RunMount::target));
    for target in targets {
        let Ok(place) = tree.locate(OsStr::new(target)) else {
            continue;
        };
        let Found::Missing(names) = place.found else {
            continue;
        };
        let mut path = PathBuf::from(&place.path);
        let mut made = Vec::new();
        for name in names {
            path.push(name);
            made.push(path.clone());
        }
        stubs.extend(made.into_iter().rev());
    }
    Ok(stubs)
}

/// Removes an empty file or directory of the upper directory, not through links.
pub(super) fn remove(upper: &Path, stub: &Path) {
    let Ok(tree) = Tree::open(upper, View::Image) else {
        return;
    };
    let Some(name) = stub.file_name() else { return };
    let parent = stub.parent().unwrap_or(Path::new(""));
    let Ok(place) = tree.locate(parent.as_os_str()) else {
        return;
    };
    if !matches!(place.found, Found::Directory) || place.path != parent.as_os_str() {
        return;
    }
    let Ok(stat) = rustix::fs::statat(&place.dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let _ = rustix::fs::unlinkat(&place.dir, name, AtFlags::REMOVEDIR);
        }
        FileType::RegularFile if stat.st_size == 0 => {
            let _ = rustix::fs::unlinkat(&place.dir, name, AtFlags::empty());
        }
        _ => {}
    }
}

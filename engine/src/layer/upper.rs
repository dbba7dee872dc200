//! Making an overlay's upper directory fit to be a layer.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps};

use super::{LayerError, merged};
use crate::sys::overlay::opaque;

/// Takes the opaque attribute off directories that hide nothing: overlayfs sets it on every
/// directory made in a merged parent, and it would become a marker in the layer's archive.
pub(super) fn normalize(upper: &Path, lowers: &[PathBuf]) -> Result<(), LayerError> {
    visit(upper, Path::new(""), lowers)
}

/// Gives everything in a directory that is younger than `limit` (seconds since 1970) that time.
pub fn clamp_times(directory: &Path, limit: i64) -> Result<(), LayerError> {
    let failed = |path: &Path| LayerError::errno("set the time of", path.to_owned());
    for entry in fs::read_dir(directory).map_err(LayerError::io("list", directory))? {
        let path = entry.map_err(LayerError::io("list", directory))?.path();
        let stat = rustix::fs::lstat(&path).map_err(failed(&path))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            clamp_times(&path, limit)?;
        }
        if stat.st_mtime >= limit {
            let time = Timespec {
                tv_sec: limit,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: time,
                last_modification: time,
            };
            rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn visit(upper: &Path, relative: &Path, lowers: &[PathBuf]) -> Result<(), LayerError> {
    let directory = upper.join(relative);
    for entry in fs::read_dir(&directory).map_err(LayerError::io("list", &directory))? {
        let entry = entry.map_err(LayerError::io("list", &directory))?;
        if !entry
            .file_type()
            .map_err(LayerError::io("stat", entry.path()))?
            .is_dir()
        {
            continue;
        }
        let path = entry.path();
        let relative = relative.join(entry.file_name());
        if merged::is_opaque(&path)
            && merged::lookup(lowers, &relative).is_none_or(|found| !found.metadata.is_dir())
        {
            rustix::fs::lremovexattr(&path, opaque())
                .map_err(LayerError::errno("clear attributes of", &path))?;
        }
        visit(upper, &relative, lowers)?;
    }
    Ok(())
}

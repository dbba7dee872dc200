//! Making an overlay's upper directory fit to be a layer.

use std::fs;
use std::path::{Path, PathBuf};

use super::tree::OPAQUE;
use super::{LayerError, merged};

/// Takes the opaque attribute off directories that hide nothing: overlayfs sets it on every
/// directory made in a merged parent, and it would become a marker in the layer's archive.
pub(super) fn normalize(upper: &Path, lowers: &[PathBuf]) -> Result<(), LayerError> {
    visit(upper, Path::new(""), lowers)
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
            rustix::fs::lremovexattr(&path, OPAQUE)
                .map_err(LayerError::errno("clear attributes of", &path))?;
        }
        visit(upper, &relative, lowers)?;
    }
    Ok(())
}

//! The signs by which overlayfs knows what an upper layer hides
//! (Documentation/filesystems/overlayfs.rst).

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::user_namespace;

/// The attribute, with the value `y`, of a directory that hides what lies below it.
pub fn opaque() -> &'static str {
    if user_namespace::is_initial() {
        "trusted.overlay.opaque"
    } else {
        // What a mount with `userxattr` reads; `trusted.` is for the machine's root alone.
        "user.overlay.opaque"
    }
}

/// Whether a directory hides what lower layers have under its name.
pub fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::lgetxattr(path, opaque(), &mut value), Ok(1)) && value[0] == b'y'
}

/// Whether an entry says that the lower one of its name is deleted.
pub fn is_deletion(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

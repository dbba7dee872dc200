//! Whether a mask still fits the machine: `<root>/host/current`.
//!
//! The first line names the mask, the second is a digest over the identity and times of every
//! directory and file the mask was made from, the others name those. Looking costs one `statx`
//! each (about half a millisecond for a usual `/etc`); nothing is read.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::HostBase;
use crate::content::Digest;

/// Bumped whenever the rules of what is shown change.
const RULES: u64 = 1;

/// The mask in use if nothing changed since it was made.
pub(super) fn current(directory: &Path) -> Option<HostBase> {
    let text = fs::read(directory.join("current")).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let name = std::str::from_utf8(lines.next()?).ok()?;
    let fingerprint = lines.next()?;
    let sources = lines
        .filter(|line| !line.is_empty())
        .map(|line| Path::new(std::ffi::OsStr::from_bytes(line)));
    if fingerprint != self::fingerprint(sources)?.hex().as_bytes() {
        return None;
    }
    let mask = directory.join(name);
    mask.is_dir().then(|| HostBase {
        mask,
        key: name.to_owned(),
    })
}

/// What [`current`] compares. `None` when a source vanished.
pub(super) fn fingerprint<'a>(sources: impl Iterator<Item = &'a Path>) -> Option<Digest> {
    let mut hasher = Sha256::new();
    hasher.update(RULES.to_ne_bytes());
    hasher.update(boot_id()?);
    for source in sources {
        let data = fs::symlink_metadata(source).ok()?;
        for number in [
            data.dev(),
            data.ino(),
            data.size(),
            data.ctime() as u64,
            data.ctime_nsec() as u64,
            data.mtime() as u64,
            data.mtime_nsec() as u64,
        ] {
            hasher.update(number.to_ne_bytes());
        }
    }
    Some(Digest::from_hasher(hasher))
}

/// The text of the stamp. Sources whose names hold a line break cannot be listed; their
/// directories are, which is enough to notice that they come and go.
pub(super) fn text(name: &str, fingerprint: &Digest, sources: &[PathBuf]) -> Vec<u8> {
    let mut text = format!("{name}\n{}\n", fingerprint.hex()).into_bytes();
    for source in sources {
        text.extend(source.clone().into_os_string().into_vec());
        text.push(b'\n');
    }
    text
}

/// Masks are not synced to disk, so each boot makes its own.
pub(super) fn boot_id() -> Option<String> {
    Some(
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()?
            .trim()
            .to_owned(),
    )
}

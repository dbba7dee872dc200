//! Which layer a step made: `<root>/build/cache/<key>.json`.
//!
//! A key covers the step's definition, the keys of what it builds on, and the digests of the files it takes
//! (see `digest`). A record also names the layer below, because a step that ran again without the
//! cache may have left another one under the same key; such a record is no hit. Each use adds an end of line to a
//! record, whose number of uses and last use are known by it and the file's time.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::{Hash, hex};
use crate::state::touch;

/// What a step left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Chain id of the layer: what garbage collection keeps.
    pub(super) layer: String,
    /// Chain id of the layer below.
    pub(super) parent: Option<String>,
    /// When it was made, RFC 3339.
    pub(super) created: String,
    /// The step, for people.
    pub(super) step: String,
}

/// The records of one engine root.
pub(super) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Opens the cache, making its directory.
    pub(super) fn open(directory: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, key: &Hash) -> PathBuf {
        self.directory.join(format!("{}.json", hex(key)))
    }

    /// The record of a key, if it lies on the same layer.
    pub(super) fn get(&self, key: &Hash, parent: Option<&String>) -> Option<Record> {
        let bytes = std::fs::read(self.path(key)).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.version == 1 && record.parent.as_ref() == parent).then_some(record)
    }

    /// Counts a use of a record; a failure only makes `system df` poorer.
    pub(super) fn count(&self, key: &Hash) {
        let file = File::options().append(true).open(self.path(key));
        let _ = file.and_then(|mut file| file.write_all(b"\n"));
    }

    /// Remembers a step; a failure only costs time later.
    pub(super) fn put(
        &self,
        key: &Hash,
        layer: String,
        parent: Option<String>,
        created: &str,
        step: &str,
    ) {
        let record = Record {
            version: 1,
            layer,
            parent,
            created: created.to_owned(),
            step: step.to_owned(),
        };
        let path = self.path(key);
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        let written = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .and_then(|bytes| std::fs::write(&temporary, bytes))
            .and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "cannot write the build cache");
        }
    }

    /// A remembered digest of files of a layer: layers never change, so neither does this.
    pub(super) fn digest(&self, key: &Hash) -> Option<Hash> {
        let bytes = use_file(&self.directory.join(format!("{}.digest", hex(key)))).ok()?;
        bytes.try_into().ok()
    }

    /// Remembers such a digest.
    pub(super) fn put_digest(&self, key: &Hash, digest: &Hash) {
        let path = self.directory.join(format!("{}.digest", hex(key)));
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        if std::fs::write(&temporary, digest).is_ok() {
            let _ = std::fs::rename(&temporary, &path);
        }
    }

    /// A remembered line of text.
    pub(super) fn text(&self, key: &Hash) -> Option<String> {
        let bytes = use_file(&self.directory.join(format!("{}.text", hex(key)))).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Remembers a line of text.
    pub(super) fn put_text(&self, key: &Hash, text: &str) {
        let path = self.directory.join(format!("{}.text", hex(key)));
        let temporary = path.with_extension(format!("txt{}", std::process::id()));
        if std::fs::write(&temporary, text).is_ok() {
            let _ = std::fs::rename(&temporary, &path);
        }
    }
}

/// Reads a file and has it look new: what is used is not what a prune by age takes.
fn use_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    // Without, it is only forgotten sooner.
    let _ = touch(path);
    Ok(bytes)
}

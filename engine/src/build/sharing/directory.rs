//! A cache in a directory: an OCI image layout, of which several tags may share their layers.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::content::Digest;
use crate::image::{CONFIG_LIMIT, Descriptor, Document, Index, MANIFEST_LIMIT, Manifest, media};

/// The annotation of a tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// A layout.
pub(super) struct Directory<'p>(pub(super) &'p Path);

impl Directory<'_> {
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.hex())
    }

    /// The manifest of a tag, or of a digest, and its configuration.
    pub(super) fn read(
        &self,
        tag: &str,
        digest: Option<&Digest>,
    ) -> Result<(Manifest, Vec<u8>), String> {
        let digest = match digest {
            Some(digest) => *digest,
            None => {
                let index = self.index()?.ok_or("it has no index.json")?;
                let tagged = |entry: &&Descriptor| {
                    entry.annotations.get(TAG).is_some_and(|name| name == tag)
                };
                let found = index.manifests.iter().find(tagged);
                found
                    .ok_or_else(|| format!("it has no tag `{tag}`"))?
                    .digest
            }
        };
        let bytes = self.verified(&digest, MANIFEST_LIMIT)?;
        match Document::parse(&bytes).map_err(|error| error.to_string())? {
            Document::Manifest(manifest) => {
                let config = self.verified(&manifest.config.digest, CONFIG_LIMIT)?;
                Ok((*manifest, config))
            }
            Document::Index(_) => Err("it is an index, not a cache".into()),
        }
    }

    /// A layer's archive, not verified.
    pub(super) fn open(&self, digest: &Digest) -> io::Result<fs::File> {
        fs::File::open(self.blob(digest))
    }

    fn index(&self) -> Result<Option<Index>, String> {
        let path = self.0.join("index.json");
        let mut bytes = Vec::new();
        match fs::File::open(&path) {
            Ok(file) => file.take(MANIFEST_LIMIT).read_to_end(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| format!("{}: {error}", path.display()))?;
        match Document::parse(&bytes).map_err(|error| error.to_string())? {
            Document::Index(index) => Ok(Some(*index)),
            Document::Manifest(_) => Err("its index.json is no index".into()),
        }
    }

    fn verified(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, String> {
        let path = self.blob(digest);
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if Digest::of(&bytes) != *digest {
            return Err(format!("{} is damaged", path.display()));
        }
        Ok(bytes)
    }

    /// Adds a blob from a file, unless it is there.
    pub(super) fn copy(&self, digest: &Digest, from: &Path) -> io::Result<()> {
        let path = self.blob(digest);
        if path.exists() {
            return Ok(());
        }
        replace(&path, |temporary| fs::copy(from, temporary).map(drop))
    }

    /// Adds a blob.
    pub(super) fn put(&self, bytes: &[u8]) -> io::Result<()> {
        replace(&self.blob(&Digest::of(bytes)), |temporary| {
            fs::write(temporary, bytes)
        })
    }

    /// Makes the directories of a layout.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.0.join("blobs/sha256"))?;
        fs::write(
            self.0.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )
    }

    /// Makes a tag mean a manifest that is there.
    pub(super) fn tag(&self, tag: &str, manifest: &[u8]) -> io::Result<()> {
        let mut index = self.index().map_err(io::Error::other)?.unwrap_or(Index {
            schema_version: 2,
            media_type: media::OCI_INDEX.to_owned(),
            manifests: Vec::new(),
            extra: serde_json::Map::new(),
        });
        index
            .manifests
            .retain(|entry| entry.annotations.get(TAG).is_none_or(|name| name != tag));
        let size = manifest.len() as u64;
        let mut entry = Descriptor::new(media::OCI_MANIFEST, Digest::of(manifest), size);
        entry.annotations.insert(TAG.to_owned(), tag.to_owned());
        index.manifests.push(entry);
        let bytes = serde_json::to_vec(&index)?;
        replace(&self.0.join("index.json"), |temporary| {
            fs::write(temporary, bytes)
        })
    }
}

/// Writes a file beside its place and puts it there in one step.
fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    write(&temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

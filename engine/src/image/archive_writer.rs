//! The archive that images are saved to, as it is written: blobs once each, then its tables of contents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::store::Image;
use super::{Descriptor, ImageError, Manifest, Reference, media};
use crate::content::Digest;
use crate::layer::{LayerError, TarWriter};

/// Writes an archive: its blobs by `content`, then the tables that this has filled.
pub(super) fn write_archive<W: Write, T>(
    out: W,
    content: impl FnOnce(&mut Archive<W>, &mut Lists) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let mut archive = Archive {
        writer: TarWriter::new(out),
        written: BTreeSet::new(),
    };
    archive.folder("blobs/")?;
    archive.folder("blobs/sha256/")?;
    let mut lists = Lists::default();
    let done = content(&mut archive, &mut lists)?;
    archive.json(
        "index.json",
        &json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": lists.index}),
    )?;
    archive.json("manifest.json", &Value::Array(lists.saved))?;
    archive.json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    if !lists.repositories.is_empty() {
        archive.json("repositories", &json!(lists.repositories))?;
    }
    let mut out = archive.writer.finish().map_err(write_error)?;
    out.flush().map_err(write_error)?;
    Ok(done)
}

pub(super) fn write_error(error: io::Error) -> ImageError {
    LayerError::Write(error).into()
}

pub(super) struct Archive<W> {
    pub(super) writer: TarWriter<W>,
    /// Blobs that are in it.
    written: BTreeSet<Digest>,
}

impl<W: Write> Archive<W> {
    fn folder(&mut self, path: &str) -> Result<(), ImageError> {
        self.writer.directory(path, 0o755, 0).map_err(write_error)
    }

    fn json(&mut self, path: &str, value: &Value) -> Result<(), ImageError> {
        let text = serde_json::to_vec(value).map_err(ImageError::Config)?;
        self.writer
            .member(path, 0o644, 0, &text)
            .map_err(write_error)
    }

    pub(super) fn bytes(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), ImageError> {
        if self.begin(digest, bytes.len() as u64)? {
            self.writer
                .data(bytes)
                .and_then(|()| self.writer.pad(bytes.len() as u64))
                .map_err(write_error)?;
        }
        Ok(())
    }

    /// Writes a blob's header unless it is in the archive already.
    pub(super) fn begin(&mut self, digest: &Digest, size: u64) -> Result<bool, ImageError> {
        if !self.written.insert(*digest) {
            return Ok(false);
        }
        let entry =
            crate::layer::plain(&blob_path(digest), crate::layer::Kind::File, 0o644, 0, size);
        self.writer.header(&entry).map_err(write_error)?;
        Ok(true)
    }
}

/// Data of the present member as a writer.
pub(super) struct Data<'a, W>(pub(super) &'a mut TarWriter<W>);

impl<W: Write> Write for Data<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive's tables of contents.
#[derive(Default)]
pub(super) struct Lists {
    /// `index.json`
    index: Vec<Value>,
    /// `manifest.json`
    saved: Vec<Value>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Lists {
    /// Adds an image to those that only `docker save`'s readers know.
    pub(super) fn add(&mut self, image: &Image, manifest: &Manifest, tags: &BTreeSet<Reference>) {
        let mut sources = BTreeMap::new();
        for (layer, blob) in image.layers.iter().zip(&manifest.layers) {
            sources.insert(layer.diff_id.to_string(), blob.clone());
        }
        for tag in tags {
            if let Some(layer) = manifest.layers.last() {
                self.repositories
                    .entry(tag.familiar_name())
                    .or_default()
                    .insert(tag.tag().unwrap_or("latest").to_owned(), layer.digest.hex());
            }
        }
        self.saved.push(json!({
            "Config": blob_path(&image.id),
            "RepoTags": if tags.is_empty() { Value::Null } else { tags.iter().map(Reference::familiar).collect() },
            "Layers": manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect::<Vec<_>>(),
            "LayerSources": sources,
        }));
    }

    /// Adds a manifest or an index under each of its names.
    pub(super) fn name(
        &mut self,
        descriptor: &Descriptor,
        tags: &BTreeSet<Reference>,
    ) -> Result<(), ImageError> {
        if tags.is_empty() {
            self.index
                .push(serde_json::to_value(descriptor).map_err(ImageError::Config)?);
        }
        for tag in tags {
            let mut named = descriptor.clone();
            let notes = &mut named.annotations;
            notes.insert("io.containerd.image.name".to_owned(), tag.to_string());
            notes.insert(
                "org.opencontainers.image.ref.name".to_owned(),
                tag.tag().unwrap_or("latest").to_owned(),
            );
            self.index
                .push(serde_json::to_value(&named).map_err(ImageError::Config)?);
        }
        Ok(())
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

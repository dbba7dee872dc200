//! Images to an archive that both Docker and OCI tools load.
//!
//! The format is that of `docker save` since 25: an OCI layout (`oci-layout`, `index.json`,
//! `blobs/`) that also has `manifest.json` and `repositories`. Layers keep the bytes they came
//! with; those made here are written from their directories, uncompressed. Images over the
//! `host` image are refused. The same images always give the same bytes.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::archive_writer::{Archive, Data, Lists, write_archive, write_error};
use super::store::{Base, Image, ImageStore};
use super::{
    CONFIG_LIMIT, Descriptor, Document, ImageError, MANIFEST_LIMIT, Manifest, Platform, Reference,
    is_host_image, media,
};
use crate::content::{ContentError, Digest};
use crate::layer::{Layer, LayerError};

/// Counts and hashes what is written.
pub(crate) struct Measure {
    hasher: Sha256,
    bytes: u64,
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ImageStore {
    /// Writes an archive of the images of some names, of all their platforms or of one. A repository without a tag
    /// means all its tags.
    pub fn save(
        &self,
        names: &[String],
        platform: Option<&Platform>,
        out: impl Write,
    ) -> Result<(), ImageError> {
        // One image under several names is written once, with all of them.
        let mut groups: Vec<Group> = Vec::new();
        for name in names {
            for found in self.saved_as(name, platform)? {
                if found.images.iter().any(|image| image.base != Base::Scratch) {
                    return Err(ImageError::HostBound(name.clone(), "saved"));
                }
                let same = |known: &&mut Group| {
                    let ids = known.images.iter().map(|image| image.id);
                    ids.eq(found.images.iter().map(|image| image.id))
                };
                match groups.iter_mut().find(same) {
                    Some(group) => group.tags.extend(found.tags),
                    None => groups.push(found),
                }
            }
        }
        write_archive(out, |archive, lists| {
            for group in &groups {
                self.save_group(archive, group, lists)?;
            }
            Ok(())
        })
    }

    /// Writes an archive of one image, or of those of several platforms that belong together, under these names or
    /// none. Gives what describes it: its manifest, or its index.
    pub(crate) fn save_images(
        &self,
        images: &[Image],
        tags: &[Reference],
        out: impl Write,
    ) -> Result<Descriptor, ImageError> {
        if let Some(image) = images.iter().find(|image| image.base != Base::Scratch) {
            return Err(ImageError::HostBound(image.id.to_string(), "saved"));
        }
        let group = Group {
            images: images.to_vec(),
            tags: tags.iter().cloned().collect(),
        };
        write_archive(out, |archive, lists| {
            self.save_group(archive, &group, lists)
        })
    }

    /// Writes what a name means: an image, or an index and its images.
    fn save_group<W: Write>(
        &self,
        archive: &mut Archive<W>,
        group: &Group,
        lists: &mut Lists,
    ) -> Result<Descriptor, ImageError> {
        let mut children = Vec::new();
        for (position, image) in group.images.iter().enumerate() {
            let (manifest, descriptor) = self.save_image(archive, image)?;
            // What reads `manifest.json` knows no platforms: it gets the first image.
            if position == 0 {
                lists.add(image, &manifest, &group.tags);
            }
            children.push((image.config.platform(), descriptor));
        }
        let descriptor = match children.as_slice() {
            [(_, only)] => only.clone(),
            _ => {
                let index =
                    serde_json::to_vec(&super::index(children)).map_err(ImageError::Config)?;
                let digest = Digest::of(&index);
                archive.bytes(&digest, &index)?;
                Descriptor::new(media::OCI_INDEX, digest, index.len() as u64)
            }
        };
        lists.name(&descriptor, &group.tags)?;
        Ok(descriptor)
    }

    /// Writes an image's manifest, configuration and layers.
    fn save_image<W: Write>(
        &self,
        archive: &mut Archive<W>,
        image: &Image,
    ) -> Result<(Manifest, Descriptor), ImageError> {
        let (manifest, bytes) = self.manifest_for(image)?;
        let media_type = if manifest.media_type.is_empty() {
            media::OCI_MANIFEST
        } else {
            &manifest.media_type
        };
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        archive.bytes(&descriptor.digest, &bytes)?;
        archive.bytes(&image.id, &self.config_of(image)?)?;
        for (layer, blob) in image.layers.iter().zip(&manifest.layers) {
            self.save_layer(archive, layer, blob)?;
        }
        Ok((manifest, descriptor))
    }

    /// The bytes of an image's configuration; one that was only described is not stored.
    fn config_of(&self, image: &Image) -> Result<Vec<u8>, ImageError> {
        let stored = self.content.read(&image.id, CONFIG_LIMIT);
        let described = || image.config.to_bytes().ok();
        match stored {
            Ok(bytes) => Ok(bytes),
            Err(error) => described()
                .filter(|bytes| Digest::of(bytes) == image.id)
                .ok_or_else(|| error.into()),
        }
    }

    /// The images of a name, by tag.
    fn saved_as(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<Group>, ImageError> {
        if is_host_image(name) {
            return Err(ImageError::HostBound(name.to_owned(), "saved"));
        }
        let images = |name: &str| match platform {
            Some(platform) => Ok(vec![self.resolve_for(name, platform)?]),
            None => self.variants(name),
        };
        let has_tag = name.contains('@')
            || name
                .rsplit_once(':')
                .is_some_and(|(_, tag)| !tag.contains('/'));
        if let Ok(reference) = Reference::parse(name) {
            let all: Vec<Reference> = self
                .refs
                .list()?
                .into_iter()
                .map(|(known, _)| known)
                .filter(|known| {
                    known.digest().is_none() && known.familiar_name() == reference.familiar_name()
                })
                .filter(|known| !has_tag || *known == reference)
                .collect();
            if !all.is_empty() {
                return all
                    .into_iter()
                    .map(|tag| {
                        Ok(Group {
                            images: images(&tag.to_string())?,
                            tags: [tag].into(),
                        })
                    })
                    .collect();
            }
        }
        Ok(vec![Group {
            images: images(name)?,
            tags: BTreeSet::new(),
        }])
    }

    /// The manifest an image came with if all its layers' bytes are still here, else one of
    /// what there is. Gives its exact bytes too.
    pub(crate) fn manifest_for(&self, image: &Image) -> Result<(Manifest, Vec<u8>), ImageError> {
        if let Some(known) = &image.manifest
            && let Ok(bytes) = self.content.read(&known.digest, MANIFEST_LIMIT)
            && let Ok(Document::Manifest(manifest)) = Document::parse(&bytes)
            && manifest.config.digest == image.id
            && manifest.layers.len() == image.layers.len()
            && manifest
                .layers
                .iter()
                .all(|layer| self.content.contains(&layer.digest))
        {
            return Ok((*manifest, bytes));
        }
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            layers.push(match self.kept_blob(layer) {
                Some(descriptor) => descriptor,
                None => Descriptor::new(media::OCI_LAYER, layer.diff_id, measure(layer)?),
            });
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.to_owned(),
            config: Descriptor::new(
                media::OCI_CONFIG,
                image.id,
                self.config_of(image)?.len() as u64,
            ),
            layers,
            extra: serde_json::Map::new(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(ImageError::Config)?;
        Ok((manifest, bytes))
    }

    /// The archive that a layer came from, if it is still here.
    pub(super) fn kept_blob(&self, layer: &Layer) -> Option<Descriptor> {
        let blob = layer
            .blob
            .as_ref()
            .filter(|blob| self.content.contains(&blob.digest))?;
        Some(Descriptor::new(&blob.media_type, blob.digest, blob.size))
    }

    fn save_layer<W: Write>(
        &self,
        archive: &mut Archive<W>,
        layer: &Layer,
        blob: &Descriptor,
    ) -> Result<(), ImageError> {
        if !archive.begin(&blob.digest, blob.size)? {
            return Ok(());
        }
        if self.content.contains(&blob.digest) {
            let (file, _) = self.content.open_blob(&blob.digest)?;
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; 256 << 10];
            let mut file = file.take(blob.size);
            loop {
                match file
                    .read(&mut buffer)
                    .map_err(ContentError::io("read", self.content.path(&blob.digest)))?
                {
                    0 => break,
                    count => {
                        hasher.update(&buffer[..count]);
                        archive.writer.data(&buffer[..count]).map_err(write_error)?;
                    }
                }
            }
            let actual = Digest::from_hasher(hasher);
            if actual != blob.digest {
                return Err(ContentError::Mismatch {
                    expected: blob.digest,
                    actual,
                }
                .into());
            }
        } else {
            layer.write_tar(Data(&mut archive.writer))?;
        }
        archive.writer.pad(blob.size).map_err(write_error)
    }
}

/// What one name, or several, mean.
struct Group {
    images: Vec<Image>,
    tags: BTreeSet<Reference>,
}

/// Bytes of a layer's archive; its digest must be the diff id the layer is known by.
pub(crate) fn measure(layer: &Layer) -> Result<u64, ImageError> {
    let mut measure = Measure {
        hasher: Sha256::new(),
        bytes: 0,
    };
    layer.write_tar(&mut measure)?;
    let actual = Digest::from_hasher(measure.hasher);
    if actual != layer.diff_id {
        return Err(LayerError::Mismatch {
            expected: layer.diff_id,
            actual,
        }
        .into());
    }
    Ok(measure.bytes)
}

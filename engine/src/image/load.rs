//! Image archives into the store: `docker save`'s formats (before and since 25) and OCI layouts.
//!
//! The archive is read once, front to back, so a pipe will do. Members that are named by their
//! digest are verified on the way in; layers are verified again by their diff ids. Anything
//! else in the archive is ignored. Compression around the whole is detected.

use std::io::Read;

use serde::Deserialize;

use super::members::Members;
use super::progress::ProgressSink;
use super::store::{ImageId, ImageStore};
use super::{
    CONFIG_LIMIT, Descriptor, Document, ImageConfig, ImageError, Lease, MANIFEST_LIMIT, Manifest,
    Platform, Reference, media,
};
use crate::content::Digest;

/// One image of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: ImageId,
    /// The names it was given.
    pub tags: Vec<Reference>,
}

/// `manifest.json`
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

impl ImageStore {
    /// Loads every image of an archive, for every platform that the archive has whole.
    pub fn load(
        &self,
        archive: impl Read,
        progress: &ProgressSink<'_>,
    ) -> Result<Vec<LoadedImage>, ImageError> {
        self.load_for(archive, None, progress)
    }

    /// The same for one platform only.
    pub fn load_for(
        &self,
        archive: impl Read,
        platform: Option<&Platform>,
        progress: &ProgressSink<'_>,
    ) -> Result<Vec<LoadedImage>, ImageError> {
        let lease = self.lease()?;
        let members = self.receive(archive, &lease)?;
        let loading = Loading {
            store: self,
            members: &members,
            lease: &lease,
            platform,
            progress,
        };
        // Only the layout knows platforms; an archive of `docker save` may be both.
        let loaded = if loading.has_platforms()? {
            loading.layout()?
        } else if members.small.contains_key("manifest.json") {
            loading.saved()?
        } else if members.small.contains_key("index.json") {
            loading.layout()?
        } else {
            return Err(ImageError::Archive(
                "it has neither manifest.json (docker save) nor index.json (OCI layout)".to_owned(),
            ));
        };
        if loaded.is_empty() {
            return Err(ImageError::Archive("it holds no image".to_owned()));
        }
        Ok(loaded)
    }
}

/// An archive whose members are in the store.
struct Loading<'l> {
    store: &'l ImageStore,
    members: &'l Members,
    lease: &'l Lease,
    platform: Option<&'l Platform>,
    progress: &'l ProgressSink<'l>,
}

impl Loading<'_> {
    /// Whether the layout has an index within its index.
    fn has_platforms(&self) -> Result<bool, ImageError> {
        let is_index = |descriptor: &Descriptor| {
            matches!(
                descriptor.media_type.as_str(),
                media::OCI_INDEX | media::DOCKER_LIST
            )
        };
        Ok(index(self.members)?.iter().any(is_index))
    }

    /// `manifest.json`
    fn saved(&self) -> Result<Vec<LoadedImage>, ImageError> {
        let members = self.members;
        let text = members
            .small
            .get("manifest.json")
            .map(Vec::as_slice)
            .unwrap_or_default();
        let images: Vec<SavedImage> = serde_json::from_slice(text)
            .map_err(|error| ImageError::Archive(format!("manifest.json: {error}")))?;
        let mut loaded = Vec::new();
        for image in images {
            let config = self.config(&members.find(&image.config)?)?;
            let blobs = image
                .layers
                .iter()
                .map(|layer| members.find(layer))
                .collect::<Result<Vec<_>, _>>()?;
            // Since 25 the archive is an OCI layout too, and its manifest is worth keeping.
            let manifest = self.manifest_of(&Digest::of(&config));
            let id = self.assemble(&config, &blobs, manifest)?;
            let mut tags = Vec::new();
            for name in image.repo_tags.unwrap_or_default() {
                let reference = Reference::parse(&name)?;
                self.store.tag(&id, &reference)?;
                tags.push(reference);
            }
            loaded.push(LoadedImage { id, tags });
        }
        Ok(loaded)
    }

    /// `index.json`
    fn layout(&self) -> Result<Vec<LoadedImage>, ImageError> {
        let mut loaded: Vec<LoadedImage> = Vec::new();
        for descriptor in index(self.members)? {
            let name = [
                "io.containerd.image.name",
                "org.opencontainers.image.ref.name",
            ]
            .iter()
            .find_map(|key| descriptor.annotations.get(*key))
            .cloned();
            let mut ids = Vec::new();
            for (manifest, descriptor) in self.manifests(&descriptor, 0)? {
                let config = self.config(&self.members.blob(&manifest.config.digest)?)?;
                let blobs = manifest
                    .layers
                    .iter()
                    .map(|layer| self.members.blob(&layer.digest))
                    .collect::<Result<Vec<_>, _>>()?;
                ids.push(self.assemble(&config, &blobs, Some(descriptor))?);
            }
            let Some(first) = ids.first().copied() else {
                continue;
            };
            // A bare tag names nothing by itself; other tools write one all the same.
            let tag = name
                .filter(|name| name.contains(['/', ':']))
                .map(|name| Reference::parse(&name))
                .transpose()?;
            let id = match &tag {
                Some(tag) => {
                    self.store.tag_variants(&ids, tag)?;
                    self.store.resolve_id(&tag.to_string())?
                }
                None => first,
            };
            match loaded.iter_mut().find(|image| image.id == id) {
                Some(image) => image.tags.extend(tag),
                None => loaded.push(LoadedImage {
                    id,
                    tags: tag.into_iter().collect(),
                }),
            }
        }
        Ok(loaded)
    }

    fn config(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        Ok(self.store.content.read(digest, CONFIG_LIMIT)?)
    }

    /// Makes an image, if it is for the platform that is wanted.
    fn assemble(
        &self,
        config: &[u8],
        blobs: &[Digest],
        manifest: Option<Descriptor>,
    ) -> Result<ImageId, ImageError> {
        if let Some(wanted) = self.platform {
            let platform = ImageConfig::parse(config)?.platform();
            if wanted.accepts(&platform).is_none() {
                return Err(ImageError::NoPlatform {
                    wanted: wanted.to_string(),
                    available: platform.to_string(),
                });
            }
        }
        let image = self
            .store
            .assemble(config, blobs, manifest, self.lease, self.progress)?;
        Ok(image.id)
    }

    /// Follows indexes to the manifests that are wanted; none for attestations.
    fn manifests(
        &self,
        descriptor: &Descriptor,
        depth: u32,
    ) -> Result<Vec<(Manifest, Descriptor)>, ImageError> {
        if depth > 4 {
            return Err(ImageError::Manifest(
                "indexes within indexes, five deep".to_owned(),
            ));
        }
        let digest = self.members.blob(&descriptor.digest)?;
        let bytes = self.store.content.read(&digest, MANIFEST_LIMIT)?;
        match Document::parse(&bytes)? {
            Document::Manifest(_)
                if descriptor
                    .annotations
                    .contains_key("vnd.docker.reference.type") =>
            {
                Ok(Vec::new())
            }
            Document::Manifest(manifest) => {
                let media_type = if manifest.media_type.is_empty() {
                    media::OCI_MANIFEST
                } else {
                    &manifest.media_type
                };
                let descriptor = Descriptor::new(media_type, descriptor.digest, bytes.len() as u64);
                Ok(vec![(*manifest, descriptor)])
            }
            Document::Index(index) => {
                let all = index.manifests.iter().filter(|child| self.is_whole(child));
                let chosen: Vec<&Descriptor> = match self.platform {
                    Some(platform) => vec![index.select(platform)?],
                    None => all.collect(),
                };
                if chosen.is_empty() {
                    // It says which one is missing.
                    let ours = index.select(&Platform::host())?;
                    return self.manifests(ours, depth + 1);
                }
                let mut found = Vec::new();
                for child in chosen {
                    found.extend(self.manifests(child, depth + 1)?);
                }
                Ok(found)
            }
        }
    }

    /// Whether the archive holds everything of an image that can run on some Linux machine.
    fn is_whole(&self, child: &Descriptor) -> bool {
        let has = |digest: &Digest| self.members.blob(digest).ok();
        let linux = child
            .platform
            .as_ref()
            .is_none_or(|platform| platform.os == "linux");
        let bytes = has(&child.digest)
            .filter(|_| linux)
            .and_then(|digest| self.store.content.read(&digest, MANIFEST_LIMIT).ok());
        match bytes.as_deref().map(Document::parse) {
            Some(Ok(Document::Manifest(manifest))) => {
                let layers = manifest.layers.iter().map(|layer| &layer.digest);
                layers
                    .chain([&manifest.config.digest])
                    .all(|digest| has(digest).is_some())
            }
            Some(Ok(Document::Index(_))) => true,
            _ => false,
        }
    }

    fn manifest_of(&self, config: &Digest) -> Option<Descriptor> {
        for descriptor in index(self.members).ok()? {
            let found = self.manifests(&descriptor, 0).ok()?;
            let fits = |(manifest, _): &(Manifest, Descriptor)| manifest.config.digest == *config;
            if let Some((_, descriptor)) = found.into_iter().find(fits) {
                return Some(descriptor);
            }
        }
        None
    }
}

/// The entries of `index.json`.
fn index(members: &Members) -> Result<Vec<Descriptor>, ImageError> {
    let Some(text) = members.small.get("index.json") else {
        return Ok(Vec::new());
    };
    match Document::parse(text)? {
        Document::Index(index) => Ok(index.manifests),
        Document::Manifest(_) => Err(ImageError::Archive("its index.json is no index".to_owned())),
    }
}

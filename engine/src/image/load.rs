//! Image archives into the store: `docker save`'s formats (before and since 25) and OCI layouts.
//!
//! The archive is read once, front to back, so a pipe will do. Members that are named by their
//! digest are verified on the way in; layers are verified again by their diff ids. Anything
//! else in the archive is ignored. Compression around the whole is detected.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read, Write};

use serde::Deserialize;

use super::progress::ProgressSink;
use super::store::{ImageId, ImageStore};
use super::{
    CONFIG_LIMIT, Descriptor, Document, ImageError, Lease, MANIFEST_LIMIT, Platform, Reference,
    media,
};
use crate::content::{ContentError, Digest};
use crate::layer::{Decoder, Kind, Limits, Reader};

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

/// What the archive held.
#[derive(Default)]
struct Members {
    blobs: HashMap<String, Digest>,
    links: HashMap<String, String>,
    small: BTreeMap<String, Vec<u8>>,
}

const MEMBERS: u64 = 100_000;

impl ImageStore {
    /// Loads every image of an archive. Images for other platforms are left out where the archive
    /// has one for this machine.
    pub fn load(
        &self,
        archive: impl Read,
        progress: &ProgressSink<'_>,
    ) -> Result<Vec<LoadedImage>, ImageError> {
        let lease = self.lease()?;
        let members = self.receive(archive, &lease)?;
        let loaded = if members.small.contains_key("manifest.json") {
            self.load_saved(&members, &lease, progress)?
        } else if members.small.contains_key("index.json") {
            self.load_layout(&members, &lease, progress)?
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

    fn receive(&self, archive: impl Read, lease: &Lease) -> Result<Members, ImageError> {
        let decoder = Decoder::new(archive)?;
        let limits = Limits {
            entries: MEMBERS,
            ..Limits::default()
        };
        let mut reader = Reader::new(BufReader::with_capacity(64 << 10, decoder), limits);
        let mut members = Members::default();
        let mut buffer = vec![0; 256 << 10];
        while let Some(entry) = reader.next()? {
            let Some(path) = String::from_utf8(entry.path)
                .ok()
                .and_then(|path| tidy(&path))
            else {
                continue;
            };
            match entry.kind {
                Kind::Symlink(target) => {
                    let target = String::from_utf8(target)
                        .ok()
                        .and_then(|target| beside(&path, &target));
                    if let Some(target) = target {
                        members.links.insert(path, target);
                    }
                }
                Kind::HardLink(target) => {
                    if let Some(target) = String::from_utf8(target)
                        .ok()
                        .and_then(|target| tidy(&target))
                    {
                        members.links.insert(path, target);
                    }
                }
                Kind::File
                    if matches!(
                        path.as_str(),
                        "manifest.json" | "index.json" | "oci-layout" | "repositories"
                    ) =>
                {
                    let bytes = reader.read_small(MANIFEST_LIMIT)?;
                    members.small.insert(path, bytes);
                }
                Kind::File => {
                    let promised = path
                        .strip_prefix("blobs/sha256/")
                        .map(Digest::from_hex)
                        .transpose()
                        .map_err(|error| ImageError::Archive(error.to_string()))?;
                    if let Some(promised) = promised {
                        lease.protect(&promised)?;
                        if self.content.contains(&promised) {
                            members.blobs.insert(path, promised);
                            continue;
                        }
                    }
                    let mut ingest = self.content.ingest()?;
                    loop {
                        match reader.read_data(&mut buffer)? {
                            0 => break,
                            count => ingest
                                .write_all(&buffer[..count])
                                .map_err(ContentError::io("write", ingest.path()))?,
                        }
                    }
                    // Protected before it becomes visible: a collection may run at any time.
                    lease.protect(&ingest.digest())?;
                    let digest = ingest.commit(promised.as_ref())?;
                    members.blobs.insert(path, digest);
                }
                _ => {}
            }
        }
        Ok(members)
    }

    fn load_saved(
        &self,
        members: &Members,
        lease: &Lease,
        progress: &ProgressSink<'_>,
    ) -> Result<Vec<LoadedImage>, ImageError> {
        let text = members
            .small
            .get("manifest.json")
            .map(Vec::as_slice)
            .unwrap_or_default();
        let images: Vec<SavedImage> = serde_json::from_slice(text)
            .map_err(|error| ImageError::Archive(format!("manifest.json: {error}")))?;
        let mut loaded = Vec::new();
        for image in images {
            let config = self
                .content
                .read(&members.find(&image.config)?, CONFIG_LIMIT)?;
            let blobs = image
                .layers
                .iter()
                .map(|layer| members.find(layer))
                .collect::<Result<Vec<_>, _>>()?;
            // Since 25 the archive is an OCI layout too, and its manifest is worth keeping.
            let manifest = self.manifest_of(members, &Digest::of(&config));
            let id = self
                .assemble(&config, &blobs, manifest, lease, progress)?
                .id;
            let mut tags = Vec::new();
            for name in image.repo_tags.unwrap_or_default() {
                let reference = Reference::parse(&name)?;
                self.tag(&id, &reference)?;
                tags.push(reference);
            }
            loaded.push(LoadedImage { id, tags });
        }
        Ok(loaded)
    }

    fn load_layout(
        &self,
        members: &Members,
        lease: &Lease,
        progress: &ProgressSink<'_>,
    ) -> Result<Vec<LoadedImage>, ImageError> {
        let mut loaded: Vec<LoadedImage> = Vec::new();
        for descriptor in index(members)? {
            let name = [
                "io.containerd.image.name",
                "org.opencontainers.image.ref.name",
            ]
            .iter()
            .find_map(|key| descriptor.annotations.get(*key))
            .cloned();
            let Some((manifest, descriptor)) = self.image_manifest(members, descriptor, 0)? else {
                continue;
            };
            let config = self
                .content
                .read(&members.blob(&manifest.config.digest)?, CONFIG_LIMIT)?;
            let blobs = manifest
                .layers
                .iter()
                .map(|layer| members.blob(&layer.digest))
                .collect::<Result<Vec<_>, _>>()?;
            let id = self
                .assemble(&config, &blobs, Some(descriptor), lease, progress)?
                .id;
            // A bare tag names nothing by itself; other tools write one all the same.
            let tag = name
                .filter(|name| name.contains(['/', ':']))
                .map(|name| Reference::parse(&name))
                .transpose()?;
            if let Some(tag) = &tag {
                self.tag(&id, tag)?;
            }
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

    /// Follows indexes to the manifest for this machine; `None` for attestations.
    fn image_manifest(
        &self,
        members: &Members,
        descriptor: Descriptor,
        depth: u32,
    ) -> Result<Option<(super::Manifest, Descriptor)>, ImageError> {
        if depth > 4 {
            return Err(ImageError::Manifest(
                "indexes within indexes, five deep".to_owned(),
            ));
        }
        let bytes = self
            .content
            .read(&members.blob(&descriptor.digest)?, MANIFEST_LIMIT)?;
        match Document::parse(&bytes)? {
            Document::Manifest(manifest)
                if descriptor
                    .annotations
                    .contains_key("vnd.docker.reference.type") =>
            {
                drop(manifest);
                Ok(None)
            }
            Document::Manifest(manifest) => {
                let media_type = if manifest.media_type.is_empty() {
                    media::OCI_MANIFEST
                } else {
                    &manifest.media_type
                };
                let descriptor = Descriptor::new(media_type, descriptor.digest, bytes.len() as u64);
                Ok(Some((*manifest, descriptor)))
            }
            Document::Index(index) => {
                let chosen = index.select(&Platform::host())?.clone();
                self.image_manifest(members, chosen, depth + 1)
            }
        }
    }

    fn manifest_of(&self, members: &Members, config: &Digest) -> Option<Descriptor> {
        for descriptor in index(members).ok()? {
            if let Ok(Some((manifest, descriptor))) = self.image_manifest(members, descriptor, 0)
                && manifest.config.digest == *config
            {
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

impl Members {
    /// The blob behind a member's name, links followed.
    fn find(&self, name: &str) -> Result<Digest, ImageError> {
        let missing =
            || ImageError::Archive(format!("it names `{name:.200}`, which it does not hold"));
        let mut path = tidy(name).ok_or_else(missing)?;
        for _ in 0..8 {
            if let Some(digest) = self.blobs.get(&path) {
                return Ok(*digest);
            }
            path = self.links.get(&path).ok_or_else(missing)?.clone();
        }
        Err(missing())
    }

    fn blob(&self, digest: &Digest) -> Result<Digest, ImageError> {
        self.find(&format!("blobs/sha256/{}", digest.hex()))
    }
}

/// A member's name without `.` and empty parts; `None` with `..` at its start.
fn tidy(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What a link in the archive means.
fn beside(path: &str, target: &str) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    tidy(&format!("{folder}/{target}"))
}

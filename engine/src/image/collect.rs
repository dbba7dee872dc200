//! Removing images and what only they used.
//!
//! Collection marks from images, names, leases, the builder's cache and what the caller names
//! as in use, under the store's exclusive lock; everything else goes. An image that a container
//! uses loses its names at most.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::store::{ImageId, ImageStore};
use super::{
    Document, ImageError, MANIFEST_LIMIT, Platform, Reference, host, is_host_image, lease,
};
use crate::content::Digest;
use crate::layer::ChainId;

/// What others use.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// Images of containers, with the containers' names.
    pub images: BTreeMap<ImageId, Vec<String>>,
    /// Layers that no image names.
    pub layers: BTreeSet<ChainId>,
}

/// One thing removed, as `rmi` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(Reference),
    /// An image.
    Deleted(ImageId),
}

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers removed.
    pub layers: u64,
    /// Blobs removed.
    pub blobs: u64,
    /// Bytes freed.
    pub bytes: u64,
}

/// Unfinished downloads are kept this long, to be resumed.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

impl ImageStore {
    /// Removes a name, and the image when it was its last. An id removes all names of the
    /// image, several repositories' only with `force`. An image that a container uses is refused;
    /// with `force` it loses the names and stays as long as the container.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        roots: &Roots,
    ) -> Result<Vec<Removed>, ImageError> {
        if is_host_image(name) {
            return Err(ImageError::HostBound(name.to_owned(), "removed"));
        }
        let id = self.resolve_id(name)?;
        if host::image_id()? == id {
            return Err(ImageError::HostBound(name.to_owned(), "removed"));
        }
        let (tags, digests) = self.names(&id)?;
        if let Some(other) = self.names_as_variant(&id)?.first()
            && tags.is_empty()
        {
            let by = format!("the name `{}`, as one of its platforms", other.familiar());
            return Err(ImageError::InUse {
                image: name.to_owned(),
                by,
            });
        }
        let mut ids = self.variants_of(&tags)?;
        ids.insert(id);
        let by_name = Reference::parse(name)
            .ok()
            .filter(|name| tags.contains(name) || digests.contains(name));
        let mut removed = Vec::new();
        match by_name {
            Some(one) if tags.iter().any(|tag| *tag != one) => {
                self.untag_one(&one, &tags, &digests, &mut removed)?;
                self.delete_unnamed(&ids, roots, &mut removed)?;
                return Ok(removed);
            }
            Some(_) => {}
            None => one_repository(name, &tags, force)?,
        }
        let users = roots.images.get(&id).filter(|users| !users.is_empty());
        if let Some(users) = users
            && !force
        {
            return Err(ImageError::InUse {
                image: name.to_owned(),
                by: format!("container {}", users.join(", ")),
            });
        }
        for reference in tags.into_iter().chain(digests) {
            self.refs.remove(&reference)?;
            removed.push(Removed::Untagged(reference));
        }
        self.delete_unnamed(&ids, roots, &mut removed)?;
        self.collect(roots)?;
        Ok(removed)
    }

    /// Takes the images of some platforms away from a name that has several; with all of them the name itself.
    pub fn remove_platforms(
        &self,
        name: &str,
        platforms: &[Platform],
        force: bool,
        roots: &Roots,
    ) -> Result<Vec<Removed>, ImageError> {
        let images = self.variants(name)?;
        let mut gone = BTreeSet::new();
        for platform in platforms {
            gone.insert(self.resolve_for(name, platform)?.id);
        }
        let rest: Vec<ImageId> = images.iter().map(|image| image.id).collect();
        let rest: Vec<ImageId> = rest.into_iter().filter(|id| !gone.contains(id)).collect();
        if rest.is_empty() {
            return self.remove(name, force, roots);
        }
        let used = |id: &&ImageId| roots.images.get(id).is_some_and(|users| !users.is_empty());
        if let (false, Some(id)) = (force, gone.iter().find(used)) {
            return Err(ImageError::InUse {
                image: name.to_owned(),
                by: format!("container {}", roots.images[id].join(", ")),
            });
        }
        self.tag_variants(&rest, &Reference::parse(name)?)?;
        let mut removed = Vec::new();
        self.delete_unnamed(&gone, roots, &mut removed)?;
        self.collect(roots)?;
        Ok(removed)
    }

    /// Takes one of several names away. Digests of a repository go with its last tag.
    fn untag_one(
        &self,
        one: &Reference,
        tags: &[Reference],
        digests: &[Reference],
        removed: &mut Vec<Removed>,
    ) -> Result<(), ImageError> {
        let of_one = |name: &&Reference| name.familiar_name() == one.familiar_name();
        self.refs.remove(one)?;
        removed.push(Removed::Untagged(one.clone()));
        if !tags.iter().filter(of_one).any(|tag| tag != one) {
            for digest in digests.iter().filter(of_one) {
                self.refs.remove(digest)?;
                removed.push(Removed::Untagged(digest.clone()));
            }
        }
        Ok(())
    }

    /// The images of names with several.
    fn variants_of(&self, names: &[Reference]) -> Result<BTreeSet<ImageId>, ImageError> {
        let mut ids = BTreeSet::new();
        for name in names {
            ids.extend(
                self.refs
                    .get(name)?
                    .into_iter()
                    .flat_map(|named| named.variants),
            );
        }
        Ok(ids)
    }

    /// Deletes those of some images that no name means any more, no container uses and nobody is about to name.
    fn delete_unnamed(
        &self,
        ids: &BTreeSet<ImageId>,
        roots: &Roots,
        removed: &mut Vec<Removed>,
    ) -> Result<(), ImageError> {
        let _exclusive = self.lock(FlockOperation::LockExclusive)?;
        let mut named: BTreeSet<ImageId> = lease::protected(&self.root.join("leases"))?
            .into_iter()
            .collect();
        for (_, record) in self.refs.records()? {
            named.insert(record.image);
            named.extend(record.variants);
        }
        for id in ids.difference(&named) {
            let used = roots.images.get(id).is_some_and(|users| !users.is_empty());
            if !used && self.record_path(id).exists() {
                self.delete_record(id)?;
                removed.push(Removed::Deleted(*id));
            }
        }
        Ok(())
    }

    fn delete_record(&self, id: &ImageId) -> Result<(), ImageError> {
        let path = self.record_path(id);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(ImageError::io("remove", path)(error)),
        }
    }

    /// Removes images without a name, or with `all` every image that no container uses, and
    /// then everything unused. `keep` decides further (labels, age).
    pub fn prune(
        &self,
        all: bool,
        roots: &Roots,
        keep: &dyn Fn(&super::ImageSummary) -> bool,
    ) -> Result<(Vec<Removed>, Collected), ImageError> {
        let mut removed = Vec::new();
        let mut ids = BTreeSet::new();
        for image in self.list()? {
            let used = roots
                .images
                .get(&image.id)
                .is_some_and(|users| !users.is_empty());
            if image.built_in || used || keep(&image) || (!all && !image.tags.is_empty()) {
                continue;
            }
            for name in image.tags.into_iter().chain(image.digests) {
                self.refs.remove(&name)?;
                removed.push(Removed::Untagged(name));
            }
            ids.extend(image.variants.iter().map(|variant| variant.id));
            ids.insert(image.id);
        }
        self.delete_unnamed(&ids, roots, &mut removed)?;
        Ok((removed, self.collect(roots)?))
    }

    /// Removes layers and blobs that nothing uses.
    pub fn collect(&self, roots: &Roots) -> Result<Collected, ImageError> {
        let _exclusive = self.lock(FlockOperation::LockExclusive)?;
        let mut layers: BTreeSet<ChainId> = roots.layers.clone();
        let mut blobs: BTreeSet<Digest> = BTreeSet::new();
        let leased = lease::protected(&self.root.join("leases"))?;
        layers.extend(&leased);
        blobs.extend(&leased);
        layers.extend(self.cached_layers()?.into_iter().map(|(_, layer)| layer));
        for id in self.ids()? {
            let record = self.record(&id)?;
            blobs.insert(id);
            layers.extend(record.layers);
            if let Some(manifest) = record.manifest {
                blobs.insert(manifest.digest);
                blobs.extend(self.named_by(&manifest.digest));
            }
        }
        // An index stays as long as an image is known by its digest.
        for (name, image) in self.refs.list()? {
            blobs.insert(image);
            if let Some(digest) = name.digest() {
                blobs.insert(*digest);
            }
        }
        // A layer needs those below it, whose ids are part of its own, and the one it is made over.
        let mut next: Vec<ChainId> = layers.iter().copied().collect();
        while let Some(chain) = next.pop() {
            let Ok(layer) = self.layers.get(&chain) else {
                continue;
            };
            blobs.extend(layer.blob.map(|blob| blob.digest));
            let over = layer.over.map(|over| over.chain_id);
            for needed in layer.parent.into_iter().chain(over) {
                if layers.insert(needed) {
                    next.push(needed);
                }
            }
        }
        let mut done = Collected::default();
        for chain in self
            .layers
            .list()?
            .into_iter()
            .filter(|chain| !layers.contains(chain))
        {
            done.bytes += self.layers.remove(&chain)?;
            done.layers += 1;
        }
        for digest in self
            .content
            .list()?
            .into_iter()
            .filter(|digest| !blobs.contains(digest))
        {
            done.bytes += self.content.remove(&digest)?;
            done.blobs += 1;
        }
        self.layers.clear_unfinished(Duration::from_secs(60))?;
        done.bytes += self.content.clear_ingests(UNFINISHED)?;
        Ok(done)
    }

    /// Configuration and layers that a manifest names.
    fn named_by(&self, manifest: &Digest) -> Vec<Digest> {
        let Ok(bytes) = self.content.read(manifest, MANIFEST_LIMIT) else {
            return Vec::new();
        };
        match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => manifest
                .layers
                .iter()
                .map(|layer| layer.digest)
                .chain([manifest.config.digest])
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// An id stands for all names of its image; those of several repositories are removed on purpose only.
fn one_repository(name: &str, tags: &[Reference], force: bool) -> Result<(), ImageError> {
    let repositories: BTreeSet<String> = tags.iter().map(Reference::familiar_name).collect();
    if repositories.len() <= 1 || force {
        return Ok(());
    }
    let by = repositories.into_iter().collect::<Vec<_>>().join(", ");
    Err(ImageError::InUse {
        image: name.to_owned(),
        by: format!("several repositories ({by}); remove them by name, or use force"),
    })
}

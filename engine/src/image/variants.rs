//! Names that mean several images, one for each platform.
//!
//! Such a name's record lists its images; the first is what the name means where no platform is asked for: this
//! machine's, if there is one. The index that describes them to others is made when they leave: its digest depends on
//! how their layers are compressed then.

use serde_json::Map;

use super::store::{Image, ImageStore};
use crate::content::Digest;

use super::{Descriptor, ImageConfig, ImageError, ImageId, Index, Platform, Reference, media};

/// One image of a name with several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What it runs on.
    pub platform: Platform,
    /// Its id.
    pub id: ImageId,
    /// Bytes of its layers' files.
    pub size: u64,
}

impl ImageConfig {
    /// What the image runs on. One that does not say is taken for this machine's.
    pub fn platform(&self) -> Platform {
        if self.architecture.is_empty() {
            return Platform::host();
        }
        Platform {
            os: if self.os.is_empty() {
                "linux".to_owned()
            } else {
                self.os.clone()
            },
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }
}

impl ImageStore {
    /// The images that a name means, this machine's first; an id means one.
    pub fn variants(&self, name: &str) -> Result<Vec<Image>, ImageError> {
        let primary = self.resolve(name)?;
        let mut images = vec![primary];
        if let Ok(reference) = Reference::parse(name)
            && let Some(named) = self.refs.get(&reference)?
            && named.image == images[0].id
        {
            for id in named.variants {
                if id != named.image {
                    images.push(self.get(&id)?);
                }
            }
        }
        Ok(images)
    }

    /// The image that a name means on a platform.
    pub fn resolve_for(&self, name: &str, wanted: &Platform) -> Result<Image, ImageError> {
        let images = self.variants(name)?;
        let platforms: Vec<Platform> = images.iter().map(|image| image.config.platform()).collect();
        let best = (0..images.len())
            .filter_map(|at| Some((wanted.accepts(&platforms[at])?, at)))
            .max_by_key(|(score, at)| (*score, usize::MAX - at));
        match best {
            Some((_, at)) => Ok(images[at].clone()),
            None => Err(ImageError::NoPlatform {
                wanted: wanted.to_string(),
                available: list(&platforms),
            }),
        }
    }

    /// Makes a name mean these images, one for each platform.
    pub fn tag_variants(&self, ids: &[ImageId], reference: &Reference) -> Result<(), ImageError> {
        let mut platforms = Vec::with_capacity(ids.len());
        for id in ids {
            platforms.push((self.get(id)?.config.platform(), *id));
        }
        let host = Platform::host();
        let ours = platforms
            .iter()
            .filter_map(|(platform, id)| Some((host.accepts(platform)?, id)))
            .max_by_key(|(score, _)| *score)
            .map(|(_, id)| *id);
        let Some(primary) = ours.or(ids.first().copied()) else {
            return Ok(());
        };
        if ids.len() == 1 {
            return self.tag(&primary, reference);
        }
        let _shared = self.lock(rustix::fs::FlockOperation::LockShared)?;
        self.refs.set_all(reference, &primary, ids)
    }

    /// Makes a name mean a pulled image. Images of other platforms that it means already stay if they are of the
    /// same index, whose manifests are `siblings`.
    pub(crate) fn tag_pulled(
        &self,
        id: &ImageId,
        siblings: &[Digest],
        reference: &Reference,
    ) -> Result<(), ImageError> {
        let mut ids = vec![*id];
        let before = self.variants(&reference.to_string()).unwrap_or_default();
        for image in before.iter().filter(|image| image.id != *id) {
            let manifest = image.manifest.as_ref().map(|manifest| manifest.digest);
            if manifest.is_some_and(|digest| siblings.contains(&digest)) {
                ids.push(image.id);
            }
        }
        self.tag_variants(&ids, reference)
    }

    /// Gives what a name means another name, with all its platforms.
    pub fn tag_as(&self, name: &str, reference: &Reference) -> Result<(), ImageError> {
        let ids: Vec<ImageId> = self.variants(name)?.iter().map(|image| image.id).collect();
        self.tag_variants(&ids, reference)
    }

    /// Names of which an image is one of several, and not the first.
    pub(super) fn names_as_variant(&self, id: &ImageId) -> Result<Vec<Reference>, ImageError> {
        let records = self.refs.records()?.into_iter();
        let found = records.filter(|(_, named)| named.image != *id && named.variants.contains(id));
        Ok(found.map(|(name, _)| name).collect())
    }
}

/// An index of manifests, each with its image's platform.
pub(crate) fn index(manifests: Vec<(Platform, Descriptor)>) -> Index {
    let manifests = manifests.into_iter().map(|(platform, mut descriptor)| {
        descriptor.platform = Some(platform);
        descriptor
    });
    Index {
        schema_version: 2,
        media_type: media::OCI_INDEX.to_owned(),
        manifests: manifests.collect(),
        extra: Map::new(),
    }
}

fn list(platforms: &[Platform]) -> String {
    let texts: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    texts.join(", ")
}

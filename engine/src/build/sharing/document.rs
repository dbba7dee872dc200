//! What a shared cache says: steps and their layers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::content::Digest;
use crate::image::{Descriptor, ImageConfig, ImageStore, Manifest};
use crate::layer::{ChainId, DiffId};

/// Media type of [`Document`].
pub(super) const MEDIA_TYPE: &str = "application/vnd.gantry.cacheconfig.v1+json";

/// Where an image's configuration holds its steps.
pub(in crate::build) const INLINE: &str = "gantry.cache.v1";

const VERSION: u32 = 1;

/// The configuration of the artifact.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    pub(super) steps: Vec<Known>,
}

/// A step and the layer it made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    /// Of the step, in hexadecimal digits.
    pub(super) key: String,
    /// What its layer lies on.
    pub(super) parent: Option<ChainId>,
    pub(super) diff_id: DiffId,
    /// The layer's archive, one of the manifest's.
    pub(super) blob: Digest,
    pub(super) created: String,
    pub(super) step: String,
}

/// A step of an image; its layer is told by its place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inline {
    pub(super) layer: usize,
    pub(super) key: String,
    pub(super) created: String,
    pub(super) step: String,
}

/// A cache that was read: steps by key, and where their layers are.
#[derive(Debug)]
pub(super) struct Index {
    steps: HashMap<String, Vec<Known>>,
    blobs: HashMap<Digest, Descriptor>,
}

impl Document {
    pub(super) fn new(steps: Vec<Known>) -> Self {
        Self {
            version: VERSION,
            steps,
        }
    }
}

impl Index {
    /// Reads an artifact, or an image with an inline cache.
    pub(super) fn read(manifest: &Manifest, config: &[u8]) -> Result<Self, String> {
        let steps = if manifest.config.media_type == MEDIA_TYPE {
            let document: Document = serde_json::from_slice(config)
                .map_err(|error| format!("it is damaged: {error}"))?;
            if document.version != VERSION {
                return Err(format!(
                    "it is of version {}; this is {VERSION}",
                    document.version
                ));
            }
            document.steps
        } else if manifest.config.media_type.contains("buildkit.cacheconfig") {
            return Err("it is BuildKit's cache, which describes BuildKit's own graph".into());
        } else {
            inline(manifest, config)?
        };
        let mut index = Self {
            steps: HashMap::new(),
            blobs: HashMap::new(),
        };
        for layer in &manifest.layers {
            index.blobs.insert(layer.digest, layer.clone());
        }
        for known in steps {
            index
                .steps
                .entry(known.key.clone())
                .or_default()
                .push(known);
        }
        Ok(index)
    }

    /// The step of a key whose layer lies on `parent`, and its archive.
    pub(super) fn find(
        &self,
        key: &str,
        parent: Option<&ChainId>,
    ) -> Option<(&Known, &Descriptor)> {
        let known = self.steps.get(key)?;
        let known = known.iter().find(|known| known.parent.as_ref() == parent)?;
        Some((known, self.blobs.get(&known.blob)?))
    }
}

/// The steps of an image.
fn inline(manifest: &Manifest, config: &[u8]) -> Result<Vec<Known>, String> {
    let config = ImageConfig::parse(config).map_err(|error| error.to_string())?;
    let Some(value) = config.extra.get(INLINE) else {
        return Err("it is an image without an inline cache".into());
    };
    let steps: Vec<Inline> =
        Vec::deserialize(value).map_err(|error| format!("its inline cache is damaged: {error}"))?;
    let chains = ImageStore::chain_ids(&config);
    let known = |step: Inline| {
        let at = step.layer;
        let parent = at.checked_sub(1).map(|below| chains.get(below).copied());
        Some(Known {
            key: step.key,
            parent: match parent {
                Some(chain) => Some(chain?),
                None => None,
            },
            diff_id: *config.rootfs.diff_ids.get(at)?,
            blob: manifest.layers.get(at)?.digest,
            created: step.created,
            step: step.step,
        })
    };
    steps
        .into_iter()
        .map(|step| known(step).ok_or_else(|| "its inline cache names layers it has not".into()))
        .collect()
}

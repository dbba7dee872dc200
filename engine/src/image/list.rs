//! Which images are here.

use std::collections::{BTreeMap, BTreeSet};

use super::store::{ImageId, ImageStore};
use super::{CONFIG_LIMIT, ImageConfig, ImageError, ImageSummary, Reference, Variant};

impl ImageStore {
    /// Every image, newest first; the built-in one last, once it was used.
    pub fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        let mut names: BTreeMap<ImageId, (Vec<Reference>, Vec<Reference>)> = BTreeMap::new();
        let mut variants: BTreeMap<ImageId, BTreeSet<ImageId>> = BTreeMap::new();
        for (name, named) in self.refs.records()? {
            let together = variants.entry(named.image).or_default();
            together.insert(named.image);
            together.extend(named.variants);
            let (tags, digests) = names.entry(named.image).or_default();
            if name.digest().is_none() {
                tags.push(name)
            } else {
                digests.push(name)
            }
        }
        let others: BTreeSet<ImageId> = variants.values().flatten().copied().collect();
        let mut list = Vec::new();
        for id in self.ids()? {
            // Told with the one that its name means first.
            if others.contains(&id) && !names.contains_key(&id) {
                continue;
            }
            // One removed meanwhile is no error.
            let Ok(record) = self.record(&id) else {
                continue;
            };
            // One that is damaged keeps nobody from seeing the others, and from removing it.
            let config = self.content.read(&id, CONFIG_LIMIT);
            let config = config
                .map_err(ImageError::from)
                .and_then(|bytes| ImageConfig::parse(&bytes));
            let damaged = config.is_err();
            let config = config.unwrap_or_default();
            let size = record
                .layers
                .iter()
                .filter_map(|chain| self.layers.get(chain).ok())
                .map(|layer| layer.size)
                .sum();
            let (tags, digests) = names.remove(&id).unwrap_or_default();
            let variants = match variants.get(&id).filter(|ids| ids.len() > 1) {
                Some(ids) => self.together(ids),
                None => vec![Variant {
                    platform: config.platform(),
                    id,
                    size,
                }],
            };
            list.push(ImageSummary {
                id,
                tags,
                digests,
                created: config.created,
                size,
                labels: config.config.labels,
                variants,
                built_in: false,
                damaged,
            });
        }
        list.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        if let Some(summary) = self.host_summary()? {
            list.push(summary);
        }
        Ok(list)
    }

    /// A name's images; one that is damaged is left out.
    fn together(&self, ids: &BTreeSet<ImageId>) -> Vec<Variant> {
        let images = ids.iter().filter_map(|id| self.get(id).ok());
        images
            .map(|image| Variant {
                platform: image.config.platform(),
                id: image.id,
                size: image.size(),
            })
            .collect()
    }
}

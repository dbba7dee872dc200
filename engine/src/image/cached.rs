//! The builder's cache as the store sees it: records below `build/cache`, each of a step and the layer it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::FlockOperation;
use serde::Deserialize;

use super::store::ImageStore;
use super::{ImageError, lease};
use crate::layer::ChainId;
use crate::state::Paths;

/// A step that the cache knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedStep {
    /// The layer it made.
    pub layer: ChainId,
    /// The step, as it was written.
    pub step: String,
    /// When it ran, RFC 3339.
    pub created: Option<String>,
    /// Bytes of the layer.
    pub size: u64,
    /// An image has the layer too.
    pub shared: bool,
    /// A build uses it now.
    pub in_use: bool,
    /// When it was made or used last.
    pub last_used: Option<SystemTime>,
    /// How often it was made or used.
    pub uses: usize,
}

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    layer: Option<ChainId>,
    #[serde(default)]
    step: String,
    created: Option<String>,
    /// How often it saved a step: an end of line each.
    #[serde(skip)]
    used_again: usize,
}

/// How much of the build cache was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// All that was asked for.
    Whole,
    /// Not what steps and downloads have kept: somebody builds or pulls.
    ButForWhatIsKept,
}

impl ImageStore {
    /// The steps that the cache knows and whose layers are here, one for each layer.
    pub fn cached_steps(&self) -> Result<Vec<CachedStep>, ImageError> {
        let _exclusive = self.lock(FlockOperation::LockExclusive)?;
        let leased = lease::protected(&self.root.join("leases"))?;
        let mut of_images: BTreeSet<ChainId> = BTreeSet::new();
        for id in self.ids()? {
            of_images.extend(self.record(&id)?.layers);
        }
        let mut found = BTreeMap::new();
        for (path, record) in self.records()? {
            let Some(Ok(layer)) = record.layer.map(|layer| self.layers.get(&layer)) else {
                continue;
            };
            let chain = layer.chain_id;
            let last_used = fs::metadata(path).and_then(|file| file.modified()).ok();
            let uses = 1 + record.used_again;
            // Several steps may have made the same layer.
            let same = |known: &mut CachedStep| {
                known.last_used = known.last_used.max(last_used);
                known.uses += uses;
            };
            let entry = found.entry(chain).and_modify(same);
            entry.or_insert(CachedStep {
                layer: chain,
                step: record.step,
                created: record.created,
                size: layer.size,
                shared: of_images.contains(&chain),
                in_use: leased.contains(&chain),
                last_used,
                uses,
            });
        }
        Ok(found.into_values().collect())
    }

    /// Takes a layer, and those over it, out of the build cache: their steps run again.
    pub fn forget_cached(&self, layer: &ChainId) -> Result<(), ImageError> {
        for (record, cached) in self.cached_layers()? {
            let is_over = || {
                let chain = self.layers.chain(&cached);
                chain.is_ok_and(|chain| chain.iter().any(|one| one.chain_id == *layer))
            };
            if cached == *layer || is_over() {
                forget(&record)?;
            }
        }
        Ok(())
    }

    /// Takes everything out of the build cache that was not made or used since a time, or all, with what the builder
    /// remembers of its steps, and, unless somebody builds or pulls, what its steps and downloads have kept.
    pub fn empty_cache(&self, until: Option<SystemTime>) -> Result<Emptied, ImageError> {
        for path in self.stale("cache", until) {
            forget(&path)?;
        }
        // A build takes a lease before it uses them, and for that the lock; but for the indexes of contexts, which it
        // makes anew when they are gone.
        let _exclusive = self.lock(FlockOperation::LockExclusive)?;
        if !lease::held(&self.root.join("leases"))?.is_empty() {
            return Ok(Emptied::ButForWhatIsKept);
        }
        let trash = Paths::below(&self.root).trash();
        for folder in ["mounts", "http", "contexts"] {
            for path in self.stale(folder, until) {
                let put = trash.put(&path).map_err(std::io::Error::other);
                put.map_err(ImageError::io("remove", &path))?;
            }
        }
        Ok(Emptied::Whole)
    }

    /// What lies in a folder of the builder's, and was not made or used since a time.
    fn stale(&self, folder: &str, until: Option<SystemTime>) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join("build").join(folder));
        let entries = entries.into_iter().flatten().flatten();
        let is_old = |entry: &fs::DirEntry| {
            let written = entry.metadata().and_then(|data| data.modified());
            until.is_none_or(|until| written.is_ok_and(|written| written < until))
        };
        entries.filter(is_old).map(|entry| entry.path()).collect()
    }

    /// The builder's cache records, and the layers that they name.
    pub(super) fn cached_layers(&self) -> Result<Vec<(PathBuf, ChainId)>, ImageError> {
        let records = self.records()?.into_iter();
        let layers = records.filter_map(|(path, record)| Some((path, record.layer?)));
        Ok(layers.collect())
    }

    fn records(&self) -> Result<Vec<(PathBuf, Record)>, ImageError> {
        let folder = self.root.join("build/cache");
        let list = match fs::read_dir(&folder) {
            Ok(list) => list,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ImageError::io("list", folder)(error)),
        };
        let mut records = Vec::new();
        for path in list
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
        {
            // A record that cannot be read protects nothing, and the builder ignores it too.
            if let Ok(text) = fs::read(&path)
                && let Ok(mut record) = serde_json::from_slice::<Record>(&text)
            {
                record.used_again = text.len() - text.trim_ascii_end().len();
                records.push((path, record));
            }
        }
        Ok(records)
    }
}

/// Removes a file that another may have removed already.
fn forget(path: &Path) -> Result<(), ImageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ImageError::io("remove", path.to_owned())(error))
        }
        _ => Ok(()),
    }
}

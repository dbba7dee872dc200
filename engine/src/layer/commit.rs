//! An upper directory becomes a layer, by rename.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoints::Checkpoints;
use super::store::Record;
use super::{ChainId, DiffId, Layer, LayerError, LayerStore, TarOptions, digest, upper};

/// A smaller layer is hashed from its beginning as quickly.
const WORTH_IT: u64 = 1 << 20;

/// How a layer relates to others on the same parent.
#[derive(Clone, Copy, Debug)]
pub enum Kin<'l> {
    /// Not at all.
    None,
    /// Others may be made over it: what makes that quick is kept.
    First,
    /// It has only what changed since this one, which must have no deletions of its own; and it may delete only
    /// what nothing below the two has.
    Over(&'l Layer),
}

impl LayerStore {
    /// Makes a container's or build step's upper directory a layer: it is renamed, not copied,
    /// and must lie on the store's file system. Its diff id is the digest of the archive that
    /// [`super::write_tar`] makes of it. `base` is what lies below the lowest layer, topmost
    /// first: nothing, or the `host` image's directories. `claim` is told the layer's id before the layer is there (or is
    /// found there): what it protects is not collected.
    pub fn commit(
        &self,
        upper: &Path,
        parent: Option<&ChainId>,
        base: &[PathBuf],
        kin: Kin<'_>,
        claim: &dyn Fn(&ChainId) -> Result<(), LayerError>,
    ) -> Result<Layer, LayerError> {
        let over = match kin {
            Kin::Over(layer) => Some(layer),
            Kin::None | Kin::First => None,
        };
        let mut lowers: Vec<PathBuf> = over.map(|over| over.dir.clone()).into_iter().collect();
        if let Some(parent) = parent {
            for layer in self.chain(parent)?.iter().rev() {
                lowers.extend(layer.dirs().cloned());
            }
        }
        lowers.extend_from_slice(base);
        upper::normalize(upper, &lowers)?;
        let (diff_id, size, checkpoints) = self.digest(upper, kin)?;
        claim(&super::chain_id(parent, &diff_id))?;
        let draft = self.draft()?;
        fs::remove_dir(draft.dir()).map_err(LayerError::io("remove", draft.dir()))?;
        fs::rename(upper, draft.dir()).map_err(LayerError::io("rename", upper))?;
        match (checkpoints, over) {
            (Some(checkpoints), None) if size >= WORTH_IT => {
                checkpoints.save(&draft.checkpoints());
            }
            (Some(checkpoints), Some(over)) => {
                checkpoints.save(&self.checkpoints(&over.chain_id));
            }
            _ => {}
        }
        let record = Record {
            over: over.map(|over| over.chain_id),
            ..Record::new(diff_id, parent, size)
        };
        self.finish(draft, record)
    }

    /// The digest of the archive, the bytes of regular files, and where the digest stood.
    fn digest(
        &self,
        upper: &Path,
        kin: Kin<'_>,
    ) -> Result<(DiffId, u64, Option<Checkpoints>), LayerError> {
        let options = TarOptions::default();
        let mut known = match kin {
            Kin::None => {
                let (diff_id, size) = digest::digest_tree(upper, &options)?;
                return Ok((diff_id, size, None));
            }
            Kin::First => Checkpoints::default(),
            Kin::Over(over) => {
                Checkpoints::read(&self.checkpoints(&over.chain_id)).unwrap_or_default()
            }
        };
        let mut directories = vec![upper];
        if let Kin::Over(over) = kin {
            directories.push(&over.dir);
        }
        let (diff_id, size) = digest::digest_merged(&directories, &options, &mut known)?;
        Ok((diff_id, size, Some(known)))
    }
}

//! One step: its layer from this machine's cache, from another's, or by doing it.

use std::time::Instant;

use super::digest::{Fields, Hash, hex};
use super::error::BuildError;
use super::progress::{BuildProgress, StepId};
use super::solve::Solver;
use super::store::{self, Stack};
use super::turns::lock;
use crate::layer::Layer;

/// What a step gave.
pub(super) struct Made {
    pub(super) layer: Layer,
    /// When it was made, RFC 3339.
    pub(super) created: String,
    /// It ran in this build.
    pub(super) ran: bool,
    /// Under which the cache has it.
    pub(super) key: Hash,
    /// The step, for people.
    pub(super) name: String,
}

impl Solver<'_> {
    /// The layer of a step on top of a stack: from the cache, or by `work`, which fills and commits it.
    pub(super) fn vertex(
        &self,
        name: &str,
        key: &Hash,
        below: &Stack,
        no_cache: bool,
        work: &mut dyn FnMut(StepId) -> Result<Layer, BuildError>,
    ) -> Result<Made, BuildError> {
        if self.is_stopped() {
            return Err(BuildError::Cancelled);
        }
        let step = self.number();
        let key = self.dated(key);
        // One at a time for each key; the others find what the first one made.
        let turn = self.shared.tally.turn(&self.root, &key);
        let mut mine = lock(&turn);
        if (!no_cache || mine.is_some())
            && let Some(found) = self.find(&key, name, below)
        {
            self.cached(step, name);
            return Ok(found);
        }
        let _permit = self.permit();
        // Another process may be at the same step.
        let path = self.root.join("build/locks").join(hex(&key));
        let guard = crate::state::Lock::exclusive(&path);
        if !no_cache
            && guard.is_ok()
            && let Some(found) = self.find(&key, name, below)
        {
            self.cached(step, name);
            return Ok(found);
        }
        if self.is_stopped() {
            return Err(BuildError::Cancelled);
        }
        let made = match (!no_cache)
            .then(|| self.import(&key, name, below))
            .flatten()
        {
            Some(made) => {
                self.cached(step, name);
                made
            }
            None => self.make(step, name, &key, work)?,
        };
        let parent = below.top().map(ToString::to_string);
        let chain = made.layer.chain_id.to_string();
        self.cache.put(&key, chain, parent, &made.created, name);
        *mine = Some(made.layer.clone());
        drop(guard);
        let _ = std::fs::remove_file(&path);
        Ok(made)
    }

    /// What a cache of another machine has for a key on top of these layers.
    fn import(&self, key: &Hash, name: &str, below: &Stack) -> Option<Made> {
        let imported = self.imports.find(self, key, below)?;
        Some(Made {
            layer: imported.layer,
            created: imported.created,
            ran: false,
            key: *key,
            name: name.to_owned(),
        })
    }

    /// Does the step.
    fn make(
        &self,
        step: StepId,
        name: &str,
        key: &Hash,
        work: &mut dyn FnMut(StepId) -> Result<Layer, BuildError>,
    ) -> Result<Made, BuildError> {
        let layer = self.work(step, name, work)?;
        self.shared.tally.count_executed();
        Ok(Made {
            layer,
            created: self.now(),
            ran: true,
            key: *key,
            name: name.to_owned(),
        })
    }

    /// Layers with clamped times are others than those without.
    fn dated(&self, key: &Hash) -> Hash {
        match self.epoch {
            None => *key,
            Some(epoch) => {
                let mut fields = Fields::new("dated");
                fields.add(key).add(&epoch.to_le_bytes());
                fields.finish()
            }
        }
    }

    /// What the cache has for a key on top of these layers.
    fn find(&self, key: &Hash, name: &str, below: &Stack) -> Option<Made> {
        let top = below.top().map(ToString::to_string);
        let record = self.cache.get(key, top.as_ref())?;
        // Protected first, looked for then: it cannot be collected in between.
        self.lease.protect(&record.layer.parse().ok()?).ok()?;
        let layer = store::layer(self.images, &record.layer)?;
        self.cache.count(key);
        Some(Made {
            layer,
            created: record.created,
            ran: false,
            key: *key,
            name: name.to_owned(),
        })
    }

    /// Works, and tells how it goes.
    fn work(
        &self,
        step: StepId,
        name: &str,
        work: &mut dyn FnMut(StepId) -> Result<Layer, BuildError>,
    ) -> Result<Layer, BuildError> {
        let begun = Instant::now();
        self.tell(BuildProgress::Started {
            step,
            name: name.to_owned(),
        });
        let made = work(step);
        self.tell(match &made {
            Ok(_) => BuildProgress::Done {
                step,
                elapsed: begun.elapsed(),
            },
            Err(BuildError::Cancelled) => BuildProgress::Cancelled { step },
            Err(error) => BuildProgress::Failed {
                step,
                error: error.to_string(),
            },
        });
        made
    }

    fn cached(&self, step: StepId, name: &str) {
        self.shared.tally.count_cached();
        self.tell(BuildProgress::Cached {
            step,
            name: name.to_owned(),
        });
    }
}

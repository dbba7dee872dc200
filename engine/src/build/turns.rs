//! Who does a step: each is done once by all builds of this process that are at work, whatever they are for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::BuildOutcome;
use super::digest::Hash;
use super::explain::Explanation;
use super::progress::StepId;
use crate::layer::Layer;

/// What is counted over all platforms of a build.
#[derive(Default)]
pub(super) struct Tally {
    steps: AtomicUsize,
    cached: AtomicUsize,
    executed: AtomicUsize,
    /// The steps of this build.
    turns: Mutex<HashMap<Hash, Turn>>,
    explanations: Mutex<Vec<Explanation>>,
}

/// Taken by who is at a step. It holds the layer once there is one.
pub(super) type Turn = Arc<Mutex<Option<Layer>>>;

/// The turns of all builds in this process, by engine root: builds at the same time do a step that they share once,
/// `--no-cache` or not.
static TURNS: Mutex<BTreeMap<(PathBuf, Hash), WeakTurn>> = Mutex::new(BTreeMap::new());

/// A turn that no build keeps is over.
type WeakTurn = Weak<Mutex<Option<Layer>>>;

impl Tally {
    /// The turn of a step; the build keeps it to its end.
    pub(super) fn turn(&self, root: &Path, key: &Hash) -> Turn {
        let mut mine = lock(&self.turns);
        let turn = mine.entry(*key).or_insert_with(|| {
            let mut all = lock(&TURNS);
            all.retain(|_, turn| turn.strong_count() > 0);
            let known = all.entry((root.to_owned(), *key)).or_default();
            known.upgrade().unwrap_or_else(|| {
                let turn = Turn::default();
                *known = Arc::downgrade(&turn);
                turn
            })
        });
        turn.clone()
    }

    /// A number for a step.
    pub(super) fn number(&self) -> StepId {
        self.steps.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A step was done.
    pub(super) fn count_executed(&self) {
        self.executed.fetch_add(1, Ordering::Relaxed);
    }

    /// A step's result was there.
    pub(super) fn count_cached(&self) {
        self.cached.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps what is to be told of a step.
    pub(super) fn explain(&self, explanation: Explanation) {
        lock(&self.explanations).push(explanation);
    }

    /// Whether any step ran.
    pub(super) fn has_executed(&self) -> bool {
        self.executed.load(Ordering::Relaxed) > 0
    }

    /// Puts the numbers where the caller finds them.
    pub(super) fn tell(&self, outcome: &mut BuildOutcome) {
        outcome.cached = self.cached.load(Ordering::Relaxed);
        outcome.executed = self.executed.load(Ordering::Relaxed);
        outcome.explanations.clone_from(&lock(&self.explanations));
    }
}

/// A poisoned lock only means that another thread is unwinding; what it guards is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

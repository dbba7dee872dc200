//! One build at work: which stages run, on which thread, and what they share.
//!
//! Every needed stage gets a thread; one that needs another waits for it, or runs it itself when nobody has begun
//! yet. Waiting holds no permit, working does. Two steps with the same key never run twice, in
//! this build or in another one: the second waits and finds the record.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::BuildOutcome;
use super::cache::Cache;
use super::context::Context;
use super::diagnostic::{Diagnostic, Severity, Source, Span};
use super::digest::{Fields, Hash, hex};
use super::error::BuildError;
use super::explain::Explanation;
use super::graph::Origin;
use super::parse::Dockerfile;
use super::progress::{BuildProgress, Cancel, ProgressSink, StepId};
use super::request::{BuildRequest, NoCache};
use super::scratch::Scratch;
use super::sharing::{CacheTo, Imports, Step};
use super::stages::Stages;
use super::store::{self, Stack};
use super::values::Platform;
use super::variables::Variables;
use crate::error::ErrorKind;
use crate::image::{ImageConfig, ImageStore, Lease};
use crate::layer::Layer;

/// What a stage has made.
#[derive(Clone, Debug)]
pub(super) struct StageResult {
    pub(super) stack: Stack,
    /// Stands for the files in cache keys.
    pub(super) key: Hash,
    pub(super) config: ImageConfig,
    pub(super) variables: Variables,
    /// When the topmost layer was made.
    pub(super) created: Option<String>,
    /// Those that other machines could take from a cache, in order.
    pub(super) steps: Vec<Step>,
}

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

/// Everything the stages of a build share.
pub(super) struct Solver<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) images: &'a ImageStore,
    pub(super) root: PathBuf,
    pub(super) run_dir: PathBuf,
    pub(super) file: &'a Dockerfile,
    pub(super) stages: &'a Stages,
    pub(super) bases: &'a [Origin],
    pub(super) globals: &'a BTreeMap<String, String>,
    pub(super) context: Arc<Context>,
    /// What each stage is built for.
    pub(super) platforms: &'a [Platform],
    /// What the target is built for.
    pub(super) platform: Platform,
    /// The build is for other platforms too.
    pub(super) several: bool,
    /// SOURCE_DATE_EPOCH.
    pub(super) epoch: Option<i64>,
    pub(super) cache: Cache,
    /// Caches of other machines.
    pub(super) imports: Imports,
    /// Caches for other machines.
    pub(super) exports: Vec<CacheTo>,
    pub(super) scratch: Scratch,
    /// Layers of this build are in nobody's records until the image is.
    pub(super) lease: Lease,
    pub(super) shared: Shared<'a>,
}

/// The moving parts.
pub(super) struct Shared<'a> {
    progress: ProgressSink<'a>,
    cancel: &'a Cancel,
    stopped: AtomicBool,
    failure: Mutex<Option<BuildError>>,
    slots: Vec<(Mutex<Slot>, Condvar)>,
    permits: (Mutex<usize>, Condvar),
    tally: &'a Tally,
    pub(super) named: Mutex<HashMap<String, Arc<Context>>>,
}

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
type Turn = Arc<Mutex<Option<Layer>>>;

/// The turns of all builds in this process, by engine root: builds at the same time do a step that they share once,
/// `--no-cache` or not.
static TURNS: Mutex<BTreeMap<(PathBuf, Hash), WeakTurn>> = Mutex::new(BTreeMap::new());

/// A turn that no build keeps is over.
type WeakTurn = Weak<Mutex<Option<Layer>>>;

impl Tally {
    /// The turn of a step; the build keeps it to its end.
    fn turn(&self, root: &Path, key: &Hash) -> Turn {
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

#[derive(Clone)]
enum Slot {
    Idle,
    Running,
    Done(Arc<StageResult>),
    Failed,
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        stages: usize,
        progress: ProgressSink<'a>,
        cancel: &'a Cancel,
        tally: &'a Tally,
    ) -> Self {
        let workers = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .max(2);
        Self {
            progress,
            cancel,
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            slots: (0..stages)
                .map(|_| (Mutex::new(Slot::Idle), Condvar::new()))
                .collect(),
            permits: (Mutex::new(workers), Condvar::new()),
            tally,
            named: Mutex::new(HashMap::new()),
        }
    }

    /// Keeps what is to be told of a step.
    pub(super) fn explain(&self, explanation: Explanation) {
        lock(&self.tally.explanations).push(explanation);
    }

    /// Whether any step ran, on any platform.
    pub(super) fn has_executed(&self) -> bool {
        self.tally.has_executed()
    }

    /// The steps of every stage that is done.
    pub(super) fn steps_of_all_stages(&self) -> Vec<Step> {
        let done = self
            .slots
            .iter()
            .filter_map(|(slot, _)| match &*lock(slot) {
                Slot::Done(result) => Some(result.clone()),
                _ => None,
            });
        done.flat_map(|result| result.steps.clone()).collect()
    }
}

/// A poisoned lock only means that another thread is unwinding; what it guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Given back when dropped.
struct Permit<'a>(&'a (Mutex<usize>, Condvar));

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) += 1;
        self.0.1.notify_one();
    }
}

impl Solver<'_> {
    /// Runs the needed stages and gives the result of the target.
    pub(super) fn run(
        &self,
        needed: &[usize],
        target: usize,
    ) -> Result<Arc<StageResult>, BuildError> {
        std::thread::scope(|scope| {
            for stage in needed.iter().copied().filter(|stage| *stage != target) {
                // A thread that cannot be made is no loss: whoever needs the stage runs it.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || self.stage(stage));
            }
            let _ = self.stage(target);
        });
        if let Some(error) = lock(&self.shared.failure).take() {
            return Err(error);
        }
        self.stage(target)
    }

    /// The result of a stage: waits for it, or runs it.
    pub(super) fn stage(&self, index: usize) -> Result<Arc<StageResult>, BuildError> {
        let (slot, changed) = &self.shared.slots[index];
        let mut state = lock(slot);
        loop {
            match &*state {
                Slot::Idle => break,
                Slot::Done(result) => return Ok(result.clone()),
                Slot::Failed => return Err(BuildError::Cancelled),
                Slot::Running => {
                    state = changed.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
        *state = Slot::Running;
        drop(state);
        let result = super::stage::run(self, index);
        let mut state = lock(slot);
        let outcome = match result {
            Ok(result) => {
                let result = Arc::new(result);
                *state = Slot::Done(result.clone());
                Ok(result)
            }
            Err(error) => {
                *state = Slot::Failed;
                self.fail(error);
                Err(BuildError::Cancelled)
            }
        };
        changed.notify_all();
        outcome
    }

    /// Keeps the first real error and stops everything else.
    fn fail(&self, error: BuildError) {
        let mut failure = lock(&self.shared.failure);
        let replace = match &*failure {
            None => true,
            Some(BuildError::Cancelled) => !matches!(error, BuildError::Cancelled),
            Some(_) => false,
        };
        if replace {
            *failure = Some(error);
        }
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the build is over.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed) || self.shared.cancel.is_cancelled()
    }

    /// Tells something.
    pub(super) fn tell(&self, event: BuildProgress) {
        (self.shared.progress)(event);
    }

    /// A number for a step.
    pub(super) fn number(&self) -> StepId {
        self.shared.tally.steps.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn permit(&self) -> Permit<'_> {
        let (count, freed) = &self.shared.permits;
        let mut free = lock(count);
        while *free == 0 {
            free = freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(&self.shared.permits)
    }

    /// Whether a stage's steps must run.
    pub(super) fn ignores_cache(&self, label: &str) -> bool {
        match &self.request.no_cache {
            NoCache::Never => false,
            NoCache::All => true,
            NoCache::Stages(names) => names.iter().any(|name| name.eq_ignore_ascii_case(label)),
        }
    }

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
        self.lease
            .protect(&layer.chain_id)
            .map_err(|source| BuildError::Store {
                action: "protect a layer".into(),
                kind: crate::error::Classify::kind(&source),
                source: Box::new(source),
            })?;
        self.shared.tally.executed.fetch_add(1, Ordering::Relaxed);
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
        Some(Made {
            layer: store::layer(self.images, &record.layer)?,
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
        self.shared.tally.cached.fetch_add(1, Ordering::Relaxed);
        self.tell(BuildProgress::Cached {
            step,
            name: name.to_owned(),
        });
    }

    /// The time that new things get.
    pub(super) fn now(&self) -> String {
        match self
            .epoch
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        {
            Some(epoch) => epoch.to_string(),
            None => jiff::Timestamp::now().to_string(),
        }
    }

    /// An error of a step, pointing at its line.
    pub(super) fn step_error(
        &self,
        step: &str,
        source: &Source,
        span: Span,
        kind: ErrorKind,
        message: impl Into<String>,
        help: Option<String>,
    ) -> BuildError {
        BuildError::Step {
            step: step.to_owned(),
            diagnostic: Box::new(Diagnostic {
                severity: Severity::Error,
                source: source.clone(),
                span,
                message: message.into(),
                help,
            }),
            kind,
        }
    }
}

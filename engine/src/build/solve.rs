//! One build at work: which stages run, on which thread, and what they share.
//!
//! Every needed stage gets a thread; one that needs another waits for it, or runs it itself when nobody has begun
//! yet. Waiting holds no permit, working does. Two steps with the same key never run twice, in
//! this build or in another one: the second waits and finds the record.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::cache::Cache;
use super::context::Context;
use super::diagnostic::{Diagnostic, Severity, Source, Span};
use super::digest::Hash;
use super::error::BuildError;
use super::explain::Explanation;
use super::graph::Origin;
use super::parse::Dockerfile;
use super::platform::Platform;
use super::progress::{BuildProgress, Cancel, ProgressSink, StepId};
use super::request::{BuildRequest, NoCache};
use super::scratch::Scratch;
use super::sharing::{CacheTo, Imports, Step};
use super::stages::Stages;
use super::store::Stack;
use super::turns::{Tally, lock};
use super::variables::Variables;
use crate::error::ErrorKind;
use crate::image::{ImageConfig, ImageStore, Lease};

/// What a stage has made.
#[derive(Clone, Debug)]
pub(super) struct StageResult {
    pub(super) stack: Stack,
    /// Stands for the files in cache keys.
    pub(super) key: Hash,
    pub(super) config: ImageConfig,
    pub(super) variables: Variables,
    /// Those that other machines could take from a cache, in order.
    pub(super) steps: Vec<Step>,
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
    pub(super) tally: &'a Tally,
    pub(super) named: Mutex<HashMap<String, Arc<Context>>>,
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
        self.tally.explain(explanation);
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

/// Given back when dropped.
pub(super) struct Permit<'a>(&'a (Mutex<usize>, Condvar));

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
        self.shared.tally.number()
    }

    /// The right to work; waiting needs none.
    pub(super) fn permit(&self) -> Permit<'_> {
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

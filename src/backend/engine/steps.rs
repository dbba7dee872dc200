//! A build's progress in words: the engine numbers its steps, people want their names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gantry_engine::build::{BuildProgress, StepId};

use crate::backend::BuildEvent;

/// The names of the steps that have begun.
#[derive(Debug, Default)]
pub struct Steps(Mutex<BTreeMap<StepId, String>>);

impl Steps {
    /// The event to show, if there is anything to show.
    pub fn name(&self, event: BuildProgress) -> Option<BuildEvent> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begin = |step: StepId, name: String| {
            names.insert(step, name.clone());
            name
        };
        Some(match event {
            BuildProgress::Started { step, name } => BuildEvent::Started(begin(step, name)),
            BuildProgress::Cached { step, name } => BuildEvent::Cached(begin(step, name)),
            BuildProgress::Log { step, line, .. } => BuildEvent::Log {
                step: names.get(&step)?.clone(),
                line,
            },
            BuildProgress::Done { step, .. } => BuildEvent::Done(names.get(&step)?.clone()),
            BuildProgress::Failed { step, .. } => BuildEvent::Failed(names.get(&step)?.clone()),
            BuildProgress::Warning(diagnostic) => BuildEvent::Warning(diagnostic.render()),
            BuildProgress::Transfer { .. } | BuildProgress::Cancelled { .. } => return None,
        })
    }
}

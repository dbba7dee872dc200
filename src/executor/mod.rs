//! Walks a plan: bounded concurrency, conditions, events. Decides nothing, prints nothing.
//!
//! [`execute`] runs steps on a few threads; the calling thread schedules (`walk`): a step begins when
//! all it comes after is done and, for a start, when its conditions are met. Conditions are
//! re-examined when the engine tells of a change. [`wait`] waits for services to be ready.
//! [`event`] is what a renderer sees, [`failure`] what a failed run says.

pub mod cancel;
pub mod conditions;
pub mod event;
pub mod failure;
mod job;
mod queue;
pub mod wait;
mod walk;

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use crate::backend::{Backend, BackendError, ContainerId, ProjectLock};
use crate::lower::Stack;
use crate::plan::{Condition, Operation, Plan, StepId, labels};

pub use cancel::Cancel;
pub use event::{Event, Kind, Phase, Sink};
pub use failure::{Cause, ExecuteError, Failure};

use queue::Queue;
use walk::Walk;

/// Threads for steps that wait for something else than a processor.
const MOST_THREADS: usize = 64;

/// When nothing is told for so long, look again: a supervisor that was killed tells nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a run needs besides its plan.
pub struct Execution<'a> {
    /// The engine.
    pub backend: &'a dyn Backend,
    /// The project's name.
    pub project: &'a str,
    /// Specifications; `None` when only labels are known: such plans create nothing.
    pub stack: Option<&'a Stack>,
    /// Where events go.
    pub events: Sink<'a>,
    /// How many steps run at once; `None`: as many as there are for those that mostly wait
    /// (stops), twice the processors for those that work (creations, starts).
    pub parallel: Option<usize>,
    /// Stops the run when the user wants so.
    pub cancel: &'a Cancel,
    /// The project's lock, if it is held: others may change the project while this run does
    /// nothing but wait for a condition.
    pub lock: Option<&'a dyn ProjectLock>,
}

impl Execution<'_> {
    /// Waits with the project's lock given up.
    fn unlocked<T>(&self, wait: impl FnOnce() -> T) -> Result<T, BackendError> {
        let Some(lock) = self.lock else {
            return Ok(wait());
        };
        lock.release()?;
        let result = wait();
        lock.retake()?;
        Ok(result)
    }
}

/// What a run made.
#[derive(Debug, Default)]
pub struct Done {
    /// Containers created, by name.
    pub created: BTreeMap<String, ContainerId>,
    /// Containers started, by name.
    pub started: BTreeMap<String, ContainerId>,
}

/// Walks the plan. Steps that do not depend on a failed one are still done.
pub fn execute(run: &Execution<'_>, plan: &Plan) -> Result<Done, ExecuteError> {
    for warning in &plan.warnings {
        (run.events)(Event::Warning(warning.to_string()));
    }
    if plan.is_empty() {
        return Ok(Done::default());
    }
    let (sender, receiver) = mpsc::channel();
    let waker = sender.clone();
    let _wake = run.cancel.on_cancel(move || {
        let _ = waker.send(Message::Cancelled);
    });
    let subscription = subscribe(run, plan, &sender)?;
    let queue = Queue::default();
    let workers = run.parallel.unwrap_or(MOST_THREADS).min(plan.len());
    let outcome = std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let queue = &queue;
            scope.spawn(move || {
                while let Some((step, job)) = queue.pop() {
                    let result = job.run(run);
                    if sender.send(Message::Finished(step, result)).is_err() {
                        break;
                    }
                }
            });
        }
        let outcome = Walk::new(run, plan, &queue).walk(&receiver);
        queue.close();
        outcome
    });
    drop(subscription);
    outcome
}

/// Changes are only listened to when a start waits for more than another start.
fn subscribe(
    run: &Execution<'_>,
    plan: &Plan,
    sender: &Sender<Message>,
) -> Result<Option<crate::backend::Subscription>, ExecuteError> {
    let waits = plan.steps().any(|(_, step)| match &step.operation {
        Operation::Start { waits, .. } => waits.iter().any(|w| w.condition != Condition::Started),
        _ => false,
    });
    if !waits {
        return Ok(None);
    }
    let (changes, told) = mpsc::channel();
    let sender = sender.clone();
    let subscription = run
        .backend
        .subscribe(&[(labels::PROJECT, run.project)], changes)?;
    std::thread::spawn(move || {
        // Ends with the subscription or with the walk, whichever is first.
        while told.recv().is_ok() {
            if sender.send(Message::Changed).is_err() {
                break;
            }
        }
    });
    Ok(Some(subscription))
}

/// What the scheduling thread hears.
enum Message {
    Finished(StepId, Result<Option<ContainerId>, Box<Failure>>),
    Changed,
    Cancelled,
}

#[cfg(test)]
mod tests;

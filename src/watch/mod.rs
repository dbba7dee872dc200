//! Source changes to rebuilds, syncs and restarts.
//!
//! [`Rules`] says what a changed path means; [`Batch`] collects many changes into one
//! set of actions; [`Source`] watches the disk. [`run`] ties them together. What an
//! action does is the caller's: see [`Actions`]. Refused: rules on paths that do not exist.

mod batch;
mod rules;
mod source;

use std::path::PathBuf;
use std::time::Duration;

pub use batch::{Batch, ServiceBatch, SyncOp};
pub use rules::{Action, Rule, Rules};
pub use source::{Source, WatchError};

/// Quiet time after which changes become a batch: an editor's or a checkout's many
/// writes come within it, and a person does not notice it.
const QUIET: Duration = Duration::from_millis(25);

/// The longest a batch is held back while changes go on.
const PATIENCE: Duration = Duration::from_millis(500);

/// Carries out what a batch asks for, in the order the methods stand here.
pub trait Actions {
    /// What can go wrong; reported, and the watch goes on.
    type Error: std::fmt::Display;

    /// Builds the images of these services at once and replaces their containers.
    fn rebuild(&mut self, services: &[String]) -> Result<(), Self::Error>;
    /// Copies and deletes files in every running container of a service.
    fn sync(&mut self, service: &str, operations: &[SyncOp]) -> Result<(), Self::Error>;
    /// Restarts a service's containers.
    fn restart(&mut self, service: &str) -> Result<(), Self::Error>;
    /// Runs the command of a `sync+exec` rule, the rule being known by its index.
    fn exec(&mut self, service: &str, rule: usize) -> Result<(), Self::Error>;
    /// Tells the user about a failed action.
    fn failed(&mut self, service: &str, error: &Self::Error);
}

/// Waits for changes and acts on them until `stop` says so; it is asked at least every
/// half second.
///
/// # Errors
/// When the disk cannot be watched any longer.
pub fn run<A: Actions>(
    rules: &Rules,
    source: &Source,
    actions: &mut A,
    mut stop: impl FnMut() -> bool,
) -> Result<(), WatchError> {
    while !stop() {
        let changes = source.next_changes(QUIET, PATIENCE)?;
        if !changes.is_empty() {
            apply(&Batch::collect(rules, &changes), actions);
        }
    }
    Ok(())
}

/// Carries out one batch: rebuilds first, because they replace containers that a sync
/// would otherwise change in vain.
pub fn apply<A: Actions>(batch: &Batch, actions: &mut A) {
    let rebuilt: Vec<String> = batch.rebuilds();
    if !rebuilt.is_empty()
        && let Err(error) = actions.rebuild(&rebuilt)
    {
        actions.failed(&rebuilt.join(", "), &error);
    }
    for (service, work) in batch.services().filter(|(_, work)| !work.rebuild) {
        if let Err(error) = carry_out(service, work, actions) {
            actions.failed(service, &error);
        }
    }
}

fn carry_out<A: Actions>(
    service: &str,
    work: &ServiceBatch,
    actions: &mut A,
) -> Result<(), A::Error> {
    if !work.sync.is_empty() {
        actions.sync(service, &work.sync)?;
    }
    if work.restart {
        actions.restart(service)?;
    }
    for rule in &work.exec {
        actions.exec(service, *rule)?;
    }
    Ok(())
}

/// A path that changed; what happened to it is looked up when the batch is made, because
/// only the last state counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute path.
    pub path: PathBuf,
}

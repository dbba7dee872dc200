//! Walks a plan: bounded concurrency, conditions, events. Decides nothing, prints nothing.
//!
//! [`execute`] runs steps on a few threads; the calling thread schedules: a step begins when
//! all it comes after is done and, for a start, when its conditions are met. Conditions are
//! re-examined when the engine tells of a change. [`wait`] waits for services to be ready.
//! [`event`] is what a renderer sees, [`failure`] what a failed run says.

pub mod cancel;
pub mod conditions;
pub mod event;
pub mod failure;
mod job;
pub mod wait;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::backend::{Backend, BackendError, Container, ContainerId, ProjectLock};
use crate::lower::Stack;
use crate::plan::{Condition, Operation, Plan, StepId, labels};

pub use cancel::Cancel;
pub use event::{Event, Kind, Phase, Sink};
pub use failure::{Cause, ExecuteError, Failure};

use conditions::Verdict;

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

/// How many containers may be made or started at once: more only get in each other's way.
fn busy_limit() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) * 2
}

/// Whether a step keeps a processor busy. One that begins with a stop mostly waits.
fn is_busy(operation: &Operation) -> bool {
    match operation {
        Operation::Create { replaces, .. } => !replaces.as_ref().is_some_and(|old| old.live),
        Operation::Start { .. } => true,
        _ => false,
    }
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

enum Message {
    Finished(StepId, Result<Option<ContainerId>, Box<Failure>>),
    Changed,
    Cancelled,
}

/// Work for the threads.
#[derive(Default)]
struct Queue {
    state: Mutex<(VecDeque<(StepId, job::Job)>, bool)>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, step: StepId, job: job::Job) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.push_back((step, job));
        self.changed.notify_one();
    }

    /// The next job; `None` when there will be none.
    fn pop(&self) -> Option<(StepId, job::Job)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = state.0.pop_front() {
                return Some(next);
            }
            if state.1 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        self.changed.notify_all();
    }
}

/// Where a step is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Something before it is not done.
    Blocked,
    /// Everything before it is done; its conditions are not met.
    Waiting,
    /// Given to a thread.
    Running,
    Done,
    Failed,
}

struct Walk<'a, 'q> {
    run: &'a Execution<'a>,
    plan: &'a Plan,
    queue: &'q Queue,
    progress: HashMap<StepId, Progress>,
    running: usize,
    /// Of them, those that keep a processor busy.
    busy: usize,
    /// Steps that would do so and wait for their turn.
    held_back: VecDeque<(StepId, job::Job)>,
    /// Containers made by `Create` steps, by name.
    created: BTreeMap<String, ContainerId>,
    started: BTreeMap<String, ContainerId>,
    failures: Vec<Failure>,
    /// Services whose start or condition failed.
    failed_services: BTreeSet<String>,
    /// `Waiting` was told for these.
    announced: BTreeSet<String>,
}

impl<'a, 'q> Walk<'a, 'q> {
    fn new(run: &'a Execution<'a>, plan: &'a Plan, queue: &'q Queue) -> Self {
        Self {
            run,
            plan,
            queue,
            progress: plan
                .steps()
                .map(|(id, _)| (id, Progress::Blocked))
                .collect(),
            running: 0,
            busy: 0,
            held_back: VecDeque::new(),
            created: BTreeMap::new(),
            started: BTreeMap::new(),
            failures: Vec::new(),
            failed_services: BTreeSet::new(),
            announced: BTreeSet::new(),
        }
    }

    fn walk(mut self, messages: &Receiver<Message>) -> Result<Done, ExecuteError> {
        let mut cancelled = self.run.cancel.is_cancelled();
        if !cancelled {
            self.unblock();
            self.check_conditions()?;
        }
        loop {
            let waiting = self.progress.values().any(|p| *p == Progress::Waiting);
            if self.running == 0 && (cancelled || !waiting) {
                break;
            }
            let told = || messages.recv_timeout(LOOK_AGAIN);
            // With nothing under way but waiting, somebody else may change the project: what waits is
            // judged anew afterwards, and a container that is gone fails whoever waits for it.
            let message = if self.running == 0 {
                self.run.unlocked(told)?
            } else {
                told()
            };
            match message {
                Ok(Message::Finished(step, result)) => self.finished(step, result),
                Ok(Message::Changed) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Cancelled) | Err(RecvTimeoutError::Disconnected) => cancelled = true,
            }
            // Changes come in bursts; one look serves them all.
            while let Ok(message) = messages.try_recv() {
                match message {
                    Message::Finished(step, result) => self.finished(step, result),
                    Message::Changed => {}
                    Message::Cancelled => cancelled = true,
                }
            }
            if !cancelled {
                self.fill_up();
                self.unblock();
                self.check_conditions()?;
            }
        }
        if !self.failures.is_empty() {
            return Err(ExecuteError::Failed(self.failures));
        }
        if cancelled {
            return Err(ExecuteError::Cancelled);
        }
        Ok(Done {
            created: self.created,
            started: self.started,
        })
    }

    fn finished(&mut self, step: StepId, result: Result<Option<ContainerId>, Box<Failure>>) {
        self.running -= 1;
        if is_busy(&self.plan.step(step).operation) {
            self.busy -= 1;
        }
        match result {
            Ok(id) => {
                self.progress.insert(step, Progress::Done);
                match (&self.plan.step(step).operation, id) {
                    (Operation::Create { name, .. }, Some(id)) => {
                        self.created.insert(name.clone(), id);
                    }
                    (Operation::Start { name, .. }, Some(id)) => {
                        self.started.insert(name.clone(), id);
                    }
                    _ => {}
                }
            }
            Err(failure) => self.fail(step, failure),
        }
    }

    fn fail(&mut self, step: StepId, failure: Box<Failure>) {
        self.progress.insert(step, Progress::Failed);
        if let Operation::Create { service, name, .. } | Operation::Start { service, name, .. } =
            &self.plan.step(step).operation
        {
            self.failed_services.insert(service.clone());
            (self.run.events)(Event::Phase {
                kind: Kind::Container,
                name: name.clone(),
                phase: Phase::Error(failure.summary()),
            });
        }
        self.failures.push(*failure);
    }

    /// Hands out every step whose predecessors are done; skips those whose predecessors failed.
    fn unblock(&mut self) {
        // Insertion order is topological: one pass sees every consequence.
        let steps: Vec<_> = self.plan.steps().map(|(id, _)| id).collect();
        for step in steps {
            if self.progress[&step] != Progress::Blocked {
                continue;
            }
            let mut ready = true;
            let mut lost = None;
            for before in self.plan.after(step) {
                match self.progress[&before] {
                    Progress::Done => {}
                    Progress::Failed if self.tolerates(step, before) => {}
                    Progress::Failed => lost = Some(before),
                    _ => ready = false,
                }
            }
            if let Some(cause) = lost {
                self.skip(step, cause);
            } else if ready {
                match &self.plan.step(step).operation {
                    Operation::Start { waits, .. } if !waits.is_empty() => {
                        self.progress.insert(step, Progress::Waiting);
                    }
                    _ => self.hand_out(step),
                }
            }
        }
    }

    /// Whether a start can do without a failed step: its dependency is not required.
    fn tolerates(&self, step: StepId, before: StepId) -> bool {
        let Operation::Start { waits, .. } = &self.plan.step(step).operation else {
            return false;
        };
        let Operation::Start { service, .. } = &self.plan.step(before).operation else {
            return false;
        };
        waits.iter().any(|w| w.service == *service && !w.required)
    }

    fn skip(&mut self, step: StepId, cause: StepId) {
        self.progress.insert(step, Progress::Failed);
        let waiter = service_of(&self.plan.step(step).operation);
        let failed = service_of(&self.plan.step(cause).operation);
        if let Some(waiter) = waiter {
            self.failed_services.insert(waiter.clone());
            if let Some(failure) = self.failures.iter_mut().find(|failure| {
                failure.service == failed
                    || failure.waiting.iter().any(|w| Some(w) == failed.as_ref())
            }) && failure.service.as_ref() != Some(&waiter)
                && !failure.waiting.contains(&waiter)
            {
                failure.waiting.push(waiter);
            }
        }
    }

    fn hand_out(&mut self, step: StepId) {
        let operation = &self.plan.step(step).operation;
        let job = match job::Job::new(operation, &self.created) {
            Ok(job) => job,
            Err(failure) => {
                self.fail(step, failure);
                return;
            }
        };
        self.progress.insert(step, Progress::Running);
        if is_busy(operation) && self.busy >= busy_limit() {
            self.held_back.push_back((step, job));
        } else {
            self.give(step, job);
        }
    }

    fn give(&mut self, step: StepId, job: job::Job) {
        self.running += 1;
        self.busy += usize::from(is_busy(&self.plan.step(step).operation));
        self.queue.push(step, job);
    }

    /// Hands out what was held back, as far as there is room now.
    fn fill_up(&mut self) {
        while self.busy < busy_limit()
            && let Some((step, job)) = self.held_back.pop_front()
        {
            self.give(step, job);
        }
    }

    /// Starts whatever waits and may go; fails whatever waits in vain.
    fn check_conditions(&mut self) -> Result<(), ExecuteError> {
        let waiting: Vec<_> = self
            .plan
            .steps()
            .map(|(id, _)| id)
            .filter(|id| self.progress[id] == Progress::Waiting)
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let mut containers: Option<Vec<Container>> = None;
        for step in waiting {
            let Operation::Start { service, waits, .. } = &self.plan.step(step).operation else {
                continue;
            };
            let mut open = false;
            let mut failed = None;
            for wait in waits {
                if wait.condition == Condition::Started {
                    continue;
                }
                let containers = match &containers {
                    Some(containers) => containers,
                    None => containers.insert(
                        self.run
                            .backend
                            .containers(&[(labels::PROJECT, self.run.project)])?,
                    ),
                };
                match conditions::evaluate(containers, &wait.service, wait.condition) {
                    Verdict::Met => self.announce(&wait.service, containers, wait.condition),
                    Verdict::Pending => {
                        self.announce_waiting(&wait.service, containers);
                        open = true;
                    }
                    Verdict::Failed(cause) if wait.required => {
                        failed = Some((wait.service.clone(), cause));
                        break;
                    }
                    Verdict::Failed(cause) => {
                        if self.announced.insert(format!("{service}>{}", wait.service)) {
                            (self.run.events)(Event::Warning(format!(
                                "optional dependency `{}` of `{service}` failed: {}",
                                wait.service,
                                cause.text(),
                            )));
                        }
                    }
                }
            }
            if let Some((dependency, cause)) = failed {
                let failure = self.dependency_failure(&dependency, cause, service.clone());
                self.progress.insert(step, Progress::Failed);
                self.failed_services.insert(service.clone());
                if let Some(failure) = failure {
                    self.failures.push(failure);
                }
            } else if !open {
                self.hand_out(step);
            }
        }
        self.unblock_after_failures();
        Ok(())
    }

    fn unblock_after_failures(&mut self) {
        if self.progress.values().any(|p| *p == Progress::Failed) {
            self.unblock();
        }
    }

    /// One report for each failed dependency, however many wait for it.
    fn dependency_failure(
        &mut self,
        dependency: &str,
        cause: Cause,
        waiter: String,
    ) -> Option<Failure> {
        if let Some(known) = self
            .failures
            .iter_mut()
            .find(|failure| failure.service.as_deref() == Some(dependency))
        {
            if !known.waiting.contains(&waiter) {
                known.waiting.push(waiter);
            }
            return None;
        }
        let mut failure = Failure::of_service(self.run, dependency, cause);
        failure.waiting.push(waiter);
        if let Some(container) = &failure.container {
            (self.run.events)(Event::Phase {
                kind: Kind::Container,
                name: container.clone(),
                phase: Phase::Error(failure.summary()),
            });
        }
        Some(failure)
    }

    fn announce_waiting(&mut self, service: &str, containers: &[Container]) {
        if self.announced.insert(format!("waiting {service}")) {
            for container in conditions::of_service(containers, service) {
                (self.run.events)(Event::Phase {
                    kind: Kind::Container,
                    name: container.name.clone(),
                    phase: Phase::Waiting,
                });
            }
        }
    }

    fn announce(&mut self, service: &str, containers: &[Container], condition: Condition) {
        if self.announced.contains(&format!("waiting {service}"))
            && self.announced.insert(format!("met {service}"))
        {
            for container in conditions::of_service(containers, service) {
                (self.run.events)(Event::Phase {
                    kind: Kind::Container,
                    name: container.name.clone(),
                    phase: match condition {
                        Condition::CompletedSuccessfully => Phase::Exited,
                        Condition::Started | Condition::Healthy => Phase::Healthy,
                    },
                });
            }
        }
    }
}

fn service_of(operation: &Operation) -> Option<String> {
    match operation {
        Operation::Create { service, .. }
        | Operation::Start { service, .. }
        | Operation::Stop { service, .. }
        | Operation::Restart { service, .. }
        | Operation::Remove { service, .. } => Some(service.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

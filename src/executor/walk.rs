//! The schedule: which step may begin, what a failure takes with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::job::Job;
use super::queue::Queue;
use super::{Done, Event, ExecuteError, Execution, Failure, Kind, LOOK_AGAIN, Message, Phase};
use crate::backend::ContainerId;
use crate::plan::{Operation, Plan, StepId};

mod waiting;

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

pub(super) struct Walk<'a, 'q> {
    run: &'a Execution<'a>,
    plan: &'a Plan,
    queue: &'q Queue,
    progress: HashMap<StepId, Progress>,
    running: usize,
    /// Of them, those that keep a processor busy.
    busy: usize,
    /// Steps that would do so and wait for their turn.
    held_back: VecDeque<(StepId, Job)>,
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
    pub(super) fn new(run: &'a Execution<'a>, plan: &'a Plan, queue: &'q Queue) -> Self {
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

    pub(super) fn walk(mut self, messages: &Receiver<Message>) -> Result<Done, ExecuteError> {
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
            self.put_in_order();
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

    /// Who was waiting is told in the order of the plan, whoever was found first.
    fn put_in_order(&mut self) {
        let order: Vec<_> = self
            .plan
            .steps()
            .filter_map(|(_, step)| service_of(&step.operation))
            .collect();
        for failure in &mut self.failures {
            failure
                .waiting
                .sort_by_key(|waiter| order.iter().position(|service| service == waiter));
        }
    }

    fn hand_out(&mut self, step: StepId) {
        let operation = &self.plan.step(step).operation;
        let job = match Job::new(operation, &self.created) {
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

    fn give(&mut self, step: StepId, job: Job) {
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

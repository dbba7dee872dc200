//! Waiting until services are ready (`up --wait`).

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use crate::backend::Container;
use crate::plan::{Condition, Desired, Wait, labels};

use super::conditions::{self, Verdict};
use super::{Event, ExecuteError, Execution, Failure, Kind, LOOK_AGAIN, Phase};

/// Waits until every one of `services` is ready, one fails, the time is up, or the user
/// gives up.
pub fn wait(
    run: &Execution<'_>,
    desired: &Desired,
    services: &[String],
    timeout: Option<Duration>,
) -> Result<(), ExecuteError> {
    let judge = |containers: &[Container], service: &str| {
        let condition = waited_for_as(desired, service);
        conditions::ready(containers, service, condition, SystemTime::now())
    };
    until(run, services, timeout, &judge)
}

/// Waits until what a service waits for is true.
pub fn conditions(run: &Execution<'_>, waiter: &str, waits: &[Wait]) -> Result<(), ExecuteError> {
    for wait in waits {
        let judge = |containers: &[Container], service: &str| {
            conditions::evaluate(containers, service, wait.condition)
        };
        match until(run, std::slice::from_ref(&wait.service), None, &judge) {
            Ok(()) => {}
            Err(ExecuteError::Failed(failures)) if !wait.required => {
                for failure in failures {
                    (run.events)(Event::Warning(format!(
                        "optional dependency of `{waiter}` failed: {}",
                        failure.summary()
                    )));
                }
            }
            Err(ExecuteError::Failed(mut failures)) => {
                for failure in &mut failures {
                    failure.waiting.push(waiter.to_owned());
                }
                return Err(ExecuteError::Failed(failures));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Looks, waits for a change, looks again.
fn until(
    run: &Execution<'_>,
    services: &[String],
    timeout: Option<Duration>,
    judge: &dyn Fn(&[Container], &str) -> Verdict,
) -> Result<(), ExecuteError> {
    let (changes, told) = mpsc::channel();
    let subscription = run
        .backend
        .subscribe(&[(labels::PROJECT, run.project)], changes)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut announced = false;
    loop {
        if run.cancel.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        let containers = run.backend.containers(&[(labels::PROJECT, run.project)])?;
        let mut pending = Vec::new();
        let mut limit = LOOK_AGAIN;
        for service in services {
            match judge(&containers, service) {
                Verdict::Met => {}
                Verdict::Pending => pending.push(service.clone()),
                Verdict::Settling(left) => {
                    pending.push(service.clone());
                    limit = limit.min(left);
                }
                Verdict::Failed(cause) => {
                    return Err(ExecuteError::Failed(vec![Failure::of_service(
                        run, service, cause,
                    )]));
                }
            }
        }
        if pending.is_empty() {
            announce(run, services, &containers, |container| {
                if container.state.is_live() {
                    Phase::Healthy
                } else {
                    Phase::Exited
                }
            });
            drop(subscription);
            return Ok(());
        }
        if !announced {
            announced = true;
            announce(run, &pending, &containers, |_| Phase::Waiting);
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ExecuteError::Timeout {
                    seconds: timeout.map_or(0, |t| t.as_secs()),
                    waiting: pending,
                });
            }
            limit = limit.min(left);
        }
        match run.unlocked(|| told.recv_timeout(limit))? {
            Ok(_) => while told.try_recv().is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            // The engine stopped telling: go on by looking.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(limit),
        }
    }
}

/// The strongest thing any service waits for in this one.
fn waited_for_as(desired: &Desired, service: &str) -> Option<Condition> {
    desired
        .services
        .values()
        .filter_map(|other| other.depends_on.get(service))
        .map(|dependency| dependency.condition)
        .find(|condition| *condition == Condition::CompletedSuccessfully)
}

fn announce(
    run: &Execution<'_>,
    services: &[String],
    containers: &[Container],
    phase: impl Fn(&Container) -> Phase,
) {
    for service in services {
        for container in conditions::of_service(containers, service) {
            (run.events)(Event::Phase {
                kind: Kind::Container,
                name: container.name.clone(),
                phase: phase(container),
            });
        }
    }
}

//! Whether a service has reached what others wait for. Pure.

use std::time::{Duration, SystemTime};

use crate::backend::{Container, HealthStatus, State};
use crate::plan::{Condition, observed};

use super::failure::Cause;

/// How long a container without a probe must have run before `--wait` believes in it: many programs
/// that cannot work end within their first moments. Docker Compose looks after as long.
const SETTLED: Duration = Duration::from_millis(500);

/// What can be said now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reached.
    Met,
    /// Not yet.
    Pending,
    /// Not yet, and after this time, if nothing happens.
    Settling(Duration),
    /// Never.
    Failed(Cause),
}

/// Containers of a service, without one-off ones.
pub fn of_service<'a>(
    containers: &'a [Container],
    service: &str,
) -> impl Iterator<Item = &'a Container> {
    containers
        .iter()
        .filter(move |c| observed::service(c) == service && !observed::is_one_off(c))
}

/// Judges a service.
#[must_use]
pub fn evaluate(containers: &[Container], service: &str, condition: Condition) -> Verdict {
    let mut mine = of_service(containers, service).peekable();
    if mine.peek().is_none() {
        return Verdict::Failed(Cause::NoContainer);
    }
    match condition {
        Condition::Started => all(mine, started),
        Condition::Healthy => all(mine, healthy),
        Condition::CompletedSuccessfully => {
            // As Docker Compose: the first container that ended decides.
            for container in mine {
                match completed(container) {
                    Verdict::Pending => {}
                    verdict => return verdict,
                }
            }
            Verdict::Pending
        }
    }
}

/// Judges a service for `--wait`: healthy when it has a probe, else running for a while; a container
/// that ended with 0 and will not be restarted has done its work.
#[must_use]
pub fn ready(
    containers: &[Container],
    service: &str,
    condition: Option<Condition>,
    now: SystemTime,
) -> Verdict {
    if condition == Some(Condition::CompletedSuccessfully) {
        return evaluate(containers, service, Condition::CompletedSuccessfully);
    }
    all(
        of_service(containers, service),
        |container| match &container.state {
            State::Exited(ended) if ended.code == 0 && ended.error.is_none() => Verdict::Met,
            _ if container.health.is_some() => healthy(container),
            _ => settled(container, now),
        },
    )
}

fn all<'a>(
    containers: impl Iterator<Item = &'a Container>,
    judge: impl Fn(&Container) -> Verdict,
) -> Verdict {
    let mut verdict = Verdict::Met;
    for container in containers {
        match judge(container) {
            failed @ Verdict::Failed(_) => return failed,
            open => verdict = later(verdict, open),
        }
    }
    verdict
}

/// What can be said of two that have not failed.
fn later(one: Verdict, other: Verdict) -> Verdict {
    match (one, other) {
        (Verdict::Met, verdict) | (verdict, Verdict::Met) => verdict,
        (Verdict::Settling(one), Verdict::Settling(other)) => Verdict::Settling(one.max(other)),
        _ => Verdict::Pending,
    }
}

/// As [`started`], once it has run for a while.
fn settled(container: &Container, now: SystemTime) -> Verdict {
    let age = container.started.and_then(|at| now.duration_since(at).ok());
    match (&container.state, age) {
        // Where the clock was set back, the start lies ahead: such a container counts as old.
        (State::Running, Some(age)) if age < SETTLED => Verdict::Settling(SETTLED - age),
        _ => started(container),
    }
}

fn started(container: &Container) -> Verdict {
    match &container.state {
        State::Running | State::Paused => Verdict::Met,
        State::Created | State::Restarting(_) | State::Stopping => Verdict::Pending,
        State::Exited(ended) => Verdict::Failed(Cause::Exited(ended.clone())),
        State::Removing | State::Dead => Verdict::Failed(Cause::NoContainer),
    }
}

fn healthy(container: &Container) -> Verdict {
    match (&container.state, &container.health) {
        (State::Exited(ended), _) => Verdict::Failed(Cause::Exited(ended.clone())),
        (State::Removing | State::Dead, _) => Verdict::Failed(Cause::NoContainer),
        (State::Created | State::Restarting(_) | State::Stopping, _) => Verdict::Pending,
        (_, None) => Verdict::Failed(Cause::NoProbe),
        (_, Some(health)) => match health.status {
            HealthStatus::Starting => Verdict::Pending,
            HealthStatus::Healthy => Verdict::Met,
            HealthStatus::Unhealthy => Verdict::Failed(Cause::Unhealthy(health.clone())),
        },
    }
}

fn completed(container: &Container) -> Verdict {
    match &container.state {
        State::Exited(ended) if ended.code == 0 && ended.error.is_none() => Verdict::Met,
        State::Exited(ended) => Verdict::Failed(Cause::Incomplete(ended.clone())),
        State::Removing | State::Dead => Verdict::Failed(Cause::NoContainer),
        State::Created
        | State::Running
        | State::Stopping
        | State::Paused
        | State::Restarting(_) => Verdict::Pending,
    }
}

//! The machine starts and ends: which containers start again, and how all are stopped so that they
//! do.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::spec::RestartPolicy;

use super::ContainerError;
use super::ending::{RemoveOptions, StopOptions};
use super::info::Status;
use super::live::Standing;
use super::manage::Containers;
use super::record::{Outcome, Record};

/// A container, and what came of what was tried with it.
#[derive(Debug)]
pub struct Attempt {
    /// Its name.
    pub name: String,
    /// What is so now.
    pub result: Result<Turn, ContainerError>,
}

/// What a start or an end of the machine does to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its restart policy started it.
    Started,
    /// It was made to be removed at its end, which nobody saw.
    Removed,
    /// It was stopped, and starts again as its policy says.
    Stopped,
}

impl Containers {
    /// After the start of the machine: starts what the restart policies say, oldest first, as moby's
    /// daemon does. What runs already is left alone, so that it can be said at any time.
    pub fn boot(&self) -> Result<Vec<Attempt>, ContainerError> {
        let booted = booted_at();
        let mut records = self.records()?;
        records.sort_by_key(|record| record.created);
        let mut attempts = Vec::new();
        for record in records {
            if self.settle(&record.id)? != Standing::Idle {
                continue;
            }
            let id = record.id.as_str();
            let earlier = record.created < booted;
            let outcome = self.store.outcome(&record.id)?;
            let result = match due(
                record.spec.restart,
                record.spec.auto_remove,
                earlier,
                &outcome,
            ) {
                None => continue,
                Some(turn @ Turn::Removed) => {
                    self.remove(id, &RemoveOptions::default()).map(|()| turn)
                }
                Some(turn) => self.start(id).map(|_| turn),
            };
            attempts.push(Attempt {
                name: record.name.to_string(),
                result,
            });
        }
        Ok(attempts)
    }

    /// Before the end of the machine: stops all at once, each with its own signal and grace.
    pub fn shut_down(&self) -> Result<Vec<Attempt>, ContainerError> {
        let options = StopOptions {
            at_shutdown: true,
            ..StopOptions::default()
        };
        let mut running = Vec::new();
        for record in self.records()? {
            let container = self.observe(record)?;
            if container.state.status.is_up() || container.state.status == Status::Restarting {
                running.push(container);
            }
        }
        Ok(std::thread::scope(|scope| {
            let stops: Vec<_> = running
                .iter()
                .map(|container| scope.spawn(|| self.stop(container.id.as_str(), &options)))
                .collect();
            running
                .iter()
                .zip(stops)
                .filter_map(|(container, stop)| {
                    Some(Attempt {
                        name: container.name.clone(),
                        result: stop.join().ok()?.map(|()| Turn::Stopped),
                    })
                })
                .collect()
        }))
    }

    fn records(&self) -> Result<Vec<Record>, ContainerError> {
        let mut records = Vec::new();
        for id in self.store.ids()? {
            // It may have been removed meanwhile.
            records.extend(self.store.record(&id)?);
        }
        Ok(records)
    }
}

/// What is to be done when the machine starts with a container that does not run (moby's
/// `restartmanager`, asked by its daemon for each container that was started before).
fn due(
    policy: RestartPolicy,
    auto_remove: bool,
    of_earlier_boot: bool,
    outcome: &Outcome,
) -> Option<Turn> {
    if auto_remove {
        return of_earlier_boot.then_some(Turn::Removed);
    }
    outcome.started_at?;
    let starts = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !outcome.manually_stopped,
        RestartPolicy::OnFailure { max_retries } => {
            let failed =
                outcome.was_interrupted() || outcome.exit.is_some_and(|exit| exit.code != 0);
            let tries = max_retries.is_none_or(|max| max == 0 || outcome.restart_count < max);
            failed && tries && !outcome.manually_stopped
        }
    };
    starts.then_some(Turn::Started)
}

/// When the machine was started.
fn booted_at() -> Timestamp {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = Duration::new(
        u64::try_from(up.tv_sec).unwrap_or(0),
        u32::try_from(up.tv_nsec).unwrap_or(0),
    );
    let up = SignedDuration::try_from(up).unwrap_or_default();
    Timestamp::now().checked_sub(up).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::record::ExitRecord;

    fn outcome(started: i64, finished: Option<(i64, u8)>, by_hand: bool) -> Outcome {
        let at = |second| Timestamp::from_second(second).unwrap();
        Outcome {
            started_at: Some(at(started)),
            finished_at: finished.map(|(second, _)| at(second)),
            exit: finished.map(|(_, code)| ExitRecord {
                code,
                signal: None,
                oom_killed: false,
            }),
            manually_stopped: by_hand,
            ..Outcome::default()
        }
    }

    #[test]
    fn the_policy_and_the_last_end_decide() {
        use RestartPolicy::{Always, No, UnlessStopped};
        let on_failure = |max_retries| RestartPolicy::OnFailure { max_retries };
        let interrupted = outcome(20, Some((10, 0)), false);
        let done = outcome(10, Some((20, 0)), false);
        let failed = outcome(10, Some((20, 3)), false);
        let by_hand = outcome(10, Some((20, 143)), true);
        let starts =
            |policy, outcome: &Outcome| due(policy, false, true, outcome) == Some(Turn::Started);
        for (policy, outcome, due) in [
            (No, &interrupted, false),
            (Always, &Outcome::default(), false),
            (Always, &interrupted, true),
            (Always, &done, true),
            (Always, &by_hand, true),
            (UnlessStopped, &interrupted, true),
            (UnlessStopped, &done, true),
            (UnlessStopped, &by_hand, false),
            (on_failure(None), &interrupted, true),
            (on_failure(None), &done, false),
            (on_failure(None), &failed, true),
            (on_failure(None), &by_hand, false),
        ] {
            assert_eq!(starts(policy, outcome), due, "{policy:?} {outcome:?}");
        }
        let tried = |count| Outcome {
            restart_count: count,
            ..failed.clone()
        };
        assert!(starts(on_failure(Some(3)), &tried(2)));
        assert!(!starts(on_failure(Some(3)), &tried(3)));
    }

    #[test]
    fn one_that_removes_itself_does_not_outlive_the_machine() {
        let of = |earlier| due(RestartPolicy::No, true, earlier, &Outcome::default());
        assert_eq!((of(true), of(false)), (Some(Turn::Removed), None));
    }

    #[test]
    fn the_machine_was_started_before_now() {
        let booted = booted_at();
        assert!(booted < Timestamp::now() && booted > Timestamp::UNIX_EPOCH);
    }
}

//! Starts that wait for more than another step: a healthy service, a finished one.

use super::{Progress, Walk};
use crate::backend::Container;
use crate::executor::conditions::{self, Verdict};
use crate::executor::{Cause, Event, ExecuteError, Failure, Kind, Phase};
use crate::plan::{Condition, Operation, Wait, labels};

/// What becomes of a start that waits.
enum Judgement {
    /// Everything is as it must be.
    Ready,
    /// Something may still come.
    Open,
    /// This dependency will never be as it must be.
    InVain(String, Cause),
}

impl Walk<'_, '_> {
    /// Starts whatever waits and may go; fails whatever waits in vain.
    pub(super) fn check_conditions(&mut self) -> Result<(), ExecuteError> {
        let plan = self.plan;
        let waiting: Vec<_> = plan
            .steps()
            .filter(|(id, _)| self.progress[id] == Progress::Waiting)
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let mut containers: Option<Vec<Container>> = None;
        for (step, planned) in waiting {
            let Operation::Start { service, waits, .. } = &planned.operation else {
                continue;
            };
            let observed = match &containers {
                Some(containers) => containers.as_slice(),
                None if waits.iter().all(|w| w.condition == Condition::Started) => &[],
                None => containers.insert(
                    self.run
                        .backend
                        .containers(&[(labels::PROJECT, self.run.project)])?,
                ),
            };
            match self.judge(service, waits, observed) {
                Judgement::Ready => self.hand_out(step),
                Judgement::Open => {}
                Judgement::InVain(dependency, cause) => {
                    let failure = self.dependency_failure(&dependency, cause, service.clone());
                    self.progress.insert(step, Progress::Failed);
                    self.failed_services.insert(service.clone());
                    self.failures.extend(failure);
                }
            }
        }
        if self.progress.values().any(|p| *p == Progress::Failed) {
            self.unblock();
        }
        Ok(())
    }

    /// Looks at everything a start waits for, and tells about it.
    fn judge(&mut self, service: &str, waits: &[Wait], containers: &[Container]) -> Judgement {
        let mut judgement = Judgement::Ready;
        for wait in waits.iter().filter(|w| w.condition != Condition::Started) {
            match conditions::evaluate(containers, &wait.service, wait.condition) {
                Verdict::Met => self.announce(&wait.service, containers, wait.condition),
                Verdict::Pending | Verdict::Settling(_) => {
                    self.announce_waiting(&wait.service, containers);
                    judgement = Judgement::Open;
                }
                Verdict::Failed(cause) if wait.required => {
                    return Judgement::InVain(wait.service.clone(), cause);
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
        judgement
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

//! `up`, `create`, `scale`: what must change so that the project is as the file says.
//!
//! Order of thought: networks and volumes (`resources`), orphans, then each service in dependency order:
//! which containers stay, which are replaced, how many are missing or too many (`decide`); then steps (`emit`):
//! starts come after their own creation and after what the service depends on.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{Container, ContainerId, MountedSource};

use super::PlanError;
use super::desired::{Desired, Service};
use super::graph::{Plan, StepId};
use super::observed::{self, Observed};
use super::operation::{Operation, Reason, StopFirst, Warning};

mod decide;
mod emit;
mod options;
mod resources;

pub use options::{Anonymous, ChangedVolumes, Dependencies, Orphans, Recreate, Start, UpOptions};

/// Plans `up`.
pub fn up(desired: &Desired, observed: &Observed, options: &UpOptions) -> Result<Plan, PlanError> {
    let targets = desired.select(&options.services)?;
    let services = match options.dependencies {
        Dependencies::Included => desired.with_dependencies(&targets),
        Dependencies::Ignored => desired
            .with_dependencies(&targets)
            .into_iter()
            .filter(|name| targets.contains(name))
            .collect(),
    };
    let mut planner = Planner {
        desired,
        observed,
        options,
        targets: targets.into_iter().collect(),
        services,
        plan: Plan::default(),
        resources: Resources::default(),
        recreated: BTreeSet::new(),
        restarting: BTreeMap::new(),
        creates: BTreeMap::new(),
    };
    planner.check_names()?;
    planner.networks()?;
    planner.volumes()?;
    planner.orphans();
    let decided = planner.decide();
    planner.emit(decided);
    Ok(planner.plan)
}

struct Planner<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    options: &'a UpOptions,
    targets: BTreeSet<String>,
    /// Everything that takes part, dependencies first.
    services: Vec<String>,
    plan: Plan,
    resources: Resources,
    /// Services of which a container is replaced.
    recreated: BTreeSet<String>,
    /// Steps that stop containers because a dependency of theirs is replaced.
    restarting: BTreeMap<ContainerId, StepId>,
    /// Steps that make containers, per service.
    creates: BTreeMap<String, Vec<StepId>>,
}

/// Steps that make networks and volumes, by key, and which of them are made anew.
#[derive(Default)]
struct Resources {
    networks: BTreeMap<String, StepId>,
    volumes: BTreeMap<String, StepId>,
    changed_networks: BTreeSet<String>,
    changed_volumes: BTreeSet<String>,
    /// Containers already stopped or removed because of that.
    stopped: BTreeMap<ContainerId, StepId>,
    /// Steps that stop containers of services that take no part, and make the network they were on.
    bystanders: BTreeMap<ContainerId, Vec<StepId>>,
}

impl<'a> Planner<'a> {
    fn service(&self, name: &str) -> &'a Service {
        &self.desired.services[name]
    }

    fn check_names(&self) -> Result<(), PlanError> {
        for name in &self.services {
            let service = self.service(name);
            if service.container_name.is_some() && service.replicas > 1 {
                return Err(PlanError::FixedName {
                    service: name.clone(),
                    replicas: service.replicas,
                });
            }
        }
        Ok(())
    }

    fn orphans(&mut self) {
        let orphans: Vec<_> = self
            .observed
            .containers
            .iter()
            .filter(|c| is_orphan(self.desired, c))
            .collect();
        match self.options.orphans {
            _ if orphans.is_empty() => {}
            Orphans::Ignored => {}
            Orphans::Reported => self.plan.warnings.push(Warning::Orphans {
                project: self.desired.project.clone(),
                containers: orphans.iter().map(|c| c.name.clone()).collect(),
            }),
            Orphans::Removed => {
                for container in orphans {
                    self.remove(container, Reason::Orphan, &[]);
                }
            }
        }
    }

    fn stop(&mut self, container: &Container, reason: Reason, after: &[StepId]) -> StepId {
        if let Some(step) = self.resources.stopped.get(&container.id) {
            return *step;
        }
        let operation = Operation::Stop {
            id: container.id.clone(),
            name: container.name.clone(),
            service: observed::service(container).to_owned(),
            timeout: self.options.timeout,
        };
        let step = self.plan.add(operation, reason, after);
        self.resources.stopped.insert(container.id.clone(), step);
        step
    }

    fn remove(&mut self, container: &Container, reason: Reason, after: &[StepId]) -> StepId {
        let operation = Operation::Remove {
            id: container.id.clone(),
            name: container.name.clone(),
            service: observed::service(container).to_owned(),
            stop: if container.state.is_live() {
                StopFirst::Yes(self.options.timeout)
            } else {
                StopFirst::No
            },
            // Anonymous volumes outlive `up`: a successor may take them over.
            volumes: false,
        };
        let step = self.plan.add(operation, reason, after);
        self.resources.stopped.insert(container.id.clone(), step);
        step
    }
}

/// A container of this project whose service is neither enabled nor switched off by a profile;
/// finished one-off containers too.
#[must_use]
pub fn is_orphan(desired: &Desired, container: &Container) -> bool {
    if observed::is_one_off(container) {
        return !container.state.is_live();
    }
    let service = observed::service(container);
    !desired.services.contains_key(service) && !desired.disabled.contains(service)
}

fn mounts_volume(container: &Container, name: &str) -> bool {
    container.mounts.iter().any(|mount| {
        matches!(&mount.source, MountedSource::Volume(v) | MountedSource::AnonymousVolume(v) if v == name)
    })
}

#[cfg(test)]
mod tests;

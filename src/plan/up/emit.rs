//! Decisions as steps: removals and creations, then starts, each after what its service depends on.

use std::collections::BTreeMap;

use super::super::graph::StepId;
use super::super::observed;
use super::super::operation::{Operation, Reason, Replaced, Wait};
use super::decide::Decision;
use super::{Anonymous, Dependencies, Planner, Start};
use crate::backend::{Container, ContainerId, State};

/// A container that will be started.
struct Pending {
    number: u32,
    name: String,
    id: Option<ContainerId>,
    reason: Reason,
    after: Vec<StepId>,
}

impl<'a> Planner<'a> {
    pub(super) fn emit(&mut self, decisions: Vec<Decision<'a>>) {
        self.stop_dependents(&decisions);
        let mut to_start: Vec<(String, Vec<Pending>)> = Vec::new();
        for decision in decisions {
            let pending = self.emit_containers(&decision);
            to_start.push((decision.service, pending));
        }
        if self.options.start == Start::Yes {
            self.emit_starts(to_start);
        }
        self.start_bystanders();
    }

    /// Running containers whose `depends_on` says `restart: true` stop before the dependency is
    /// replaced; the starts below bring them back.
    fn stop_dependents(&mut self, decisions: &[Decision<'a>]) {
        for decision in decisions {
            let service = self.service(&decision.service);
            let Some(cause) = service
                .depends_on
                .iter()
                .find(|(name, dependency)| dependency.restart && self.recreated.contains(*name))
                .map(|(name, _)| name.clone())
            else {
                continue;
            };
            for container in decision.keep.iter().filter(|c| c.state.is_live()) {
                let reason = Reason::DependencyRestarts(cause.clone());
                let step = self.stop(container, reason, &[]);
                self.restarting.insert(container.id.clone(), step);
            }
        }
    }

    fn emit_containers(&mut self, decision: &Decision<'a>) -> Vec<Pending> {
        let name = &decision.service;
        let ready = self.before_create(name);
        let mut pending = Vec::new();
        for (container, reason) in &decision.remove {
            self.remove(container, reason.clone(), &[]);
        }
        for container in &decision.keep {
            pending.extend(self.start_again(name, container));
        }
        for (container, reason) in &decision.replace {
            pending.push(self.replace(name, container, reason, &ready));
        }
        for (number, reason) in &decision.create {
            pending.push(self.create(name, *number, Vec::new(), None, reason, &ready));
        }
        pending.sort_by_key(|p| p.number);
        pending
    }

    /// A container that stays: started when it does not run, or is stopped on the way.
    fn start_again(&self, service: &str, container: &Container) -> Option<Pending> {
        let stopped = self
            .restarting
            .get(&container.id)
            .or_else(|| self.resources.stopped.get(&container.id))
            .copied();
        let reason = match (&container.state, stopped) {
            (_, Some(step)) => self.plan.step(step).reason.clone(),
            (State::Created, _) => Reason::Created,
            (State::Exited(ended), _) => Reason::Exited(ended.code),
            (State::Dead, _) => Reason::NotRunning,
            (State::Stopping, _) => Reason::Stopping,
            _ => return None,
        };
        Some(Pending {
            number: observed::number(container),
            name: container.name.clone(),
            id: Some(container.id.clone()),
            reason,
            after: stopped
                .into_iter()
                .chain(self.made_networks(service))
                .collect(),
        })
    }

    fn replace(
        &mut self,
        service: &str,
        container: &Container,
        reason: &Reason,
        ready: &[StepId],
    ) -> Pending {
        let stopped = self.resources.stopped.get(&container.id).copied();
        let mut after = ready.to_vec();
        after.extend(stopped);
        let replaces = Replaced {
            id: container.id.clone(),
            name: container.name.clone(),
            live: container.state.is_live() && stopped.is_none(),
            timeout: self.options.timeout,
        };
        let inherit = match self.options.anonymous {
            Anonymous::Inherited => observed::anonymous_volumes(container),
            Anonymous::Renewed => Vec::new(),
        };
        let number = observed::number(container);
        self.create(service, number, inherit, Some(replaces), reason, &after)
    }

    /// Steps that must be done before a container of the service can be made: its networks and
    /// volumes, the containers it is tied to, and the stops of dependents on the way.
    fn before_create(&self, name: &str) -> Vec<StepId> {
        let service = self.service(name);
        let volumes = service.volumes.iter();
        let volumes = volumes.filter_map(|key| self.resources.volumes.get(key));
        let mut ready: Vec<_> = self.made_networks(name).chain(volumes.copied()).collect();
        for tied in &service.tied_to {
            ready.extend(self.creates.get(tied).into_iter().flatten());
        }
        if self.recreated.contains(name) {
            ready.extend(self.restarting.values());
        }
        ready
    }

    /// Steps that make the networks of a service.
    fn made_networks(&self, name: &str) -> impl Iterator<Item = StepId> {
        let keys = self.service(name).networks.iter();
        keys.filter_map(|key| self.resources.networks.get(key).copied())
    }

    fn create(
        &mut self,
        service: &str,
        number: u32,
        inherit: Vec<(String, String)>,
        replaces: Option<Replaced>,
        reason: &Reason,
        after: &[StepId],
    ) -> Pending {
        let name = self.desired.container_name(service, number);
        let operation = Operation::Create {
            service: service.to_owned(),
            number,
            name: name.clone(),
            inherit,
            replaces,
        };
        let step = self.plan.add(operation, reason.clone(), after);
        self.creates
            .entry(service.to_owned())
            .or_default()
            .push(step);
        Pending {
            number,
            name,
            id: None,
            reason: reason.clone(),
            after: vec![step],
        }
    }

    fn emit_starts(&mut self, services: Vec<(String, Vec<Pending>)>) {
        let mut started: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
        for (name, pending) in services {
            let waits = self.waits(&name);
            let before: Vec<_> = waits
                .iter()
                .flat_map(|wait| started.get(&wait.service).into_iter().flatten().copied())
                .collect();
            let mut steps = Vec::new();
            for container in pending {
                let mut after = container.after;
                after.extend(&before);
                let operation = Operation::Start {
                    service: name.clone(),
                    number: container.number,
                    name: container.name,
                    id: container.id,
                    waits: waits.clone(),
                };
                steps.push(self.plan.add(operation, container.reason, &after));
            }
            started.insert(name, steps);
        }
    }

    /// Who takes no part, and was only stopped so that its network could be made anew, runs again.
    fn start_bystanders(&mut self) {
        let mut started = BTreeMap::new();
        for container in &self.observed.containers {
            self.start_bystander(container, &mut started);
        }
    }

    /// Starts one, after those whose namespaces it shares.
    fn start_bystander(
        &mut self,
        container: &Container,
        started: &mut BTreeMap<ContainerId, StepId>,
    ) {
        let Some(mut after) = self.resources.bystanders.remove(&container.id) else {
            return;
        };
        let stop = self.resources.stopped[&container.id];
        // An orphan may have been removed since.
        if !after.contains(&stop) {
            return;
        }
        for lender in &self.observed.containers {
            if container.joined.contains(&lender.id) {
                self.start_bystander(lender, started);
                after.extend(started.get(&lender.id));
            }
        }
        let operation = Operation::Start {
            service: observed::service(container).to_owned(),
            number: observed::number(container),
            name: container.name.clone(),
            id: Some(container.id.clone()),
            waits: Vec::new(),
        };
        let reason = self.plan.step(stop).reason.clone();
        let step = self.plan.add(operation, reason, &after);
        started.insert(container.id.clone(), step);
    }

    /// What a service's containers wait for: its dependencies that take part and have containers.
    fn waits(&self, name: &str) -> Vec<Wait> {
        if self.options.dependencies == Dependencies::Ignored {
            return Vec::new();
        }
        self.service(name)
            .depends_on
            .iter()
            .filter(|(dependency, _)| {
                self.desired
                    .services
                    .get(*dependency)
                    .is_some_and(|service| service.replicas > 0)
            })
            .map(|(dependency, entry)| Wait {
                service: dependency.clone(),
                condition: entry.condition,
                required: entry.required,
            })
            .collect()
    }
}

//! `start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`: verbs on containers that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::backend::{Container, State};

use super::PlanError;
use super::desired::Desired;
use super::down::reverse_order;
use super::graph::{Plan, StepId};
use super::observed::{self, Observed};
use super::operation::{Operation, Reason, StopFirst, Wait};
use super::up::is_orphan;

/// Which containers.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// The file, if there is one.
    pub desired: Option<&'a Desired>,
    /// What exists.
    pub observed: &'a Observed,
    /// Services named; empty means all.
    pub services: &'a [String],
}

impl<'a> Scope<'a> {
    /// The services meant, or all.
    fn names(&self) -> Result<Option<BTreeSet<String>>, PlanError> {
        match (self.desired, self.services) {
            (_, []) => Ok(None),
            (Some(desired), names) => Ok(Some(desired.select(names)?.into_iter().collect())),
            (None, names) => {
                let known: BTreeSet<_> = self
                    .observed
                    .containers
                    .iter()
                    .map(|c| observed::service(c).to_owned())
                    .collect();
                if let Some(missing) = names.iter().find(|name| !known.contains(*name)) {
                    return Err(PlanError::NoSuchService {
                        service: missing.clone(),
                        suggestion: super::desired::nearest(missing, &known),
                    });
                }
                Ok(Some(names.iter().cloned().collect()))
            }
        }
    }

    /// Containers of the services meant, but for one-off ones.
    pub fn containers(&self) -> Result<Vec<&'a Container>, PlanError> {
        let mut containers = self.with_one_offs()?;
        containers.retain(|container| !observed::is_one_off(container));
        Ok(containers)
    }

    /// Containers of the services meant, one-off ones too.
    fn with_one_offs(&self) -> Result<Vec<&'a Container>, PlanError> {
        let names = self.names()?;
        let mut containers: Vec<_> = self
            .observed
            .containers
            .iter()
            .filter(|container| {
                let service = observed::service(container);
                match (&names, self.desired) {
                    (Some(names), _) => names.contains(service),
                    (None, Some(desired)) => desired.services.contains_key(service),
                    (None, None) => true,
                }
            })
            .collect();
        containers.sort_by_key(|c| (observed::service(c).to_owned(), observed::number(c)));
        Ok(containers)
    }
}

/// Plans `stop`: dependents first.
pub fn stop(scope: &Scope<'_>, timeout: Option<Duration>) -> Result<Plan, PlanError> {
    let containers: Vec<_> = scope
        .containers()?
        .into_iter()
        .filter(|c| c.state.is_live())
        .collect();
    let mut plan = Plan::default();
    let mut steps: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for (service, dependents) in reverse_order(scope.desired, &containers) {
        let after: Vec<_> = dependents
            .iter()
            .flat_map(|name| steps.get(name).into_iter().flatten().copied())
            .collect();
        for container in containers
            .iter()
            .filter(|c| observed::service(c) == service)
        {
            let operation = Operation::Stop {
                id: container.id.clone(),
                name: container.name.clone(),
                service: service.clone(),
                timeout,
            };
            let step = plan.add(operation, Reason::Requested, &after);
            steps.entry(service.clone()).or_default().push(step);
        }
    }
    Ok(plan)
}

/// Plans `start`: dependencies first, conditions honoured. A named service brings what it
/// depends on, as Docker Compose does.
pub fn start(scope: &Scope<'_>) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let Some(desired) = scope.desired else {
        return start_from_labels(scope);
    };
    let named = desired.select(scope.services)?;
    something_to_start(scope, desired, &named)?;
    let mut started: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for name in desired.with_dependencies(&named) {
        let waits: Vec<_> = desired.services[&name]
            .depends_on
            .iter()
            .filter(|(dependency, _)| !scope.observed.of_service(dependency).is_empty())
            .map(|(dependency, entry)| Wait {
                service: dependency.clone(),
                condition: entry.condition,
                required: entry.required,
            })
            .collect();
        let steps = start_service(&mut plan, scope, &name, waits, &started);
        started.insert(name, steps);
    }
    Ok(plan)
}

/// Refuses where nothing was ever created. Where something was, a service without containers is
/// passed over: as Docker Compose.
fn something_to_start(
    scope: &Scope<'_>,
    desired: &Desired,
    named: &[String],
) -> Result<(), PlanError> {
    if !scope.observed.containers.iter().all(observed::is_one_off) {
        return Ok(());
    }
    let wants_one = |name: &&String| desired.services[*name].replicas > 0;
    match named.iter().find(wants_one) {
        Some(name) => Err(PlanError::NothingToStart {
            service: name.clone(),
        }),
        None => Ok(()),
    }
}

fn start_from_labels(scope: &Scope<'_>) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let containers = scope.containers()?;
    let mut order = reverse_order(None, &containers);
    order.reverse();
    let mut started: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for (service, _) in order {
        let waits = containers
            .iter()
            .filter(|c| observed::service(c) == service)
            .flat_map(|c| observed::dependencies(c))
            .filter(|(dependency, _)| !scope.observed.of_service(dependency).is_empty())
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(service, entry)| Wait {
                service,
                condition: entry.condition,
                required: entry.required,
            })
            .collect();
        let steps = start_service(&mut plan, scope, &service, waits, &started);
        started.insert(service, steps);
    }
    Ok(plan)
}

fn start_service(
    plan: &mut Plan,
    scope: &Scope<'_>,
    name: &str,
    waits: Vec<Wait>,
    started: &BTreeMap<String, Vec<StepId>>,
) -> Vec<StepId> {
    let after: Vec<_> = waits
        .iter()
        .flat_map(|wait| started.get(&wait.service).into_iter().flatten().copied())
        .collect();
    let mut steps = Vec::new();
    for container in scope.observed.of_service(name) {
        let reason = match &container.state {
            State::Created => Reason::Created,
            State::Exited(ended) => Reason::Exited(ended.code),
            State::Dead => Reason::NotRunning,
            State::Stopping => Reason::Stopping,
            State::Running | State::Paused | State::Restarting(_) | State::Removing => continue,
        };
        let operation = Operation::Start {
            service: name.to_owned(),
            number: observed::number(container),
            name: container.name.clone(),
            id: Some(container.id.clone()),
            waits: waits.clone(),
        };
        steps.push(plan.add(operation, reason, &after));
    }
    steps
}

/// Whether `restart` reaches dependents with `restart: true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// Yes.
    Restarted,
    /// No.
    LeftAlone,
}

/// Plans `restart`: dependencies first, and dependents that ask for it.
pub fn restart(
    scope: &Scope<'_>,
    dependents: Dependents,
    timeout: Option<Duration>,
) -> Result<Plan, PlanError> {
    let named = scope.containers()?;
    let mut services: BTreeSet<String> = named
        .iter()
        .map(|c| observed::service(c).to_owned())
        .collect();
    let all: Vec<_> = scope
        .observed
        .containers
        .iter()
        .filter(|c| !observed::is_one_off(c))
        .collect();
    if dependents == Dependents::Restarted {
        // Until nothing is added: a dependent's dependents restart with it.
        loop {
            let before = services.len();
            for container in all.iter().filter(|c| c.state.is_live()) {
                if depends_with_restart(scope.desired, container, &services) {
                    services.insert(observed::service(container).to_owned());
                }
            }
            if services.len() == before {
                break;
            }
        }
    }
    let containers: Vec<_> = all
        .into_iter()
        .filter(|c| services.contains(observed::service(c)))
        .collect();
    let mut order = reverse_order(scope.desired, &containers);
    order.reverse();
    let named: BTreeSet<_> = named.iter().map(|c| c.id.clone()).collect();
    let mut plan = Plan::default();
    let mut steps: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    for (service, _) in &order {
        let mut mine = Vec::new();
        for container in containers
            .iter()
            .filter(|c| observed::service(c) == service)
        {
            let dependencies: Vec<String> =
                match scope.desired.and_then(|d| d.services.get(service)) {
                    Some(service) => service.depends_on.keys().cloned().collect(),
                    None => observed::dependencies(container).into_keys().collect(),
                };
            let after: Vec<_> = dependencies
                .iter()
                .flat_map(|name| steps.get(name).into_iter().flatten().copied())
                .collect();
            let reason = if named.contains(&container.id) {
                Reason::Requested
            } else {
                Reason::DependencyRestarts(dependencies.join(", "))
            };
            let operation = Operation::Restart {
                id: container.id.clone(),
                name: container.name.clone(),
                service: service.clone(),
                timeout,
            };
            mine.push(plan.add(operation, reason, &after));
        }
        steps.insert(service.clone(), mine);
    }
    Ok(plan)
}

fn depends_with_restart(
    desired: Option<&Desired>,
    container: &Container,
    services: &BTreeSet<String>,
) -> bool {
    match desired.and_then(|d| d.services.get(observed::service(container))) {
        Some(service) => service
            .depends_on
            .iter()
            .any(|(name, entry)| entry.restart && services.contains(name)),
        None => observed::dependencies(container)
            .iter()
            .any(|(name, entry)| entry.restart && services.contains(name)),
    }
}

/// Plans `kill`: all at once, one-off containers too.
pub fn kill(scope: &Scope<'_>, signal: &str) -> Result<Plan, PlanError> {
    Ok(each(scope.with_one_offs()?, |container| {
        container.state.is_live().then(|| Operation::Kill {
            id: container.id.clone(),
            name: container.name.clone(),
            signal: signal.to_owned(),
        })
    }))
}

/// Adds the removal of containers that no service owns.
pub fn remove_orphans(plan: &mut Plan, desired: &Desired, observed: &Observed) {
    for container in &observed.containers {
        if is_orphan(desired, container) {
            let operation = Operation::Remove {
                id: container.id.clone(),
                name: container.name.clone(),
                service: observed::service(container).to_owned(),
                stop: if container.state.is_live() {
                    StopFirst::Yes(None)
                } else {
                    StopFirst::No
                },
                volumes: false,
            };
            plan.add(operation, Reason::Orphan, &[]);
        }
    }
}

/// Plans `pause`. One that is paused is tried too: that it cannot be is the engine's to say.
pub fn pause(scope: &Scope<'_>) -> Result<Plan, PlanError> {
    Ok(each(scope.containers()?, |container| {
        matches!(container.state, State::Running | State::Paused).then(|| Operation::Pause {
            id: container.id.clone(),
            name: container.name.clone(),
        })
    }))
}

/// Plans `unpause`. One that runs is tried too, as with [`pause`].
pub fn unpause(scope: &Scope<'_>) -> Result<Plan, PlanError> {
    Ok(each(scope.containers()?, |container| {
        matches!(container.state, State::Running | State::Paused).then(|| Operation::Unpause {
            id: container.id.clone(),
            name: container.name.clone(),
        })
    }))
}

/// Plans `rm`: containers that do not run, or all with `stop`.
pub fn remove(
    scope: &Scope<'_>,
    stop: Option<StopFirst>,
    volumes: bool,
) -> Result<Plan, PlanError> {
    Ok(each(scope.containers()?, |container| {
        let live = container.state.is_live();
        let stop = match (live, stop) {
            (true, None) => return None,
            (true, Some(stop)) => stop,
            (false, _) => StopFirst::No,
        };
        Some(Operation::Remove {
            id: container.id.clone(),
            name: container.name.clone(),
            service: observed::service(container).to_owned(),
            stop,
            volumes,
        })
    }))
}

fn each(containers: Vec<&Container>, operation: impl Fn(&Container) -> Option<Operation>) -> Plan {
    let mut plan = Plan::default();
    for container in containers {
        if let Some(operation) = operation(container) {
            plan.add(operation, Reason::Requested, &[]);
        }
    }
    plan
}

//! `down`: everything of the project goes, dependents first. Works from labels alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::backend::Container;

use super::desired::Desired;
use super::graph::{Plan, StepId};
use super::observed::{self, Observed};
use super::operation::{InUse, Operation, Reason, StopFirst, Warning};
use super::up::is_orphan;
use super::{PlanError, labels};

/// What the user asked of `down`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownOptions {
    /// Services named; empty means the whole project with its networks.
    pub services: Vec<String>,
    /// Volumes go too.
    pub volumes: Volumes,
    /// Images to remove, worked out by the caller.
    pub images: Vec<String>,
    /// Containers of services that the file does not have go too.
    pub orphans: bool,
    /// Grace period; `None` is each container's own.
    pub timeout: Option<Duration>,
}

/// Whether volumes are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// All stay.
    Keep,
    /// Named ones of the project and anonymous ones of its containers go.
    Remove,
}

/// Plans `down`. Without a file (`desired` is `None`) every container of the project goes. Those
/// of services that a profile switches off stay, unless the service is named: as Docker Compose,
/// which is how one part of a project is taken down. One-off containers go too, which Docker Compose
/// leaves behind, and the networks with them.
pub fn down(
    project: &str,
    desired: Option<&Desired>,
    observed: &Observed,
    options: &DownOptions,
) -> Result<Plan, PlanError> {
    let only: Option<BTreeSet<String>> = match desired {
        Some(desired) if !options.services.is_empty() => {
            Some(desired.select(&options.services)?.into_iter().collect())
        }
        None if !options.services.is_empty() => Some(options.services.iter().cloned().collect()),
        _ => None,
    };
    let mut plan = Plan::default();
    let containers: Vec<_> = observed
        .containers
        .iter()
        .filter(|container| {
            let service = observed::service(container);
            match (&only, desired) {
                (Some(only), _) => only.contains(service),
                (None, Some(desired)) => {
                    let is_orphan = is_orphan(desired, container);
                    let is_kept = is_orphan && !observed::is_one_off(container);
                    (options.orphans && is_orphan)
                        || !(is_kept || desired.disabled.contains(service))
                }
                (None, None) => true,
            }
        })
        .collect();
    let removed = remove_containers(&mut plan, desired, &containers, options);
    if only.is_none() {
        remove_resources(&mut plan, project, desired, observed, options, &removed);
    }
    for reference in &options.images {
        let operation = Operation::RemoveImage {
            reference: reference.clone(),
        };
        plan.add(operation, Reason::Requested, &removed);
    }
    if plan.is_empty() {
        plan.warnings.push(Warning::NothingFound {
            project: project.to_owned(),
        });
    }
    Ok(plan)
}

fn remove_containers(
    plan: &mut Plan,
    desired: Option<&Desired>,
    containers: &[&Container],
    options: &DownOptions,
) -> Vec<StepId> {
    let order = reverse_order(desired, containers);
    let mut steps: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
    let mut all = Vec::new();
    for (service, dependents) in order {
        let after: Vec<_> = dependents
            .iter()
            .flat_map(|name| steps.get(name).into_iter().flatten().copied())
            .collect();
        for container in containers
            .iter()
            .filter(|c| observed::service(c) == service)
        {
            let operation = Operation::Remove {
                id: container.id.clone(),
                name: container.name.clone(),
                service: service.clone(),
                stop: if container.state.is_live() {
                    StopFirst::Yes(options.timeout)
                } else {
                    StopFirst::No
                },
                volumes: options.volumes == Volumes::Remove,
            };
            let orphan = desired.is_some_and(|desired| is_orphan(desired, container));
            let reason = if orphan {
                Reason::Orphan
            } else {
                Reason::Requested
            };
            let step = plan.add(operation, reason, &after);
            steps.entry(service.clone()).or_default().push(step);
            all.push(step);
        }
    }
    all
}

fn remove_resources(
    plan: &mut Plan,
    project: &str,
    desired: Option<&Desired>,
    observed: &Observed,
    options: &DownOptions,
    after: &[StepId],
) {
    let external_networks = externals(desired.map(|d| &d.networks));
    for network in observed.networks.values() {
        let ours = network.labels.get(labels::PROJECT).map(String::as_str) == Some(project);
        if ours && !external_networks.contains(&network.name) {
            let operation = Operation::RemoveNetwork {
                in_use: InUse::Stays,
                name: network.name.clone(),
            };
            plan.add(operation, Reason::Requested, after);
        }
    }
    if options.volumes == Volumes::Keep {
        return;
    }
    let external_volumes = externals(desired.map(|d| &d.volumes));
    for volume in observed.volumes.values() {
        let ours = volume.labels.get(labels::PROJECT).map(String::as_str) == Some(project);
        if ours && !external_volumes.contains(&volume.name) {
            let operation = Operation::RemoveVolume {
                in_use: InUse::Stays,
                name: volume.name.clone(),
            };
            plan.add(operation, Reason::Requested, after);
        }
    }
}

fn externals(resources: Option<&indexmap::IndexMap<String, super::Resource>>) -> BTreeSet<String> {
    resources
        .into_iter()
        .flatten()
        .filter(|(_, resource)| resource.external)
        .map(|(_, resource)| resource.name.clone())
        .collect()
}

/// Services of `containers`, dependents first, each with the services that depend on it. What
/// the file says counts; for services that it lacks, their containers' labels do.
#[must_use]
pub fn reverse_order(
    desired: Option<&Desired>,
    containers: &[&Container],
) -> Vec<(String, BTreeSet<String>)> {
    let mut depends_on: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for container in containers {
        let service = observed::service(container);
        let entry = depends_on.entry(service.to_owned()).or_default();
        match desired.and_then(|desired| desired.services.get(service)) {
            Some(service) => entry.extend(service.depends_on.keys().cloned()),
            None => entry.extend(observed::dependencies(container).into_keys()),
        }
    }
    let mut dependents: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (service, dependencies) in &depends_on {
        for dependency in dependencies {
            if depends_on.contains_key(dependency) {
                dependents
                    .entry(dependency.clone())
                    .or_default()
                    .insert(service.clone());
            }
        }
    }
    let mut order = Vec::new();
    let mut open: BTreeSet<String> = depends_on.keys().cloned().collect();
    while !open.is_empty() {
        let free: Vec<_> = open
            .iter()
            .filter(|service| {
                dependents
                    .get(*service)
                    .is_none_or(|names| names.iter().all(|name| !open.contains(name)))
            })
            .cloned()
            .collect();
        // Labels are foreign text and can form a ring: then the rest goes in any order.
        let free = if free.is_empty() {
            open.iter().cloned().collect()
        } else {
            free
        };
        for service in free {
            open.remove(&service);
            let names = dependents.get(&service).cloned().unwrap_or_default();
            order.push((service, names));
        }
    }
    order
}

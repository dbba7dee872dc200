//! `up`, `create`, `scale`: what must change so that the project is as the file says.
//!
//! Order of thought: networks and volumes, orphans, then each service in dependency order:
//! which containers stay, which are replaced, how many are missing or too many; then starts,
//! each after its own creation and after what its service depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::backend::{Container, ContainerId, MountedSource, State};

use super::desired::{Desired, Service};
use super::graph::{Plan, StepId};
use super::observed::{self, Observed};
use super::operation::{Operation, Reason, Replaced, StopFirst, Wait, Warning};
use super::{PlanError, labels};

/// What the user asked of `up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpOptions {
    /// Services named; empty means all.
    pub services: Vec<String>,
    /// Whether what they depend on belongs to it.
    pub dependencies: Dependencies,
    /// When to replace containers of the named services.
    pub recreate: Recreate,
    /// When to replace containers of what they depend on.
    pub recreate_dependencies: Recreate,
    /// Whether a replacement gets fresh anonymous volumes.
    pub anonymous: Anonymous,
    /// What becomes of volumes whose declaration changed.
    pub changed_volumes: ChangedVolumes,
    /// What becomes of containers that no service owns.
    pub orphans: Orphans,
    /// Whether to start anything.
    pub start: Start,
    /// Grace period for what must stop; `None` is each container's own.
    pub timeout: Option<Duration>,
}

/// Whether dependencies take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Dependencies {
    Included,
    Ignored,
}

/// When containers are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recreate {
    /// When they differ from the file.
    Diverged,
    /// Always.
    Forced,
    /// Never.
    Never,
}

/// Anonymous volumes of replaced containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// The replacement takes them over.
    Inherited,
    /// The replacement gets new ones.
    Renewed,
}

/// Volumes whose declaration changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedVolumes {
    /// They stay, with a warning.
    Kept,
    /// They are made anew; their data is lost.
    Recreated,
}

/// Containers that no service owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They stay, with a warning.
    Reported,
    /// They stay, without a word.
    Ignored,
    /// They go.
    Removed,
}

/// Whether containers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Start {
    Yes,
    No,
}

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
}

/// What becomes of a service's containers.
struct Decision<'a> {
    service: String,
    keep: Vec<&'a Container>,
    replace: Vec<(&'a Container, Reason)>,
    remove: Vec<(&'a Container, Reason)>,
    create: Vec<(u32, Reason)>,
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

    // ---- networks and volumes -------------------------------------------------------------

    fn used(&self, of: impl Fn(&Service) -> &Vec<String>) -> BTreeSet<String> {
        self.services
            .iter()
            .flat_map(|name| of(self.service(name)).iter().cloned())
            .collect()
    }

    fn networks(&mut self) -> Result<(), PlanError> {
        let used = self.used(|service| &service.networks);
        let desired = self.desired;
        for (key, network) in desired
            .networks
            .iter()
            .filter(|(key, _)| used.contains(*key))
        {
            let found = self.observed.networks.get(&network.name);
            match found {
                None if network.external => {
                    return Err(PlanError::ExternalNetwork {
                        name: network.name.clone(),
                    });
                }
                None => {
                    self.create_network(key, Reason::NotFound, &[]);
                }
                Some(_) if network.external => {}
                Some(found) => {
                    let project = found.labels.get(labels::PROJECT);
                    if project != Some(&desired.project) {
                        self.plan.warnings.push(Warning::Unlabelled {
                            kind: "network",
                            name: network.name.clone(),
                            project: project.cloned(),
                        });
                        continue;
                    }
                    if let Some(other) = found.labels.get(labels::NETWORK).filter(|k| *k != key) {
                        return Err(PlanError::ForeignNetwork {
                            name: network.name.clone(),
                            label: labels::NETWORK,
                            found: other.clone(),
                            expected: key.clone(),
                        });
                    }
                    let hash = found.labels.get(labels::CONFIG_HASH);
                    if hash.is_some_and(|hash| *hash != network.config_hash) {
                        self.recreate_network(key, &network.name);
                    }
                }
            }
        }
        Ok(())
    }

    fn create_network(&mut self, key: &str, reason: Reason, after: &[StepId]) {
        let operation = Operation::CreateNetwork {
            key: key.to_owned(),
            name: self.desired.networks[key].name.clone(),
        };
        let id = self.plan.add(operation, reason, after);
        self.resources.networks.insert(key.to_owned(), id);
    }

    fn recreate_network(&mut self, key: &str, name: &str) {
        let reason = Reason::NetworkChanged(key.to_owned());
        let on_it: Vec<_> = self
            .observed
            .containers
            .iter()
            .filter(|c| c.networks.iter().any(|endpoint| endpoint.network == name))
            .collect();
        let stops: Vec<_> = on_it
            .into_iter()
            .filter(|c| c.state.is_live())
            .map(|container| self.stop(container, reason.clone(), &[]))
            .collect();
        let remove = Operation::RemoveNetwork {
            name: name.to_owned(),
        };
        let removed = self.plan.add(remove, reason.clone(), &stops);
        self.create_network(key, reason, &[removed]);
        self.resources.changed_networks.insert(key.to_owned());
    }

    fn volumes(&mut self) -> Result<(), PlanError> {
        let used = self.used(|service| &service.volumes);
        let desired = self.desired;
        for (key, volume) in desired
            .volumes
            .iter()
            .filter(|(key, _)| used.contains(*key))
        {
            match self.observed.volumes.get(&volume.name) {
                None if volume.external => {
                    return Err(PlanError::ExternalVolume {
                        name: volume.name.clone(),
                    });
                }
                None => self.create_volume(key, Reason::NotFound, &[]),
                Some(_) if volume.external => {}
                Some(found) => {
                    let project = found.labels.get(labels::PROJECT);
                    if project != Some(&desired.project) {
                        self.plan.warnings.push(Warning::Unlabelled {
                            kind: "volume",
                            name: volume.name.clone(),
                            project: project.cloned(),
                        });
                        continue;
                    }
                    let hash = found.labels.get(labels::CONFIG_HASH);
                    if hash.is_none_or(|hash| *hash == volume.config_hash) {
                        continue;
                    }
                    match self.options.changed_volumes {
                        ChangedVolumes::Kept => self.plan.warnings.push(Warning::VolumeKept {
                            name: volume.name.clone(),
                        }),
                        ChangedVolumes::Recreated => self.recreate_volume(key, &volume.name),
                    }
                }
            }
        }
        Ok(())
    }

    fn create_volume(&mut self, key: &str, reason: Reason, after: &[StepId]) {
        let operation = Operation::CreateVolume {
            key: key.to_owned(),
            name: self.desired.volumes[key].name.clone(),
        };
        let id = self.plan.add(operation, reason, after);
        self.resources.volumes.insert(key.to_owned(), id);
    }

    fn recreate_volume(&mut self, key: &str, name: &str) {
        let reason = Reason::VolumeChanged(key.to_owned());
        let users: Vec<_> = self
            .observed
            .containers
            .iter()
            .filter(|c| mounts_volume(c, name))
            .collect();
        let mut gone = Vec::new();
        for container in users {
            // The volume cannot go while a container refers to it, so its users go first;
            // `decide` sees that and creates them again.
            gone.push(self.remove(container, reason.clone(), &[]));
        }
        let remove = Operation::RemoveVolume {
            name: name.to_owned(),
        };
        let removed = self.plan.add(remove, reason.clone(), &gone);
        self.create_volume(key, reason, &[removed]);
        self.resources.changed_volumes.insert(key.to_owned());
    }

    // ---- containers without a service -------------------------------------------------------

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

    // ---- services ---------------------------------------------------------------------------

    fn decide(&mut self) -> Vec<Decision<'a>> {
        let mut decisions = Vec::new();
        for name in self.services.clone() {
            let decision = self.decide_service(&name);
            if !decision.replace.is_empty() {
                self.recreated.insert(name);
            }
            decisions.push(decision);
        }
        decisions
    }

    fn decide_service(&self, name: &str) -> Decision<'a> {
        let wanted = self.service(name).replicas as usize;
        let mut removed = Vec::new();
        let mut standing: Vec<(&Container, Option<Reason>)> = Vec::new();
        let mut anew = Vec::new();
        for container in self.observed.of_service(name) {
            let number = observed::number(container);
            if self.resources.stopped.contains_key(&container.id) && self.loses_volume(container) {
                anew.push((number, Reason::VolumeChanged(self.lost_volume(container))));
            } else if self.is_leftover(name, container) {
                removed.push((container, Reason::Duplicate));
            } else {
                standing.push((container, self.divergence(name, container)));
            }
        }
        let have = standing.len() + anew.len();
        if have > wanted {
            // Outdated ones go first, then the highest numbers.
            standing.sort_by_key(|(container, reason)| {
                (
                    reason.is_none(),
                    std::cmp::Reverse(observed::number(container)),
                )
            });
            let surplus = (have - wanted).min(standing.len());
            removed.extend(
                standing
                    .drain(..surplus)
                    .map(|(container, _)| (container, Reason::ScaleDown)),
            );
            standing.sort_by_key(|(container, _)| observed::number(container));
        }
        let mut create = anew;
        create.truncate(wanted);
        let highest = standing
            .iter()
            .map(|(container, _)| observed::number(container))
            .chain(create.iter().map(|(number, _)| *number))
            .max()
            .unwrap_or(0);
        let have = standing.len() + create.len();
        let reason = if have == 0 {
            Reason::NoContainer
        } else {
            Reason::ScaleUp
        };
        let missing = u32::try_from(wanted.saturating_sub(have)).unwrap_or(u32::MAX);
        create.extend((1..=missing).map(|i| (highest + i, reason.clone())));
        let mut decision = Decision {
            service: name.to_owned(),
            keep: Vec::new(),
            replace: Vec::new(),
            remove: removed,
            create,
        };
        for (container, reason) in standing {
            match reason {
                Some(reason) => decision.replace.push((container, reason)),
                None => decision.keep.push(container),
            }
        }
        decision
    }

    /// A predecessor that a crash left behind after its successor was made.
    fn is_leftover(&self, service: &str, container: &Container) -> bool {
        let number = observed::number(container);
        let name = self.desired.container_name(service, number);
        container.name != name
            && self
                .observed
                .of_service(service)
                .iter()
                .any(|other| other.name == name && observed::number(other) == number)
    }

    fn loses_volume(&self, container: &Container) -> bool {
        !self.lost_volume(container).is_empty()
    }

    fn lost_volume(&self, container: &Container) -> String {
        self.resources
            .changed_volumes
            .iter()
            .find(|key| mounts_volume(container, &self.desired.volumes[*key].name))
            .cloned()
            .unwrap_or_default()
    }

    /// Why a container must be replaced, if it must.
    fn divergence(&self, name: &str, container: &Container) -> Option<Reason> {
        let service = self.service(name);
        if let Some(key) = service
            .networks
            .iter()
            .find(|key| self.resources.changed_networks.contains(*key))
        {
            // Not a matter of choice: the network it was on is gone.
            return Some(Reason::NetworkChanged(key.clone()));
        }
        let mode = if self.targets.contains(name) {
            self.options.recreate
        } else {
            self.options.recreate_dependencies
        };
        match mode {
            Recreate::Never => return None,
            Recreate::Forced => return Some(Reason::Forced),
            Recreate::Diverged => {}
        }
        if self.options.anonymous == Anonymous::Renewed
            && self.targets.contains(name)
            && !observed::anonymous_volumes(container).is_empty()
        {
            return Some(Reason::VolumesRenewed);
        }
        if container.label(labels::CONFIG_HASH) != Some(service.config_hash.as_str()) {
            return Some(Reason::ConfigChanged);
        }
        if let Some(image) = &service.image_id
            && container.image_id != *image
        {
            return Some(Reason::ImageChanged);
        }
        if let Some(tied) = service.tied_to.iter().find(|s| self.recreated.contains(*s)) {
            return Some(Reason::DependencyRecreated(tied.clone()));
        }
        if container.name
            != self
                .desired
                .container_name(name, observed::number(container))
        {
            return Some(Reason::Misnamed(container.name.clone()));
        }
        for key in &service.networks {
            let network = &self.desired.networks[key].name;
            if container.state.is_live()
                && !container.networks.iter().any(|e| e.network == *network)
            {
                return Some(Reason::NotOnNetwork(key.clone()));
            }
        }
        for key in &service.volumes {
            if !mounts_volume(container, &self.desired.volumes[key].name) {
                return Some(Reason::NotMounted(key.clone()));
            }
        }
        None
    }

    // ---- steps ------------------------------------------------------------------------------

    fn emit(&mut self, decisions: Vec<Decision<'a>>) {
        self.stop_dependents(&decisions);
        let mut to_start: Vec<(String, Vec<Pending>)> = Vec::new();
        for decision in decisions {
            let pending = self.emit_containers(&decision);
            to_start.push((decision.service, pending));
        }
        if self.options.start == Start::Yes {
            self.emit_starts(to_start);
        }
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
            let number = observed::number(container);
            let stopped = self
                .restarting
                .get(&container.id)
                .or_else(|| self.resources.stopped.get(&container.id))
                .copied();
            let reason = match (&container.state, stopped) {
                (_, Some(step)) => Some(self.plan.step(step).reason.clone()),
                (State::Created, _) => Some(Reason::Created),
                (State::Exited(ended), _) => Some(Reason::Exited(ended.code)),
                (State::Dead, _) => Some(Reason::NotRunning),
                (State::Stopping, _) => Some(Reason::Stopping),
                _ => None,
            };
            if let Some(reason) = reason {
                pending.push(Pending {
                    number,
                    name: container.name.clone(),
                    id: Some(container.id.clone()),
                    reason,
                    after: stopped.into_iter().collect(),
                });
            }
        }
        for (container, reason) in &decision.replace {
            let number = observed::number(container);
            let stopped = self.resources.stopped.get(&container.id).copied();
            let mut after = ready.clone();
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
            pending.push(self.create(name, number, inherit, Some(replaces), reason, &after));
        }
        for (number, reason) in &decision.create {
            pending.push(self.create(name, *number, Vec::new(), None, reason, &ready));
        }
        pending.sort_by_key(|p| p.number);
        pending
    }

    /// Steps that must be done before a container of the service can be made: its networks and
    /// volumes, the containers it is tied to, and the stops of dependents on the way.
    fn before_create(&self, name: &str) -> Vec<StepId> {
        let service = self.service(name);
        let mut ready: Vec<_> = service
            .networks
            .iter()
            .filter_map(|key| self.resources.networks.get(key))
            .chain(
                service
                    .volumes
                    .iter()
                    .filter_map(|key| self.resources.volumes.get(key)),
            )
            .copied()
            .collect();
        for tied in &service.tied_to {
            ready.extend(self.creates.get(tied).into_iter().flatten());
        }
        if self.recreated.contains(name) {
            ready.extend(self.restarting.values());
        }
        ready
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

/// A container that will be started.
struct Pending {
    number: u32,
    name: String,
    id: Option<ContainerId>,
    reason: Reason,
    after: Vec<StepId>,
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

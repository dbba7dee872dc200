//! Networks and volumes: made where they are missing, made anew where their declaration changed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::desired::Service;
use super::super::graph::StepId;
use super::super::observed;
use super::super::operation::{InUse, Operation, Reason, Warning};
use super::super::{PlanError, labels};
use super::{ChangedVolumes, Planner, mounts_volume};
use crate::backend::Container;

impl Planner<'_> {
    fn used(&self, of: impl Fn(&Service) -> &Vec<String>) -> BTreeSet<String> {
        self.services
            .iter()
            .flat_map(|name| of(self.service(name)).iter().cloned())
            .collect()
    }

    /// Whether something was made for this project; a warning says when it was not.
    fn is_ours(
        &mut self,
        kind: &'static str,
        name: &str,
        found: &BTreeMap<String, String>,
    ) -> bool {
        let project = found.get(labels::PROJECT);
        let ours = project == Some(&self.desired.project);
        if !ours {
            self.plan.warnings.push(Warning::Unlabelled {
                kind,
                name: name.to_owned(),
                project: project.cloned(),
            });
        }
        ours
    }

    pub(super) fn networks(&mut self) -> Result<(), PlanError> {
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
                    if !self.is_ours("network", &network.name, &found.labels) {
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

    fn create_network(&mut self, key: &str, reason: Reason, after: &[StepId]) -> StepId {
        let operation = Operation::CreateNetwork {
            key: key.to_owned(),
            name: self.desired.networks[key].name.clone(),
        };
        let id = self.plan.add(operation, reason, after);
        self.resources.networks.insert(key.to_owned(), id);
        id
    }

    fn recreate_network(&mut self, key: &str, name: &str) {
        let reason = Reason::NetworkChanged(key.to_owned());
        let on_it: Vec<_> = self
            .observed
            .containers
            .iter()
            .filter(|c| c.networks.iter().any(|endpoint| endpoint.network == name))
            .collect();
        let mut live: Vec<_> = on_it.into_iter().filter(|c| c.state.is_live()).collect();
        // Who shares the namespaces of a bystander would be left in the old ones.
        let sharers = self.observed.containers.iter().filter(|container| {
            let joins = |other: &&&Container| container.joined.contains(&other.id);
            let lender = live.iter().find(joins);
            container.state.is_live()
                && self.is_bystander(container)
                && lender.is_some_and(|lender| self.is_bystander(lender))
                && !live.iter().any(|other| other.id == container.id)
        });
        live.extend(sharers.collect::<Vec<_>>());
        let stops: Vec<_> = live
            .iter()
            .map(|container| self.stop(container, reason.clone(), &[]))
            .collect();
        let remove = Operation::RemoveNetwork {
            name: name.to_owned(),
            in_use: InUse::Fails,
        };
        let removed = self.plan.add(remove, reason.clone(), &stops);
        let created = self.create_network(key, reason, &[removed]);
        self.resources.changed_networks.insert(key.to_owned());
        for (container, stop) in live.into_iter().zip(stops) {
            if self.is_bystander(container) {
                let steps = &mut self.resources.bystanders;
                let steps = steps.entry(container.id.clone()).or_default();
                steps.extend([stop, created]);
            }
        }
    }

    /// Whether a container belongs to a service that takes no part.
    fn is_bystander(&self, container: &Container) -> bool {
        let service = observed::service(container);
        let takes_part = self.services.iter().any(|name| name == service)
            && self.options.around.as_deref() != Some(service);
        !takes_part && !observed::is_one_off(container)
    }

    pub(super) fn volumes(&mut self) -> Result<(), PlanError> {
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
                    if !self.is_ours("volume", &volume.name, &found.labels) {
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
            in_use: InUse::Fails,
        };
        let removed = self.plan.add(remove, reason.clone(), &gone);
        self.create_volume(key, reason, &[removed]);
        self.resources.changed_volumes.insert(key.to_owned());
    }
}

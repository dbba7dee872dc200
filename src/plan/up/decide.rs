//! What becomes of each service's containers: which stay, which are replaced, how many are missing or too many.

use std::cmp::Reverse;

use super::super::labels;
use super::super::observed;
use super::super::operation::Reason;
use super::{Anonymous, Planner, Recreate, mounts_volume};
use crate::backend::{Container, State};

/// What becomes of a service's containers.
pub(super) struct Decision<'a> {
    pub(super) service: String,
    pub(super) keep: Vec<&'a Container>,
    pub(super) replace: Vec<(&'a Container, Reason)>,
    pub(super) remove: Vec<(&'a Container, Reason)>,
    pub(super) create: Vec<(u32, Reason)>,
}

impl Decision<'_> {
    /// Whether containers of before are made again, and whoever is tied to one has to be too.
    fn has_successors(&self) -> bool {
        let mut reasons = self.create.iter().map(|(_, reason)| reason);
        !self.replace.is_empty() || reasons.any(|reason| matches!(reason, Reason::VolumeChanged(_)))
    }
}

impl<'a> Planner<'a> {
    pub(super) fn decide(&mut self) -> Vec<Decision<'a>> {
        let mut decisions = Vec::new();
        let around = self.options.around.as_ref();
        for name in self.services.clone() {
            if around == Some(&name) {
                continue;
            }
            let decision = self.decide_service(&name);
            if decision.has_successors() {
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
        removed.extend(
            surplus(&mut standing, anew.len(), wanted)
                .into_iter()
                .map(|container| (container, Reason::ScaleDown)),
        );
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
            && !self.moves_by_restart(name, container)
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
        let recreated = |service: &&String| self.recreated.contains(*service);
        let tied = service.tied_to.iter().find(recreated);
        let left = |service: &&String| self.has_left(container, service);
        if let Some(tied) = tied.or_else(|| service.joined.iter().find(left)) {
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
}

impl Planner<'_> {
    /// Whether a start is all that a container needs to be on the new network of a name. Not one that
    /// was prepared on the old one; and with a new namespace it would leave behind who shares its own.
    fn moves_by_restart(&self, name: &str, container: &Container) -> bool {
        let is_shared = self
            .desired
            .services
            .values()
            .any(|other| other.joined.contains(name));
        container.state != State::Created && !is_shared
    }

    /// Whether a container shares the namespaces of a predecessor of the container that it should share them with. Only
    /// where that one can be joined: what runs is not given up for what cannot be made.
    fn has_left(&self, container: &Container, service: &str) -> bool {
        let name = self.desired.container_name(service, 1);
        let standing = self.observed.of_service(service);
        let is_planned = self.services.iter().any(|planned| planned == service)
            && self.service(service).replicas > 0;
        match standing.iter().find(|other| other.name == name) {
            Some(other) => {
                (is_planned || other.state.is_live()) && !container.joined.contains(&other.id)
            }
            // Its first one is made now.
            None => is_planned && standing.is_empty(),
        }
    }
}

/// Takes out what is too much: outdated ones first, then the highest numbers.
fn surplus<'a>(
    standing: &mut Vec<(&'a Container, Option<Reason>)>,
    others: usize,
    wanted: usize,
) -> Vec<&'a Container> {
    let have = standing.len() + others;
    let surplus = have.saturating_sub(wanted).min(standing.len());
    if surplus == 0 {
        return Vec::new();
    }
    standing.sort_by_key(|(container, reason)| {
        (reason.is_none(), Reverse(observed::number(container)))
    });
    let removed = standing
        .drain(..surplus)
        .map(|(container, _)| container)
        .collect();
    standing.sort_by_key(|(container, _)| observed::number(container));
    removed
}

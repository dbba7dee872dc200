//! What exists, sorted by what the labels say.

use std::collections::BTreeMap;

use crate::backend::{Container, MountedSource, Network, Volume};

use super::desired::{Condition, Dependency};
use super::labels;

/// Everything that carries the project's label, and the resources it refers to by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Containers, one-off ones too.
    pub containers: Vec<Container>,
    /// Networks by real name.
    pub networks: BTreeMap<String, Network>,
    /// Volumes by real name.
    pub volumes: BTreeMap<String, Volume>,
}

impl Observed {
    /// Containers of a service, without one-off ones, by number.
    #[must_use]
    pub fn of_service(&self, service: &str) -> Vec<&Container> {
        let mut containers: Vec<_> = self
            .containers
            .iter()
            .filter(|c| c.label(labels::SERVICE) == Some(service) && !is_one_off(c))
            .collect();
        containers.sort_by_key(|c| (number(c), c.name.clone()));
        containers
    }
}

/// A container of `run`.
#[must_use]
pub fn is_one_off(container: &Container) -> bool {
    container
        .label(labels::ONE_OFF)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Its service; containers that lost the label have an empty one.
#[must_use]
pub fn service(container: &Container) -> &str {
    container.label(labels::SERVICE).unwrap_or_default()
}

/// Its number; 0 when it has none.
#[must_use]
pub fn number(container: &Container) -> u32 {
    container
        .label(labels::NUMBER)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Its anonymous volumes: target and name.
#[must_use]
pub fn anonymous_volumes(container: &Container) -> Vec<(String, String)> {
    container
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountedSource::AnonymousVolume(name) => Some((mount.target.clone(), name.clone())),
            _ => None,
        })
        .collect()
}

/// What a container's label says its service depends on: `db:service_healthy:true,…`.
#[must_use]
pub fn dependencies(container: &Container) -> BTreeMap<String, Dependency> {
    let text = container.label(labels::DEPENDS_ON).unwrap_or_default();
    text.split(',')
        .filter_map(|item| {
            let mut parts = item.split(':');
            let service = parts.next().filter(|name| !name.is_empty())?;
            let condition = match parts.next() {
                Some("service_healthy") => Condition::Healthy,
                Some("service_completed_successfully") => Condition::CompletedSuccessfully,
                _ => Condition::Started,
            };
            let restart = parts.next() == Some("true");
            Some((
                service.to_owned(),
                Dependency {
                    condition,
                    required: true,
                    restart,
                },
            ))
        })
        .collect()
}

//! From a service's template to one container, network or volume.

use gantry_engine::spec::{ContainerSpec, MountKind, MountSpec, NetworkSpec};

use crate::backend::VolumeSpec;
use crate::plan::{Replaced, labels};

use super::Stack;

impl Stack {
    /// The network with this key; `None` for an external or unknown one.
    #[must_use]
    pub fn network(&self, key: &str) -> Option<&NetworkSpec> {
        self.networks.get(key)
    }

    /// The volume with this key; `None` for an external or unknown one.
    #[must_use]
    pub fn volume(&self, key: &str) -> Option<&VolumeSpec> {
        self.volumes.get(key)
    }

    /// The reference of a service's image.
    #[must_use]
    pub fn image(&self, service: &str) -> Option<&str> {
        self.templates.get(service).map(|spec| spec.image.as_str())
    }

    /// What every container of a service is made after.
    #[must_use]
    pub fn template(&self, service: &str) -> Option<&ContainerSpec> {
        self.templates.get(service)
    }

    /// The container with this number of a service.
    #[must_use]
    pub fn container(
        &self,
        service: &str,
        number: u32,
        name: &str,
        inherit: &[(String, String)],
        replaces: Option<&Replaced>,
    ) -> Option<ContainerSpec> {
        let mut spec = self.templates.get(service)?.clone();
        spec.name = Some(name.to_owned());
        let desired = self.desired.services.get(service)?;
        let mut label = |key: &str, value: String| {
            spec.labels.insert(key.to_owned(), value);
        };
        label(labels::NUMBER, number.to_string());
        label(labels::CONFIG_HASH, desired.config_hash.clone());
        if let Some(image) = &desired.image_id {
            label(labels::IMAGE, image.clone());
        }
        if let Some(replaced) = replaces {
            label(labels::REPLACE, replaced.name.clone());
        }
        for (target, volume) in inherit {
            take_over(&mut spec.mounts, target, volume);
        }
        Some(spec)
    }
}

/// Mounts a predecessor's anonymous volume, unless the file now says what belongs there.
fn take_over(mounts: &mut Vec<MountSpec>, target: &str, volume: &str) {
    match mounts.iter_mut().find(|mount| mount.target == target) {
        Some(MountSpec {
            kind: MountKind::Volume { name, .. },
            ..
        }) if name.is_none() => *name = Some(volume.to_owned()),
        Some(_) => {}
        // One that the image declares.
        None => mounts.push(MountSpec {
            target: target.to_owned(),
            kind: MountKind::Volume {
                name: Some(volume.to_owned()),
                no_copy: false,
                subpath: None,
                labels: std::collections::BTreeMap::new(),
            },
            read_only: false,
        }),
    }
}

//! What takes up space, and removing what nobody uses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::cgroup::{Cgroup, Layout};
use crate::container::{ListFilter, Status};
use crate::image::{Removed, Roots};
use crate::volume::Backing;

use super::{Engine, RemoveOptions, Result};

/// What to remove beyond stopped containers, unused networks and nameless images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Every image that no container uses.
    pub all_images: bool,
    /// Anonymous volumes that no container has.
    pub volumes: bool,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Ids.
    pub containers: Vec<String>,
    /// Names.
    pub networks: Vec<String>,
    /// Names.
    pub volumes: Vec<String>,
    /// Names and ids, as `rmi` tells them.
    pub images: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// One line of `system df`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// What: `Images`, `Containers`, `Local Volumes`.
    pub name: &'static str,
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes.
    pub size: u64,
    /// Bytes that removing the unused ones would free.
    pub reclaimable: u64,
}

impl Engine {
    /// Removes containers that do not run; their ids.
    pub fn prune_containers(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for container in self.list(&ListFilter::everything())? {
            if !matches!(
                container.state.status,
                Status::Created | Status::Exited | Status::Dead
            ) {
                continue;
            }
            match self
                .containers
                .remove(container.id.as_str(), &RemoveOptions::default())
            {
                Ok(()) => removed.push(container.id.to_string()),
                // Started, or removed by somebody else, meanwhile.
                Err(error) => {
                    use crate::error::{Classify, ErrorKind};
                    if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) {
                        return Err(error.into());
                    }
                }
            }
        }
        self.containers.sweep()?;
        Ok(removed)
    }

    /// Removes networks that no container, running or not, is to be on; their names.
    pub fn prune_networks(&self) -> Result<Vec<String>> {
        use crate::spec::NetworkMode;
        let mut wanted: Vec<String> = vec!["bridge".to_owned()];
        for container in self.list(&ListFilter::everything())? {
            wanted.extend(container.endpoints.iter().map(|e| e.network.clone()));
            if let NetworkMode::Networks(endpoints) = container.spec.network {
                wanted.extend(endpoints.into_iter().map(|endpoint| endpoint.network));
            }
        }
        let mut removed = Vec::new();
        for network in self.networks.list()? {
            if !wanted.contains(&network.name) && !wanted.contains(&network.id) {
                self.remove_network(&network.id)?;
                removed.push(network.name);
            }
        }
        Ok(removed)
    }

    /// Removes anonymous volumes that no container has, with `all` the named ones too; their names.
    pub fn prune_volumes(&self, all: bool) -> Result<Vec<String>> {
        let used = self.volume_users()?;
        let mut removed = Vec::new();
        for volume in self.volumes().list()? {
            if (all || volume.anonymous) && !used.contains_key(volume.name.as_str()) {
                self.remove_volume(volume.name.as_str())?;
                removed.push(volume.name.to_string());
            }
        }
        Ok(removed)
    }

    /// What containers use of the image store.
    pub fn image_roots(&self) -> Result<Roots> {
        let store = self.containers.store();
        let mut images: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for id in store.ids()? {
            if let Some(record) = store.record(&id)?
                && let Ok(image) = record.image_id.parse()
            {
                images
                    .entry(image)
                    .or_default()
                    .push(record.name.to_string());
            }
        }
        Ok(Roots {
            images,
            ..Roots::default()
        })
    }

    /// A root without containers keeps nothing in the kernel: no bridge, no packet filter, no cgroup.
    fn leave_the_kernel(&self) -> Result<()> {
        if !self.list(&ListFilter::everything())?.is_empty() {
            return Ok(());
        }
        self.networks.dismantle()?;
        let parent =
            Layout::detect().and_then(|layout| Cgroup::open(&layout, &self.paths.cgroup_parent()));
        if let Ok(parent) = parent {
            parent.remove_if_empty();
        }
        Ok(())
    }

    /// Removes what nobody uses.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned> {
        let before = size_of(self.paths.root());
        let containers = self.prune_containers()?;
        let networks = self.prune_networks()?;
        let volumes = if options.volumes {
            self.prune_volumes(false)?
        } else {
            Vec::new()
        };
        let (images, _) = self
            .images
            .prune(options.all_images, &self.image_roots()?, &|_| false)?;
        self.paths.trash().empty()?;
        self.leave_the_kernel()?;
        Ok(Pruned {
            containers,
            networks,
            volumes,
            images: images
                .into_iter()
                .map(|removed| match removed {
                    Removed::Untagged(name) => format!("untagged: {}", name.familiar()),
                    Removed::Deleted(id) => format!("deleted: {id}"),
                })
                .collect(),
            reclaimed: before.saturating_sub(size_of(self.paths.root())),
        })
    }

    /// What takes up space.
    pub fn disk_usage(&self) -> Result<Vec<DiskUsage>> {
        let containers = self.list(&ListFilter::everything())?;
        let mut all = DiskUsage {
            name: "Containers",
            total: containers.len(),
            active: 0,
            size: 0,
            reclaimable: 0,
        };
        for container in &containers {
            let size = size_of(&self.paths.container(&container.id).join("upper"));
            all.size += size;
            if container.state.status.is_up() {
                all.active += 1;
            } else {
                all.reclaimable += size;
            }
        }
        let roots = self.image_roots()?;
        let mut images = DiskUsage {
            name: "Images",
            total: 0,
            active: 0,
            size: 0,
            reclaimable: 0,
        };
        for image in self.images.list()? {
            images.total += 1;
            images.size += image.size;
            if roots.images.contains_key(&image.id) {
                images.active += 1;
            } else {
                images.reclaimable += image.size;
            }
        }
        let users = self.volume_users()?;
        let mut volumes = DiskUsage {
            name: "Local Volumes",
            total: 0,
            active: 0,
            size: 0,
            reclaimable: 0,
        };
        for volume in self.volumes().list()? {
            let size = match volume.backing {
                Backing::Directory => size_of(&self.volumes().data(&volume.name)),
                Backing::Bind { .. } | Backing::Tmpfs { .. } => 0,
            };
            volumes.total += 1;
            volumes.size += size;
            if users.contains_key(volume.name.as_str()) {
                volumes.active += 1;
            } else {
                volumes.reclaimable += size;
            }
        }
        Ok(vec![images, all, volumes])
    }
}

/// Bytes on disk below a path; what vanishes meanwhile counts nothing. Links are not followed.
fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own = metadata.blocks() * 512;
    if !metadata.is_dir() {
        return own;
    }
    let Ok(entries) = fs::read_dir(path) else {
        return own;
    };
    own + entries
        .flatten()
        .map(|entry| size_of(&entry.path()))
        .sum::<u64>()
}

//! What takes up space, and removing what nobody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::cgroup::{Cgroup, Layout};
use crate::container::{Container, ListFilter, Status};
use crate::image::{Emptied, ImageSummary, Removed, Roots};
use crate::network::Leftover;
use crate::volume::{Backing, Volume};

use super::{Engine, RemoveOptions, Result};

/// Which unused things to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Only what was made before.
    pub until: Option<Timestamp>,
    /// Only with all these labels; with a value, exactly that.
    pub labels: Vec<(String, Option<String>)>,
    /// Nothing with one of these labels.
    pub without: Vec<(String, Option<String>)>,
}

impl PruneFilter {
    /// Whether a thing with these labels, made then, may go.
    pub fn fits(&self, labels: &BTreeMap<String, String>, created: Option<Timestamp>) -> bool {
        let has = |(key, wanted): &(String, Option<String>)| {
            labels
                .get(key)
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
        };
        let old = match (self.until, created) {
            (Some(until), Some(created)) => created < until,
            // What does not tell its age is not known to be old.
            (Some(_), None) => false,
            (None, _) => true,
        };
        old && self.labels.iter().all(has) && !self.without.iter().any(has)
    }
}

/// What to remove beyond stopped containers, unused networks and nameless images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Which of them.
    pub filter: PruneFilter,
    /// Every image that no container uses.
    pub all_images: bool,
    /// Anonymous volumes that no container has.
    pub volumes: bool,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// What deleted roots and networks had left in the kernel.
    pub leftovers: Vec<Leftover>,
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
    /// What steps and downloads of builds have kept was asked for too, and stays: somebody builds or pulls.
    pub builds_go_on: bool,
}

/// One line of `system df`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// What: `Images`, `Containers`, `Local Volumes`, `Build Cache`.
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

impl DiskUsage {
    /// A line that counts nothing yet.
    pub(super) fn none(name: &'static str) -> Self {
        Self {
            name,
            total: 0,
            active: 0,
            size: 0,
            reclaimable: 0,
        }
    }
}

impl Engine {
    /// Removes containers that do not run; their ids, and the bytes they had written.
    pub fn prune_containers(&self, filter: &PruneFilter) -> Result<(Vec<String>, u64)> {
        let mut removed = Vec::new();
        let mut reclaimed = 0;
        for container in self.list(&ListFilter::everything())? {
            if !matches!(
                container.state.status,
                Status::Created | Status::Exited | Status::Dead
            ) || !filter.fits(&container.labels, Some(container.created))
            {
                continue;
            }
            let size = self.written(&container);
            match self
                .containers
                .remove(container.id.as_str(), &RemoveOptions::default())
            {
                Ok(()) => {
                    removed.push(container.id.to_string());
                    reclaimed += size;
                }
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
        Ok((removed, reclaimed))
    }

    /// Bytes in a container's writable layer.
    pub fn written(&self, container: &Container) -> u64 {
        size_of(&self.paths.container(&container.id).join("upper"))
    }

    /// Ids of networks that a container, running or not, is or is to be on.
    pub fn networks_in_use(&self) -> Result<BTreeSet<String>> {
        use crate::spec::NetworkMode;
        let mut wanted = BTreeSet::new();
        for container in self.list(&ListFilter::everything())? {
            wanted.extend(container.endpoints.iter().map(|e| e.network_id.clone()));
            if let NetworkMode::Networks(endpoints) = &container.spec.network {
                let named = endpoints.iter().map(|endpoint| &endpoint.network);
                wanted.extend(named.filter_map(|name| Some(self.networks.get(name).ok()?.id)));
            }
        }
        Ok(wanted)
    }

    /// Removes networks that no container, running or not, is to be on; their names.
    pub fn prune_networks(&self, filter: &PruneFilter) -> Result<Vec<String>> {
        let used = self.networks_in_use()?;
        let mut removed = Vec::new();
        for network in self.networks.list()? {
            let kept = network.name == "bridge" || used.contains(&network.id);
            if !kept && filter.fits(&network.labels, Some(network.created)) {
                self.remove_network(&network.id)?;
                removed.push(network.name);
            }
        }
        Ok(removed)
    }

    /// Removes anonymous volumes that no container has, with `all` the named ones too; their names,
    /// and the bytes in them.
    pub fn prune_volumes(&self, all: bool, filter: &PruneFilter) -> Result<(Vec<String>, u64)> {
        let used = self.volume_users()?;
        let mut removed = Vec::new();
        let mut reclaimed = 0;
        for volume in self.volumes().list()? {
            if (all || volume.anonymous)
                && !used.contains_key(volume.name.as_str())
                && filter.fits(&volume.labels, Some(volume.created))
            {
                reclaimed += self.volume_size(&volume);
                self.remove_volume(volume.name.as_str())?;
                removed.push(volume.name.to_string());
            }
        }
        Ok((removed, reclaimed))
    }

    /// Bytes in a volume of our own; what others hold for it counts nothing.
    pub fn volume_size(&self, volume: &Volume) -> u64 {
        match volume.backing {
            Backing::Directory => size_of(&self.volumes().data(&volume.name)),
            Backing::Bind { .. } | Backing::Tmpfs { .. } | Backing::Mounted(_) => 0,
        }
    }

    /// Removes images that no container uses: those without a name, or with `all` every one.
    pub fn prune_images(&self, all: bool, filter: &PruneFilter) -> Result<(Vec<Removed>, u64)> {
        let keep = |image: &ImageSummary| {
            let created = image.created.as_deref().and_then(|text| text.parse().ok());
            !filter.fits(&image.labels, created)
        };
        let (removed, collected) = self.images.prune(all, &self.image_roots()?, &keep)?;
        self.tell_removed(&removed);
        Ok((removed, collected.bytes))
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
        // The steps of a build are on networks, too.
        if !self.list(&ListFilter::everything())?.is_empty() || self.images.is_busy()? {
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
        let filter = &options.filter;
        let (containers, _) = self.prune_containers(filter)?;
        let networks = self.prune_networks(filter)?;
        let volumes = if options.volumes {
            self.prune_volumes(false, filter)?.0
        } else {
            Vec::new()
        };
        // What is remembered of steps has no labels to be chosen by.
        let mut builds_go_on = false;
        if options.all_images && filter.labels.is_empty() && filter.without.is_empty() {
            let emptied = self.images.empty_cache(filter.until.map(Into::into))?;
            builds_go_on = emptied == Emptied::ButForWhatIsKept;
        }
        let (images, _) = self.prune_images(options.all_images, filter)?;
        self.paths.trash().empty()?;
        self.leave_the_kernel()?;
        let leftovers = self.networks.sweep()?;
        Ok(Pruned {
            leftovers,
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
            builds_go_on,
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
            let size = self.written(container);
            all.size += size;
            if container.state.status.is_up() {
                all.active += 1;
            } else {
                all.reclaimable += size;
            }
        }
        let roots = self.image_roots()?;
        let mut images = DiskUsage::none("Images");
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
        let mut volumes = DiskUsage::none("Local Volumes");
        for volume in self.volumes().list()? {
            let size = self.volume_size(&volume);
            volumes.total += 1;
            volumes.size += size;
            if users.contains_key(volume.name.as_str()) {
                volumes.active += 1;
            } else {
                volumes.reclaimable += size;
            }
        }
        Ok(vec![images, all, volumes, self.build_cache_usage()?])
    }
}

/// Bytes of the files below a path, as Docker counts them: what is in them, of several names for one file once, and
/// nothing for directories. What vanishes meanwhile counts nothing. Links are not followed.
pub(super) fn size_of(path: &Path) -> u64 {
    sum(path, &mut BTreeSet::new())
}

/// `seen` are the files with more than one name, by device and inode.
fn sum(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| sum(&entry.path(), seen)).sum();
    }
    let again = metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino()));
    if again { 0 } else { metadata.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_contents() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        assert_eq!(size_of(dir.path()), 0);
        fs::create_dir(path("sub")).expect("a directory");
        fs::write(path("sub/file"), "hello\n").expect("a file");
        fs::hard_link(path("sub/file"), path("again")).expect("a hard link");
        std::os::unix::fs::symlink("ab", path("link")).expect("a symbolic link");
        let sparse = fs::File::create(path("sparse")).expect("a file");
        sparse.set_len(10_000).expect("a hole");
        assert_eq!(size_of(dir.path()), 6 + 2 + 10_000);
    }
}

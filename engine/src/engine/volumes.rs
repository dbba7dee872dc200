//! Volumes: what needs to know who uses them, and their archives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use crate::container::MountType;
use crate::container::archive::ArchiveError;
use crate::container::events::Action;
use crate::layer::{ExtractOptions, LayerError, TarOptions, extract, write_tar};
use crate::volume::{Backing, Volume, VolumeError, VolumeSpec};

use super::{Engine, EngineError, Result};

/// Content for a volume that may have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Is kept: the archive is refused.
    Keep,
    /// Goes, as a whole, when the archive has been read.
    Replace,
}

impl Engine {
    /// Makes a volume; one that is there already and fits is returned as it is.
    pub fn create_volume(&self, spec: &VolumeSpec) -> Result<Volume> {
        let volume = self.volumes().create(spec)?;
        self.tell_volume(volume.name.as_str(), Action::Create);
        Ok(volume)
    }

    /// Removes a volume that no container has.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        if let Some(users) = self.volume_users()?.remove(name) {
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                users,
            }
            .into());
        }
        self.volumes().remove(name)?;
        self.tell_volume(name, Action::Remove);
        self.sweep_later();
        Ok(())
    }

    /// Which containers have which volumes, running or not.
    pub fn volume_users(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let store = self.containers.store();
        for id in store.ids()? {
            let Some(record) = store.record(&id)? else {
                continue;
            };
            for mount in &record.mounts {
                if let MountType::Volume { name, .. } = &mount.kind {
                    users
                        .entry(name.clone())
                        .or_default()
                        .push(record.name.to_string());
                }
            }
        }
        Ok(users)
    }

    /// Names of the volumes that some container has.
    pub fn volumes_in_use(&self) -> Result<BTreeSet<String>> {
        Ok(self.volume_users()?.into_keys().collect())
    }

    /// Writes a volume's content as a tar archive: owners by number, modes, times, hard links, devices,
    /// `user.*` attributes and capabilities. Gives the containers that run with it: what they write meanwhile may be in
    /// the archive or not.
    ///
    /// # Errors
    /// A file that becomes shorter while it is read; a volume that only its containers mount.
    pub fn export_volume(&self, name: &str, out: &mut dyn Write) -> Result<Vec<String>> {
        let volume = self.volumes().get(name)?;
        let Some(source) = volume.source(self.volumes()) else {
            return Err(only_mounted(&volume));
        };
        let plain = TarOptions {
            plain: true,
            ..TarOptions::default()
        };
        write_tar(&source, out, &plain).map_err(failed(name))?;
        self.running_users(name)
    }

    /// Fills a volume from a tar archive, compressed or not; one that does not exist is made. The content changes as a whole:
    /// an archive that is damaged leaves everything as it was.
    ///
    /// # Errors
    /// A container runs with the volume; it has content that is to be kept; it is not a directory of this engine.
    pub fn import_volume(
        &self,
        name: &str,
        archive: impl Read,
        present: Present,
    ) -> Result<Volume> {
        let found = match self.volumes().get(name) {
            Err(VolumeError::NotFound(_)) => None,
            found => Some(found?),
        };
        if let Some(volume) = found {
            return self.fill_volume(volume, archive, present);
        }
        let made = self.create_volume(&VolumeSpec {
            name: Some(name.to_owned()),
            ..VolumeSpec::default()
        })?;
        let filled = self.fill_volume(made, archive, present);
        // A container, or another import, may have taken it by now.
        let is_ours = |volume| self.volumes().is_fresh(&volume);
        if filled.is_err() && self.volumes().get(name).is_ok_and(is_ours) {
            // Best effort: the first error is the one to tell.
            let _ = self.remove_volume(name);
        }
        filled
    }

    fn fill_volume(&self, volume: Volume, archive: impl Read, present: Present) -> Result<Volume> {
        let name = volume.name.as_str();
        match &volume.backing {
            Backing::Directory => {}
            Backing::Bind { device, .. } => {
                return Err(VolumeError::Unsupported {
                    name: name.to_owned(),
                    reason: format!(
                        "its content is `{}`: unpack the archive there",
                        device.display()
                    ),
                }
                .into());
            }
            Backing::Tmpfs { .. } | Backing::Mounted(_) => return Err(only_mounted(&volume)),
        }
        let running = self.running_users(name)?;
        if !running.is_empty() {
            return Err(VolumeError::InUse {
                name: name.to_owned(),
                users: running,
            }
            .into());
        }
        if present == Present::Keep && !self.volumes().is_fresh(&volume) {
            return Err(VolumeError::NotEmpty(name.to_owned()).into());
        }
        self.volumes().replace(&volume, |copy| {
            let options = ExtractOptions {
                whole: true,
                ..ExtractOptions::default()
            };
            extract(archive, copy, &options)
                .map(drop)
                .map_err(failed(name))
        })?;
        self.sweep_later();
        Ok(volume)
    }

    /// The containers that run with a volume.
    fn running_users(&self, name: &str) -> Result<Vec<String>> {
        let mut users = self.volume_users()?.remove(name).unwrap_or_default();
        users.retain(|user| {
            self.inspect(user)
                .is_ok_and(|found| found.state.pid.is_some())
        });
        Ok(users)
    }
}

fn failed(name: &str) -> impl FnOnce(LayerError) -> EngineError {
    let name = name.to_owned();
    |source| ArchiveError::Volume { name, source }.into()
}

fn only_mounted(volume: &Volume) -> EngineError {
    VolumeError::Unsupported {
        name: volume.name.to_string(),
        reason: "only its containers mount it: use `container cp` with one of them".to_owned(),
    }
    .into()
}

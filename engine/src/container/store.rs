//! The records of all containers, and finding one by name or id.

use std::fs;
use std::io;

use crate::state::{
    ContainerId, Durability, Lock, Name, Paths, StateError, failed, read_boot_record, read_record,
    write_record,
};
use crate::volume::VolumeStore;

use super::ContainerError;
use super::record::{Files, Live, Outcome, Record, VERSION};

/// All containers of one root.
#[derive(Clone, Debug)]
pub struct ContainerStore {
    paths: Paths,
    volumes: VolumeStore,
}

impl ContainerStore {
    /// Of these paths; does nothing yet.
    pub fn open(paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
            volumes: VolumeStore::open(paths),
        }
    }

    /// Where everything is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The volumes beside them.
    pub fn volumes(&self) -> &VolumeStore {
        &self.volumes
    }

    /// Where one container's records are.
    pub fn files(&self, id: &ContainerId) -> Files {
        Files::new(&self.paths, id)
    }

    /// Ids of all directories, whole containers or not.
    pub fn ids(&self) -> Result<Vec<ContainerId>, StateError> {
        let dir = self.paths.containers();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &dir)(error)),
        };
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// The container of this name, id, or beginning of an id that no other has.
    pub fn find(&self, reference: &str) -> Result<ContainerId, ContainerError> {
        let missing = || ContainerError::NotFound(reference.to_owned());
        if let Ok(name) = reference.parse::<Name>()
            && let Some(id) = self.paths.names().owner(&name)?
            // A name left behind by a creation that died belongs to nobody.
            && self.record(&id)?.is_some_and(|record| record.name == name)
        {
            return Ok(id);
        }
        if let Ok(id) = reference.parse::<ContainerId>() {
            return self
                .record(&id)?
                .map(|record| record.id)
                .ok_or_else(missing);
        }
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if reference.is_empty() || !reference.bytes().all(hex) {
            return Err(missing());
        }
        let mut found = None;
        for id in self.ids()? {
            if id.as_str().starts_with(reference) && self.record(&id)?.is_some() {
                if found.is_some() {
                    return Err(ContainerError::Ambiguous(reference.to_owned()));
                }
                found = Some(id);
            }
        }
        found.ok_or_else(missing)
    }

    /// The record of a container; `None` when it is not one, or not any more.
    pub fn record(&self, id: &ContainerId) -> Result<Option<Record>, StateError> {
        read_record(&self.files(id).record(), VERSION)
    }

    /// The record of a container that must be there.
    pub fn read(&self, id: &ContainerId) -> Result<Record, ContainerError> {
        self.record(id)?
            .ok_or_else(|| ContainerError::NotFound(id.short().to_owned()))
    }

    /// Writes a record.
    pub fn write(&self, record: &Record, durability: Durability) -> Result<(), StateError> {
        write_record(
            &self.files(&record.id).record(),
            VERSION,
            record,
            durability,
        )
    }

    /// How it last ended.
    pub fn outcome(&self, id: &ContainerId) -> Result<Outcome, StateError> {
        Ok(read_record(&self.files(id).outcome(), VERSION)?.unwrap_or_default())
    }

    /// What its supervisor last said.
    pub fn live(&self, id: &ContainerId) -> Result<Option<Live>, StateError> {
        read_boot_record(&self.files(id).live(), VERSION)
    }

    /// Whether an owner of a name still has a claim: a container, or a creation under way.
    pub fn holds_name(&self, id: &ContainerId) -> bool {
        let files = self.files(id);
        files.record().exists() || Lock::is_held(&files.lock()).unwrap_or(true)
    }
}

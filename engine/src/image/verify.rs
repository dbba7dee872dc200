//! Whether everything in the store is what its name says.
//!
//! Blobs are hashed again. A layer's files are written as an archive again; where that is not the archive that the
//! layer came as (other programs write archives in their own way), that one is unpacked once more beside it
//! and the two trees are compared. Records must lead to something. Nothing is changed here but by
//! [`ImageStore::discard`].

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::store::{ImageId, ImageStore};
use super::{ImageError, Reference, is_host_image};
use crate::content::Digest;
use crate::error::with_causes;
use crate::layer::{ChainId, Decoder, Layer, Limits, TarOptions, chain_id, fill_implied, unpack};

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A blob.
    Blob(Digest),
    /// A layer's files or record.
    Layer(ChainId),
    /// An image's record.
    Image(ImageId),
    /// A name that leads nowhere.
    Name(Reference),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Layer(chain) => write!(f, "layer {chain}"),
            Self::Image(id) => write!(f, "image {id}"),
            Self::Name(name) => write!(f, "name {}", name.familiar()),
        }
    }
}

/// One thing that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub damage: Damage,
    /// How it shows.
    pub reason: String,
    /// Images that need it.
    pub images: Vec<ImageId>,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Blobs hashed.
    pub blobs: usize,
    /// Layers compared.
    pub layers: usize,
    /// Images followed.
    pub images: usize,
    /// What is damaged.
    pub problems: Vec<Problem>,
}

impl ImageStore {
    /// Looks at everything there is.
    pub fn verify(&self) -> Result<Verified, ImageError> {
        let mut verified = Verified::default();
        let mut found: Vec<(Damage, String)> = Vec::new();
        for digest in self.content.list()? {
            verified.blobs += 1;
            if let Err(reason) = self.verify_blob(&digest) {
                found.push((Damage::Blob(digest), reason));
            }
        }
        for chain in self.layers.list()? {
            verified.layers += 1;
            if let Err(reason) = self.verify_layer(&chain) {
                found.push((Damage::Layer(chain), reason));
            }
        }
        let ids = self.ids()?;
        for id in &ids {
            verified.images += 1;
            found.extend(self.verify_image(id));
        }
        for (name, id) in self.refs.list()? {
            if !ids.contains(&id) && !is_host_image(&name.familiar()) {
                let reason = format!("it means {id}, which is not here");
                found.push((Damage::Name(name), reason));
            }
        }
        let mut told = BTreeSet::new();
        for (damage, reason) in found {
            if told.insert(damage.clone()) {
                verified.problems.push(Problem {
                    images: ids
                        .iter()
                        .filter(|id| self.needs(id, &damage))
                        .copied()
                        .collect(),
                    damage,
                    reason,
                });
            }
        }
        Ok(verified)
    }

    /// Takes away what is damaged, so that it can be brought again.
    pub fn discard(&self, damage: &Damage) -> Result<(), ImageError> {
        match damage {
            Damage::Blob(digest) => {
                self.content.remove(digest)?;
                // Only a layer that is not there is brought with its blob.
                for chain in self.layers.list()? {
                    if self
                        .layers
                        .get(&chain)
                        .is_ok_and(|layer| came_as(&layer, digest))
                    {
                        self.layers.remove(&chain)?;
                    }
                }
            }
            Damage::Layer(chain) => {
                self.layers.remove(chain)?;
            }
            Damage::Image(id) => {
                let path = self.record_path(id);
                std::fs::remove_file(&path).map_err(ImageError::io("remove", path))?;
            }
            Damage::Name(name) => {
                self.refs.remove(name)?;
            }
        }
        Ok(())
    }

    fn verify_blob(&self, digest: &Digest) -> Result<(), String> {
        let (mut file, _) = self
            .content
            .open_blob(digest)
            .map_err(|error| error.to_string())?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(|error| error.to_string())? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        let actual = Digest::from_hasher(hasher);
        match actual == *digest {
            true => Ok(()),
            false => Err(format!("its bytes have the digest {actual}")),
        }
    }

    fn verify_layer(&self, chain: &ChainId) -> Result<(), String> {
        let layer = self.layers.get(chain).map_err(|error| error.to_string())?;
        if chain_id(layer.parent.as_ref(), &layer.diff_id) != *chain {
            return Err("its record is another layer's".to_owned());
        }
        let mut hasher = Hasher(Sha256::new());
        layer
            .write_tar(&mut hasher)
            .map_err(|error| with_causes(&error))?;
        let actual = Digest::from_hasher(hasher.0);
        if actual == layer.diff_id {
            return Ok(());
        }
        let Some(blob) = &layer.blob else {
            return Err(format!("its files have the digest {actual}"));
        };
        if self.verify_blob(&blob.digest).is_err() {
            return Err("its files cannot be compared: the archive it came as is damaged".into());
        }
        let again = self
            .unpacked_again(&layer, &blob.digest)
            .map_err(|error| with_causes(&error))?;
        match again == actual {
            true => Ok(()),
            false => Err("its files are not those of the archive it came as".to_owned()),
        }
    }

    /// The digest of a layer's files as they come out of its blob.
    fn unpacked_again(&self, layer: &Layer, blob: &Digest) -> Result<Digest, ImageError> {
        let draft = self.layers.draft()?;
        let (file, _) = self.content.open_blob(blob)?;
        let unpacked = unpack(Decoder::new(file)?, &draft.dir(), Limits::default())?;
        let mut lowers: Vec<PathBuf> = Vec::new();
        if let Some(parent) = &layer.parent {
            for lower in self.layers.chain(parent)?.iter().rev() {
                lowers.extend(lower.dirs().cloned());
            }
        }
        fill_implied(&unpacked, &draft.dir(), &lowers)?;
        Ok(crate::layer::digest_tree(&draft.dir(), &TarOptions::default())?.0)
    }

    /// What an image's record leads to and is not there.
    fn verify_image(&self, id: &ImageId) -> Vec<(Damage, String)> {
        let record = match self.record(id) {
            Ok(record) => record,
            Err(error) => return vec![(Damage::Image(*id), with_causes(&error))],
        };
        let mut found = Vec::new();
        if !self.content.contains(id) {
            found.push((
                Damage::Blob(*id),
                "an image's configuration is missing".into(),
            ));
        }
        for chain in &record.layers {
            if !self.layers.contains(chain) {
                found.push((Damage::Layer(*chain), "it is missing".to_owned()));
            }
        }
        if let Some(manifest) = &record.manifest
            && !self.content.contains(&manifest.digest)
        {
            let reason = "an image's manifest is missing".to_owned();
            found.push((Damage::Blob(manifest.digest), reason));
        }
        found
    }

    fn needs(&self, id: &ImageId, damage: &Damage) -> bool {
        let record = self.record(id).ok();
        match damage {
            Damage::Image(damaged) => damaged == id,
            Damage::Name(_) => false,
            Damage::Layer(chain) => record.is_some_and(|record| record.layers.contains(chain)),
            Damage::Blob(blob) => {
                id == blob
                    || record.is_some_and(|record| {
                        record
                            .manifest
                            .is_some_and(|manifest| manifest.digest == *blob)
                            || record
                                .layers
                                .iter()
                                .filter_map(|chain| self.layers.get(chain).ok())
                                .any(|layer| came_as(&layer, blob))
                    })
            }
        }
    }
}

fn came_as(layer: &Layer, blob: &Digest) -> bool {
    layer.blob.as_ref().is_some_and(|own| own.digest == *blob)
}

struct Hasher(Sha256);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! The image store: what a name means, and adding, naming and listing images.
//!
//! An image is a configuration blob (its digest is the image's id), a record of its layers in
//! `<root>/images/<hex>.json`, and names in `refs`. Removing is in `collect`, archives in `load`
//! and `save`, the built-in image in `host`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::config::{CONFIG_LIMIT, ImageConfig};
use super::host::{self, HostBase};
use super::lease::{self, Lease, StoreLock};
use super::refs::{Refs, write_record};
use super::{Descriptor, ImageError, Reference, Variant, is_host_image};
use crate::content::{ContentStore, Digest};
use crate::layer::{ChainId, Layer, LayerStore};

/// Names an image: the digest of its configuration.
pub type ImageId = Digest;

/// The images of one engine root. Cheap to open and to clone.
#[derive(Clone, Debug)]
pub struct ImageStore {
    pub(super) root: PathBuf,
    pub(super) content: ContentStore,
    pub(super) layers: LayerStore,
    pub(super) refs: Refs,
    /// The `host` image's base, and when it was last looked at.
    pub(super) host: Arc<Mutex<Option<(Instant, HostBase)>>>,
}

/// What lies below an image's own layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// This machine's own file system, masked.
    Host(HostBase),
}

/// An image that is here, ready to run.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its own layers, lowest first.
    pub layers: Vec<Layer>,
    /// What lies below them.
    pub base: Base,
    /// The manifest it came with, when it came from a registry or an archive with one.
    pub manifest: Option<Descriptor>,
}

impl Image {
    /// The directories of its root, topmost first, as [`crate::mount::Overlay::lower`] wants them.
    pub fn lower(&self) -> Vec<PathBuf> {
        let mut lower: Vec<PathBuf> = self
            .layers
            .iter()
            .rev()
            .flat_map(|layer| layer.dirs().cloned())
            .collect();
        lower.extend(self.base.lower());
        lower
    }

    /// The chain id of its topmost layer.
    pub fn chain(&self) -> Option<ChainId> {
        self.layers.last().map(|layer| layer.chain_id)
    }

    /// Bytes of its own layers' files.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Base {
    /// The directories below an image's own layers, topmost first.
    pub fn lower(&self) -> Vec<PathBuf> {
        match self {
            Self::Scratch => Vec::new(),
            Self::Host(host) => host.lower(),
        }
    }
}

/// One image of a list.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// Its id.
    pub id: ImageId,
    /// `repository:tag` names.
    pub tags: Vec<Reference>,
    /// `repository@digest` names.
    pub digests: Vec<Reference>,
    /// RFC 3339, from its configuration.
    pub created: Option<String>,
    /// Bytes of its own layers' files.
    pub size: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its name's images for each platform; itself alone when there are no others.
    pub variants: Vec<Variant>,
    /// It is the built-in image.
    pub built_in: bool,
    /// Its configuration cannot be read: [`ImageStore::verify`] tells more.
    pub damaged: bool,
}

/// `<root>/images/<hex>.json`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub version: u32,
    /// Chain ids, lowest first.
    pub layers: Vec<ChainId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Descriptor>,
}

impl ImageStore {
    /// Opens the store below the engine's root, making its directories.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        let store = Self {
            root: root.to_owned(),
            content: ContentStore::open(root)?,
            layers: LayerStore::open(root)?,
            refs: Refs::open(root)?,
            host: Arc::default(),
        };
        let images = store.images();
        fs::create_dir_all(&images).map_err(ImageError::io("create", images))?;
        Ok(store)
    }

    /// The blobs.
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// The layers.
    pub fn layers(&self) -> &LayerStore {
        &self.layers
    }

    /// The engine's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(super) fn record_path(&self, id: &ImageId) -> PathBuf {
        self.images().join(format!("{}.json", id.hex()))
    }

    pub(super) fn lock(&self, operation: FlockOperation) -> Result<StoreLock, ImageError> {
        lease::lock(&self.root.join("store.lock"), operation)
    }

    /// Protects content from collection until an image names it.
    pub fn lease(&self) -> Result<Lease, ImageError> {
        Lease::take(&self.root.join("leases"), &self.root.join("store.lock"))
    }

    /// Whether a pull or a build is under way.
    pub fn is_busy(&self) -> Result<bool, ImageError> {
        let _exclusive = self.lock(FlockOperation::LockExclusive)?;
        Ok(!lease::held(&self.root.join("leases"))?.is_empty())
    }

    /// What a name means here: `host`, a reference with tag or digest, an id, or the
    /// beginning of one.
    pub fn resolve(&self, name: &str) -> Result<Image, ImageError> {
        if is_host_image(name) {
            return self.host();
        }
        self.get(&self.resolve_id(name)?)
    }

    /// The id that a name means.
    pub fn resolve_id(&self, name: &str) -> Result<ImageId, ImageError> {
        if is_host_image(name) {
            return host::image_id();
        }
        if let Ok(id) = name.parse::<Digest>().or_else(|_| Digest::from_hex(name)) {
            return if self.exists(&id) {
                Ok(id)
            } else {
                Err(ImageError::NotFound(name.to_owned()))
            };
        }
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        let is_short_id = (1..64).contains(&digits.len())
            && digits
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let reference = match Reference::parse(name) {
            Ok(reference) => reference,
            Err(_) if is_short_id => return self.by_prefix(digits, name),
            Err(error) => return Err(error.into()),
        };
        let named = self.refs.get(&reference)?.map(|named| named.image);
        if let Some(id) = named.filter(|id| self.exists(id)) {
            return Ok(id);
        }
        if is_short_id {
            self.by_prefix(digits, name)
        } else {
            Err(ImageError::NotFound(name.to_owned()))
        }
    }

    fn exists(&self, id: &ImageId) -> bool {
        self.record_path(id).exists() || host::image_id().is_ok_and(|host| host == *id)
    }

    fn by_prefix(&self, digits: &str, name: &str) -> Result<ImageId, ImageError> {
        let mut found = self.ids()?;
        found.extend(host::image_id());
        found.retain(|id| id.hex().starts_with(digits));
        match found.as_slice() {
            [] => Err(ImageError::NotFound(name.to_owned())),
            [one] => Ok(*one),
            many => Err(ImageError::Ambiguous {
                id: name.to_owned(),
                count: many.len(),
            }),
        }
    }

    /// The image of that id.
    pub fn get(&self, id: &ImageId) -> Result<Image, ImageError> {
        if host::image_id().is_ok_and(|host| host == *id) {
            return self.host();
        }
        let record = self.record(id)?;
        let config = ImageConfig::parse(&self.content.read(id, CONFIG_LIMIT)?)?;
        let mut layers = Vec::with_capacity(record.layers.len());
        for chain in &record.layers {
            let layer = self.layers.get(chain).map_err(|error| match error {
                crate::layer::LayerError::NotFound(layer) => {
                    ImageError::MissingLayer { image: *id, layer }
                }
                other => other.into(),
            })?;
            layers.push(layer);
        }
        let base = self.base(&config)?;
        Ok(Image {
            id: *id,
            config,
            layers,
            base,
            manifest: record.manifest,
        })
    }

    fn base(&self, config: &ImageConfig) -> Result<Base, ImageError> {
        match config.base.as_deref() {
            None => Ok(Base::Scratch),
            Some("host") => Ok(Base::Host(self.host_base()?)),
            Some(other) => Err(ImageError::HostileConfig(format!(
                "its base `{other:.40}` is not known"
            ))),
        }
    }

    pub(super) fn record(&self, id: &ImageId) -> Result<Record, ImageError> {
        let path = self.record_path(id);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| ImageError::Record { path, source })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(ImageError::NotFound(id.short()))
            }
            Err(error) => Err(ImageError::io("read", path)(error)),
        }
    }

    /// Every id, without the built-in image's.
    pub fn ids(&self) -> Result<Vec<ImageId>, ImageError> {
        let images = self.images();
        let mut ids = Vec::new();
        for entry in fs::read_dir(&images).map_err(ImageError::io("list", &images))? {
            let name = entry.map_err(ImageError::io("list", &images))?.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(".json"));
            ids.extend(hex.and_then(|hex| Digest::from_hex(hex).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// Adds an image of layers that are in the store, lowest first. For an image over the
    /// `host` image, set [`ImageConfig::base`] and give its own layers only.
    pub fn add(&self, config: &ImageConfig, layers: &[ChainId]) -> Result<Image, ImageError> {
        self.add_json(&config.to_bytes()?, layers)
    }

    /// The same for an image that gets its name later: until then the lease keeps it from those who remove images
    /// without one.
    pub fn add_leased(
        &self,
        config: &ImageConfig,
        layers: &[ChainId],
        lease: &Lease,
    ) -> Result<Image, ImageError> {
        let bytes = config.to_bytes()?;
        lease.protect(&Digest::of(&bytes))?;
        self.add_json(&bytes, layers)
    }

    /// The same with the configuration's exact bytes.
    pub fn add_json(&self, config: &[u8], layers: &[ChainId]) -> Result<Image, ImageError> {
        self.add_with_manifest(config, layers, None)
    }

    /// The same with the manifest that described it; the manifest's blob must be stored.
    pub fn add_with_manifest(
        &self,
        bytes: &[u8],
        layers: &[ChainId],
        manifest: Option<Descriptor>,
    ) -> Result<Image, ImageError> {
        let _shared = self.lock(FlockOperation::LockShared)?;
        let mut image = self.of_layers(bytes, layers)?;
        if let Ok(record) = self.record(&image.id)
            && record.layers == layers
            && (manifest.is_none() || record.manifest == manifest)
            && self.content.contains(&image.id)
        {
            return Ok(image);
        }
        // The record promises that its layers survive a power cut.
        self.layers.sync()?;
        self.content.put(bytes)?;
        // A manifest once known is kept: pushing the image again reuses it.
        image.manifest = manifest.or(image.manifest);
        write_record(
            &self.record_path(&image.id),
            &Record {
                version: 1,
                layers: layers.to_vec(),
                manifest: image.manifest.clone(),
            },
        )?;
        Ok(image)
    }

    /// The image that [`Self::add`] would make, without adding it: to be written somewhere else. Who has it keeps its
    /// layers from being collected.
    pub fn describe(&self, config: &ImageConfig, layers: &[ChainId]) -> Result<Image, ImageError> {
        let _shared = self.lock(FlockOperation::LockShared)?;
        self.of_layers(&config.to_bytes()?, layers)
    }

    fn of_layers(&self, bytes: &[u8], layers: &[ChainId]) -> Result<Image, ImageError> {
        let config = ImageConfig::parse(bytes)?;
        let named = &config.rootfs.diff_ids;
        if named.len() != layers.len() {
            return Err(ImageError::LayerCount {
                named: named.len(),
                given: layers.len(),
            });
        }
        let mut found = Vec::with_capacity(layers.len());
        for (chain, diff_id) in layers.iter().zip(named) {
            let layer = self.layers.get(chain)?;
            if layer.diff_id != *diff_id {
                return Err(crate::layer::LayerError::Mismatch {
                    expected: *diff_id,
                    actual: layer.diff_id,
                }
                .into());
            }
            found.push(layer);
        }
        let base = self.base(&config)?;
        let id = Digest::of(bytes);
        Ok(Image {
            manifest: self.record(&id).ok().and_then(|record| record.manifest),
            id,
            config,
            layers: found,
            base,
        })
    }

    /// Makes a name mean an image.
    pub fn tag(&self, id: &ImageId, reference: &Reference) -> Result<(), ImageError> {
        let _shared = self.lock(FlockOperation::LockShared)?;
        if host::image_id()? == *id {
            return Err(ImageError::HostBound(
                "host".to_owned(),
                "given another name",
            ));
        }
        self.record(id)?;
        self.refs.set(reference, id)
    }

    /// When a name was last given, by whatever brought the image; nothing if it is none.
    pub fn named_at(&self, reference: &Reference) -> Option<SystemTime> {
        self.refs.given(reference)
    }

    /// Takes a name away; gives whether it was one.
    pub fn untag(&self, reference: &Reference) -> Result<bool, ImageError> {
        self.refs.remove(reference)
    }

    /// The names of an image: tags, then digests.
    pub fn names(&self, id: &ImageId) -> Result<(Vec<Reference>, Vec<Reference>), ImageError> {
        let all = self
            .refs
            .list()?
            .into_iter()
            .filter(|(_, image)| image == id)
            .map(|(name, _)| name);
        Ok(all.partition(|name| name.digest().is_none()))
    }
}

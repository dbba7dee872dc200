//! The layer directory: `<root>/layers/<chain id>/{diff,layer.json}`.
//!
//! A layer appears under its name complete or not at all: it is made in `.tmp-*` and
//! renamed. What is half made when a process dies is removed by [`LayerStore::clear_unfinished`].

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{ChainId, DiffId, LayerError, chain_id};
use crate::content::Digest;

/// The file of a layer's checkpoints, beside its files.
const CHECKPOINTS: &str = "checkpoints";

/// The layer directory of one engine root. Cheap to clone and to open.
#[derive(Clone, Debug)]
pub struct LayerStore {
    directory: PathBuf,
}

/// One layer, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Names it together with everything below it.
    pub chain_id: ChainId,
    /// Digest of its own uncompressed archive.
    pub diff_id: DiffId,
    /// Chain id of what lies below.
    pub parent: Option<ChainId>,
    /// Its own files, in overlayfs' form (whiteouts are 0/0 devices). Not all of them where it is made
    /// over another layer: see [`Layer::dirs`].
    pub dir: PathBuf,
    /// The layer that it changes and that shows through.
    pub over: Option<Over>,
    /// Bytes of its regular files.
    pub size: u64,
    /// The archive it came from, if the store keeps it.
    pub blob: Option<LayerBlob>,
}

/// A layer that another one is made over, so that what did not change is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its chain id; it has all of its own files.
    pub chain_id: ChainId,
    /// Those files.
    pub dir: PathBuf,
}

impl Layer {
    /// The directories that make up the layer, topmost first.
    pub fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.dir).chain(self.over.iter().map(|over| &over.dir))
    }

    /// Writes its archive, whose digest is its diff id. Gives the bytes of its regular files.
    pub fn write_tar<W: Write>(&self, out: W) -> Result<u64, LayerError> {
        let dirs: Vec<&PathBuf> = self.dirs().collect();
        super::write::write_merged(&dirs, out, &super::TarOptions::default())
    }
}

/// The archive of a layer, as a registry or an image archive delivered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// Of the possibly compressed bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// How they are compressed, by OCI media type.
    pub media_type: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) diff_id: DiffId,
    pub(super) parent: Option<ChainId>,
    pub(super) size: u64,
    pub(super) blob: Option<LayerBlob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<ChainId>,
}

impl Record {
    const VERSION: u32 = 1;

    /// Of a layer whose archive nobody has yet.
    pub(super) fn new(diff_id: DiffId, parent: Option<&ChainId>, size: u64) -> Self {
        Self {
            version: Self::VERSION,
            diff_id,
            parent: parent.copied(),
            size,
            blob: None,
            over: None,
        }
    }
}

/// A directory that becomes a layer, or vanishes when dropped.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    /// Held while the draft lives, so that clean-up leaves it alone.
    _lock: File,
}

impl Draft {
    /// Where the files go.
    pub fn dir(&self) -> PathBuf {
        self.path.join("diff")
    }

    /// Where its checkpoints go.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Renamed away after a commit; then this finds nothing.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl LayerStore {
    /// Opens the store below the engine's root, making its directory.
    pub fn open(root: &Path) -> Result<Self, LayerError> {
        let directory = root.join("layers");
        match fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
        {
            Ok(()) => Ok(Self { directory }),
            Err(error) => Err(LayerError::io("create", directory)(error)),
        }
    }

    fn path(&self, chain: &ChainId) -> PathBuf {
        self.directory.join(chain.hex())
    }

    /// Where the checkpoints of a layer are, if it has some.
    pub(super) fn checkpoints(&self, chain: &ChainId) -> PathBuf {
        self.path(chain).join(CHECKPOINTS)
    }

    /// The layer of that chain id.
    pub fn get(&self, chain: &ChainId) -> Result<Layer, LayerError> {
        let path = self.path(chain);
        let file = path.join("layer.json");
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LayerError::NotFound(*chain));
            }
            Err(error) => return Err(LayerError::io("read", file)(error)),
        };
        let record: Record = serde_json::from_slice(&text)
            .map_err(|source| LayerError::Record { path: file, source })?;
        let over = match record.over {
            Some(chain_id) if !self.contains(&chain_id) => {
                return Err(LayerError::NotFound(chain_id));
            }
            over => over.map(|chain_id| Over {
                dir: self.path(&chain_id).join("diff"),
                chain_id,
            }),
        };
        Ok(Layer {
            chain_id: *chain,
            diff_id: record.diff_id,
            parent: record.parent,
            dir: path.join("diff"),
            over,
            size: record.size,
            blob: record.blob,
        })
    }

    /// Whether the layer is there, with the one it is made over.
    pub fn contains(&self, chain: &ChainId) -> bool {
        self.get(chain).is_ok()
    }

    /// The layer and everything below it, lowest first.
    pub fn chain(&self, top: &ChainId) -> Result<Vec<Layer>, LayerError> {
        let mut layers = Vec::new();
        let mut next = Some(*top);
        while let Some(chain) = next {
            let layer = self.get(&chain)?;
            next = layer.parent;
            layers.push(layer);
        }
        layers.reverse();
        Ok(layers)
    }

    /// A fresh directory for a layer to come.
    pub fn draft(&self) -> Result<Draft, LayerError> {
        loop {
            let path = self
                .directory
                .join(format!(".tmp-{:016x}", crate::content::random()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(LayerError::io("create", path)(error)),
            }
            let lock = File::open(&path).map_err(LayerError::io("open", &path))?;
            rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .map_err(LayerError::errno("lock", &path))?;
            let draft = Draft { path, _lock: lock };
            fs::create_dir(draft.dir()).map_err(LayerError::io("create", draft.dir()))?;
            fs::set_permissions(draft.dir(), fs::Permissions::from_mode(0o755))
                .map_err(LayerError::io("chmod", draft.dir()))?;
            return Ok(draft);
        }
    }

    /// Makes a draft a layer. One that exists already stays as it is, and the draft goes.
    ///
    /// The layer's files are not synced one by one: callers that promise durability call
    /// [`LayerStore::sync`] once before they publish what refers to their layers.
    pub fn publish(
        &self,
        draft: Draft,
        diff_id: DiffId,
        parent: Option<&ChainId>,
        size: u64,
        blob: Option<LayerBlob>,
    ) -> Result<Layer, LayerError> {
        let record = Record {
            blob,
            ..Record::new(diff_id, parent, size)
        };
        self.finish(draft, record)
    }

    /// Gives a draft its record and its name.
    pub(super) fn finish(&self, draft: Draft, record: Record) -> Result<Layer, LayerError> {
        let chain = chain_id(record.parent.as_ref(), &record.diff_id);
        let path = self.path(&chain);
        if self.contains(&chain) {
            return self.get(&chain);
        }
        let file = draft.path.join("layer.json");
        let write = || {
            let mut out = File::create(&file)?;
            out.write_all(
                serde_json::to_string(&record)
                    .map_err(std::io::Error::other)?
                    .as_bytes(),
            )?;
            // The directory above is 0700 while it is a draft: others must reach a layer's
            // files once it is mounted, and only through mounts.
            fs::set_permissions(&draft.path, fs::Permissions::from_mode(0o711))
        };
        write().map_err(LayerError::io("write", &file))?;
        let put = || fs::rename(&draft.path, &path);
        match put().or_else(|_| {
            // One that cannot be read lies there: it is no loss.
            if !self.contains(&chain) {
                self.remove(&chain).map_err(std::io::Error::other)?;
            }
            put()
        }) {
            Ok(()) => {}
            // Another process was first with the same content.
            Err(_) if self.contains(&chain) => {}
            Err(error) => return Err(LayerError::io("rename", path)(error)),
        }
        self.get(&chain)
    }

    /// Adds what is known of a layer's archive to a layer made without one.
    pub fn remember_blob(&self, chain: &ChainId, blob: LayerBlob) -> Result<(), LayerError> {
        let layer = self.get(chain)?;
        let record = Record {
            blob: Some(blob),
            over: layer.over.map(|over| over.chain_id),
            ..Record::new(layer.diff_id, layer.parent.as_ref(), layer.size)
        };
        let directory = self.path(chain);
        let temporary = directory.join(format!("layer.json.{:016x}", crate::content::random()));
        let text = serde_json::to_vec(&record).map_err(|source| LayerError::Record {
            path: temporary.clone(),
            source,
        })?;
        fs::write(&temporary, text).map_err(LayerError::io("write", &temporary))?;
        fs::rename(&temporary, directory.join("layer.json"))
            .map_err(LayerError::io("rename", temporary))
    }

    /// Writes everything of the store's file system to disk.
    pub fn sync(&self) -> Result<(), LayerError> {
        let directory =
            File::open(&self.directory).map_err(LayerError::io("open", &self.directory))?;
        rustix::fs::syncfs(&directory).map_err(LayerError::errno("sync", &self.directory))
    }

    /// Every chain id there is.
    pub fn list(&self) -> Result<Vec<ChainId>, LayerError> {
        let mut chains = Vec::new();
        for entry in
            fs::read_dir(&self.directory).map_err(LayerError::io("list", &self.directory))?
        {
            let entry = entry.map_err(LayerError::io("list", &self.directory))?;
            if let Some(chain) = entry
                .file_name()
                .to_str()
                .and_then(|name| Digest::from_hex(name).ok())
            {
                chains.push(chain);
            }
        }
        chains.sort();
        Ok(chains)
    }

    /// Removes a layer; one that is not there is no error. Gives the bytes freed.
    pub fn remove(&self, chain: &ChainId) -> Result<u64, LayerError> {
        // One whose record says nothing goes as well.
        let size = self.get(chain).map_or(0, |layer| layer.size);
        // Out of sight in one step, so that nobody sees half a layer.
        let doomed = self
            .directory
            .join(format!(".tmp-{:016x}", crate::content::random()));
        match fs::rename(self.path(chain), &doomed) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(LayerError::io("rename", doomed)(error)),
        }
        fs::remove_dir_all(&doomed).map_err(LayerError::io("remove", doomed))?;
        Ok(size)
    }

    /// Removes drafts that no process holds and that are older than `age`.
    pub fn clear_unfinished(&self, age: Duration) -> Result<(), LayerError> {
        for entry in
            fs::read_dir(&self.directory).map_err(LayerError::io("list", &self.directory))?
        {
            let entry = entry.map_err(LayerError::io("list", &self.directory))?;
            if !entry.file_name().to_string_lossy().starts_with(".tmp-") {
                continue;
            }
            let path = entry.path();
            let Ok(lock) = File::open(&path) else {
                continue;
            };
            let idle = lock
                .metadata()
                .ok()
                .map(|data| data.ctime())
                .and_then(|seconds| {
                    SystemTime::now()
                        .duration_since(
                            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().ok()?),
                        )
                        .ok()
                });
            if idle.is_some_and(|idle| idle >= age)
                && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                fs::remove_dir_all(&path).map_err(LayerError::io("remove", path))?;
            }
        }
        Ok(())
    }
}

//! Blobs to an image: unpacking layers in parallel, publishing them in order.
//!
//! Layers unpack independently; only publishing needs the order, because a layer's id contains
//! its parent's and undescribed directories take their attributes from below. Nothing is
//! published whose diff id is not the one the configuration promises.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::progress::{ProgressSink, Transfer, TransferState};
use super::store::{Image, ImageStore};
use super::{Descriptor, ImageConfig, ImageError, Lease};
use crate::content::Digest;
use crate::layer::{
    ChainId, Compression, Decoder, DiffId, Draft, LayerBlob, LayerError, Limits, Unpacked,
    chain_id, fill_implied, unpack,
};

/// A layer that is unpacked but not published.
pub(crate) struct Staged {
    pub draft: Draft,
    pub unpacked: Unpacked,
    pub blob: LayerBlob,
}

impl ImageStore {
    /// Chain ids of a configuration's layers, lowest first.
    pub(crate) fn chain_ids(config: &ImageConfig) -> Vec<ChainId> {
        let mut chains: Vec<ChainId> = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            chains.push(chain_id(chains.last(), diff_id));
        }
        chains
    }

    /// Unpacks what comes out of `archive` beside the published layers and checks its diff id.
    pub(crate) fn stage(
        &self,
        archive: impl std::io::Read,
        expected: &DiffId,
    ) -> Result<(Draft, Unpacked, Compression), ImageError> {
        let draft = self.layers.draft()?;
        let decoder = Decoder::new(archive)?;
        let compression = decoder.compression();
        // A layer that no registry could take is none.
        compression.media_type()?;
        let unpacked = unpack(decoder, &draft.dir(), Limits::default())?;
        if unpacked.diff_id != *expected {
            return Err(LayerError::Mismatch {
                expected: *expected,
                actual: unpacked.diff_id,
            }
            .into());
        }
        Ok((draft, unpacked, compression))
    }

    /// Publishes an image's layers in order. `staged` holds `None` where the layer was found in
    /// the store. The lease must protect the chain ids already.
    pub(crate) fn publish_layers(
        &self,
        config: &ImageConfig,
        staged: Vec<Option<Staged>>,
    ) -> Result<Vec<ChainId>, ImageError> {
        let mut chains: Vec<ChainId> = Vec::new();
        let mut lowers: Vec<PathBuf> = Vec::new();
        for (diff_id, staged) in config.rootfs.diff_ids.iter().zip(staged) {
            let parent = chains.last().copied();
            let layer = match staged {
                None => self.layers.get(&chain_id(parent.as_ref(), diff_id))?,
                Some(Staged {
                    draft,
                    unpacked,
                    blob,
                }) => {
                    fill_implied(&unpacked, &draft.dir(), &lowers)?;
                    self.layers.publish(
                        draft,
                        *diff_id,
                        parent.as_ref(),
                        unpacked.size,
                        Some(blob),
                    )?
                }
            };
            chains.push(layer.chain_id);
            lowers.splice(0..0, layer.dirs().cloned());
        }
        Ok(chains)
    }

    /// Makes an image of a configuration and of layer blobs that are all in the store.
    pub(super) fn assemble(
        &self,
        config_bytes: &[u8],
        blobs: &[Digest],
        manifest: Option<Descriptor>,
        lease: &Lease,
        progress: &ProgressSink<'_>,
    ) -> Result<Image, ImageError> {
        let config = ImageConfig::parse(config_bytes)?;
        if config.base.is_some() {
            return Err(ImageError::HostileConfig(
                "it claims to lie over another machine's `host` image".to_owned(),
            ));
        }
        if config.rootfs.diff_ids.len() != blobs.len() {
            return Err(ImageError::LayerCount {
                named: config.rootfs.diff_ids.len(),
                given: blobs.len(),
            });
        }
        let chains = Self::chain_ids(&config);
        for digest in chains.iter().chain(blobs) {
            lease.protect(digest)?;
        }
        let work: Vec<usize> = (0..chains.len())
            .filter(|index| !self.layers.contains(&chains[*index]))
            .collect();
        let next = AtomicUsize::new(0);
        let staged: Vec<Mutex<Option<Result<Staged, ImageError>>>> =
            chains.iter().map(|_| Mutex::new(None)).collect();
        let workers = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .min(work.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(index) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = self.stage_blob(
                            &blobs[*index],
                            &config.rootfs.diff_ids[*index],
                            progress,
                        );
                        if result.is_err() {
                            next.store(work.len(), Ordering::Relaxed);
                        }
                        if let Ok(mut slot) = staged[*index].lock() {
                            *slot = Some(result);
                        }
                    }
                });
            }
        });
        let mut ready = Vec::with_capacity(chains.len());
        let mut missing = false;
        for slot in staged {
            match slot.into_inner().ok().flatten() {
                Some(Err(error)) => return Err(error),
                Some(Ok(staged)) => ready.push(Some(staged)),
                None => {
                    missing = missing || work.contains(&ready.len());
                    ready.push(None);
                }
            }
        }
        debug_assert!(
            !missing,
            "a layer is left out only after another one's error"
        );
        let published = self.publish_layers(&config, ready)?;
        self.add_with_manifest(config_bytes, &published, manifest)
    }

    /// Unpacks a blob of the store beside the published layers.
    pub(crate) fn stage_blob(
        &self,
        blob: &Digest,
        diff_id: &DiffId,
        progress: &ProgressSink<'_>,
    ) -> Result<Staged, ImageError> {
        let (file, size) = self.content.open_blob(blob)?;
        let tell = |state, current| {
            progress(Transfer {
                layer: diff_id.short(),
                state,
                current,
                total: Some(size),
            })
        };
        tell(TransferState::Downloading, 0);
        let (draft, unpacked, compression) = self.stage(file, diff_id)?;
        tell(TransferState::Done, size);
        let blob = LayerBlob {
            digest: *blob,
            size,
            media_type: compression.media_type()?.to_owned(),
        };
        Ok(Staged {
            draft,
            unpacked,
            blob,
        })
    }
}

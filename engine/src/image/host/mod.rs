//! The built-in `host` image: this machine's own programs as an image root.
//!
//! Its root is an overlay of two directories: a mask over `/` itself. The mask shows `/usr`,
//! `/bin`, `/sbin` and `/lib*` of the machine, a filtered copy of `/etc`, and everything else
//! empty (`mask` makes it, `etc` decides what of `/etc` is copied). A mask is named by its
//! content and made once a boot; using it again costs one look at what it was made from.
//!
//! Refused: machines whose `/usr` or `/etc` is a mount of its own, since an overlay does not
//! see mounts below its lower directory. What appears in `/` itself after the mask was made is
//! seen by containers until the next one starts.

mod etc;
mod mask;
mod stamp;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::config::{ImageConfig, RunConfig};
use super::store::{Base, Image, ImageId, ImageStore, ImageSummary};
use super::{ImageError, Reference, platform};
use crate::content::Digest;

/// One look at the machine's files serves everything that is done within this time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What lies below the layers of the built-in image, and of images made from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBase {
    /// The directory that hides and filters.
    pub mask: PathBuf,
    /// Changes whenever what the mask shows changes; for cache keys.
    pub key: String,
}

impl HostBase {
    /// The mask over the machine's root, topmost first.
    pub fn lower(&self) -> Vec<PathBuf> {
        vec![self.mask.clone(), PathBuf::from("/")]
    }
}

fn config() -> ImageConfig {
    ImageConfig {
        architecture: platform::architecture().to_owned(),
        os: "linux".to_owned(),
        config: RunConfig {
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ],
            cmd: Some(vec!["/bin/sh".to_owned()]),
            ..RunConfig::default()
        },
        base: Some("host".to_owned()),
        ..ImageConfig::default()
    }
}

/// The id of the built-in image, the same on every machine of an architecture: what the
/// machine's files are is not part of it.
pub(super) fn image_id() -> Result<ImageId, ImageError> {
    static ID: OnceLock<ImageId> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(*id);
    }
    let id = Digest::of(&config().to_bytes()?);
    Ok(*ID.get_or_init(|| id))
}

impl ImageStore {
    /// The built-in image.
    pub fn host(&self) -> Result<Image, ImageError> {
        Ok(Image {
            id: image_id()?,
            config: config(),
            layers: Vec::new(),
            base: Base::Host(self.host_base()?),
            manifest: None,
        })
    }

    /// The present mask, made or renewed when the machine's files changed.
    pub(super) fn host_base(&self) -> Result<HostBase, ImageError> {
        let mut seen = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, base)) = &*seen
            && when.elapsed() < LOOK_AGAIN
        {
            return Ok(base.clone());
        }
        let directory = self.root.join("host");
        let base = match stamp::current(&directory) {
            Some(base) => base,
            None => mask::make(&directory)?,
        };
        *seen = Some((Instant::now(), base.clone()));
        Ok(base)
    }

    pub(super) fn host_summary(&self) -> Result<Option<ImageSummary>, ImageError> {
        if !self.root.join("host/current").exists() {
            return Ok(None);
        }
        Ok(Some(ImageSummary {
            id: image_id()?,
            tags: vec![Reference::parse("host:latest")?],
            digests: Vec::new(),
            created: None,
            size: 0,
            labels: Default::default(),
            variants: Vec::new(),
            built_in: true,
            damaged: false,
        }))
    }
}

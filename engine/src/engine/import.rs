//! Images from archives of files: `import`.

use std::io::Read;

use crate::container::events::Action;
use crate::image::{History, Image, ImageConfig, ImageError, ImageId, Lease, Platform, Reference};
use crate::layer::{Decoder, Kin, LayerError, Limits, unpack};

use super::commit::check_changes;
use super::{Engine, Result};

/// How an archive becomes an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Name of the image.
    pub reference: Option<String>,
    /// What stands in its history.
    pub message: String,
    /// Lines of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// What its programs run on; `None` is this machine.
    pub platform: Option<Platform>,
}

impl Engine {
    /// Makes an image of one layer of an archive's files. The archive may be compressed.
    pub fn import(&self, archive: impl Read, options: &ImportOptions) -> Result<ImageId> {
        let name = match &options.reference {
            Some(text) => Some(Reference::parse(text).map_err(ImageError::from)?),
            None => None,
        };
        check_changes(&options.changes)?;
        let lease = self.images.lease()?;
        let made = self.of_files(archive, options, &lease)?;
        let id = if options.changes.is_empty() {
            made.id
        } else {
            self.changed(&made, &options.changes)?
        };
        if let Some(name) = name {
            self.images.tag(&id, &name)?;
        }
        let id_text = id.to_string();
        let name = options.reference.as_deref().unwrap_or(&id_text);
        self.tell_image(&id_text, name, Action::Import);
        Ok(id)
    }

    fn of_files(
        &self,
        archive: impl Read,
        options: &ImportOptions,
        lease: &Lease,
    ) -> Result<Image> {
        let failed = |error: LayerError| ImageError::from(error);
        let layers = self.images.layers();
        let draft = layers.draft().map_err(failed)?;
        let decoder = Decoder::new(archive).map_err(failed)?;
        unpack(decoder, &draft.dir(), Limits::default()).map_err(failed)?;
        let layer = layers
            .commit(&draft.dir(), None, &[], Kin::None, &|chain| {
                lease.claim(chain)
            })
            .map_err(failed)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let now = jiff::Timestamp::now().to_string();
        let mut config = ImageConfig {
            created: Some(now.clone()),
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            ..ImageConfig::default()
        };
        config.rootfs.diff_ids.push(layer.diff_id);
        config.history.push(History {
            created: Some(now),
            comment: options.message.clone(),
            ..History::default()
        });
        Ok(self.images.add_leased(&config, &[layer.chain_id], lease)?)
    }
}

//! Layers as the archives that registries take.

use super::{Descriptor, Image, ImageError, ImageStore, media};
use crate::layer::{Layer, LayerBlob, LayerError};

impl ImageStore {
    /// The archive of a layer: the one it came as, or a gzip one that is made now, once, and kept.
    pub(crate) fn archive_of(&self, layer: &Layer) -> Result<Descriptor, ImageError> {
        // Another step may have made it since the layer was looked up.
        let layer = self.layers.get(&layer.chain_id)?;
        if let Some(known) = self.kept_blob(&layer) {
            return Ok(known);
        }
        let blob = self.gzip(&layer)?;
        let archive = Descriptor::new(&blob.media_type, blob.digest, blob.size);
        self.layers.remember_blob(&layer.chain_id, blob)?;
        Ok(archive)
    }

    /// The image with an archive for each of its layers.
    pub(crate) fn with_archives(&self, image: Image) -> Result<Image, ImageError> {
        for layer in &image.layers {
            self.archive_of(layer)?;
        }
        self.get(&image.id)
    }

    fn gzip(&self, layer: &Layer) -> Result<LayerBlob, ImageError> {
        let ingest = self.content.ingest()?;
        let mut encoder = flate2::write::GzEncoder::new(ingest, flate2::Compression::new(6));
        layer.write_tar(&mut encoder)?;
        let ingest = encoder.finish().map_err(LayerError::Write)?;
        let size = ingest.written();
        let digest = ingest.commit(None)?;
        Ok(LayerBlob {
            digest,
            size,
            media_type: media::OCI_LAYER_GZIP.to_owned(),
        })
    }
}

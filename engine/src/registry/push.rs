//! Pushing: layers the registry lacks, the configuration, then the manifest.
//!
//! A layer goes as the bytes it came with; one made here is compressed first, once, and kept.
//! Before uploading, the registry is asked whether it has the blob, and whether it can take it
//! from another repository we know to hold it. Images over the `host` image are refused.

use futures_util::StreamExt;
use futures_util::stream;

use super::transport::Transport;
use super::upload::Target;
use super::{RegistryError, RegistryOptions};
use crate::content::Digest;
use crate::image::{
    Base, Descriptor, Image, ImageError, ImageStore, Manifest, ProgressSink, Reference, media,
};

/// What a push left at the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// Pushes what a name means to that name: an image, or all its platforms' images and an index of them. With a
/// platform among the options, that one's image only.
pub async fn push(
    store: &ImageStore,
    reference: &Reference,
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Pushed, RegistryError> {
    let name = reference.to_string();
    let images = match &options.platform {
        Some(platform) => vec![store.resolve_for(&name, platform)?],
        None => store.variants(&name)?,
    };
    if images.iter().any(|image| image.base != Base::Scratch) {
        return Err(ImageError::HostBound(reference.familiar(), "pushed").into());
    }
    let lease = store.lease()?;
    for layer in images.iter().flat_map(|image| &image.layers) {
        lease.protect(&layer.chain_id)?;
    }
    let several = images.len() > 1;
    let (mut children, mut ids) = (Vec::new(), Vec::new());
    for image in images {
        let (id, platform) = (image.id, image.config.platform());
        let (own, elsewhere) = (store.clone(), known_at(store, reference, &image)?);
        let (manifest, bytes) = tokio::task::spawn_blocking(move || {
            let image = own.with_archives(image)?;
            own.manifest_for(&image)
        })
        .await
        .map_err(|_| RegistryError::Abandoned)??;
        let upload = Upload {
            manifest: &manifest,
            bytes: &bytes,
            elsewhere: elsewhere.as_deref(),
            by_digest: several,
        };
        let pushed = upload.run(store, reference, options, progress).await?;
        if !several {
            // What is there is known by its digest from now on, and lent to other repositories. The digest goes
            // with the name: so it is that of the image that the name means first.
            if store.resolve_id(&name)? == id {
                store.tag(&id, &reference.with_digest(pushed.digest))?;
            }
            return Ok(pushed);
        }
        ids.push(id);
        let media_type = media_type(&manifest);
        children.push((
            platform,
            Descriptor::new(media_type, pushed.digest, pushed.size),
        ));
    }
    let index = crate::image::index(children);
    let bytes = serde_json::to_vec(&index).map_err(ImageError::Config)?;
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull,push", reference.repository());
    let target = Target {
        store,
        transport: &transport,
        reference,
        scope: &scope,
        elsewhere: None,
        chunk: None,
    };
    let size = bytes.len() as u64;
    let digest = target
        .manifest(&index.media_type, bytes, reference.tag())
        .await?;
    store.tag_variants(&ids, &reference.with_digest(digest))?;
    Ok(Pushed { digest, size })
}

fn media_type(manifest: &Manifest) -> &str {
    if manifest.media_type.is_empty() {
        media::OCI_MANIFEST
    } else {
        &manifest.media_type
    }
}

/// A manifest whose blobs are all in the store.
pub(super) struct Upload<'u> {
    pub(super) manifest: &'u Manifest,
    pub(super) bytes: &'u [u8],
    /// Another repository that may hold its layers.
    pub(super) elsewhere: Option<&'u str>,
    /// It gets no name: an index names it.
    pub(super) by_digest: bool,
}

impl Upload<'_> {
    /// Pushes its layers, its configuration, and then itself.
    pub(super) async fn run(
        &self,
        store: &ImageStore,
        reference: &Reference,
        options: &RegistryOptions,
        progress: &ProgressSink<'_>,
    ) -> Result<Pushed, RegistryError> {
        let transport = Transport::open(reference.host(), options).await?;
        let (manifest, elsewhere) = (self.manifest, self.elsewhere);
        let mut scope = format!("repository:{}:pull,push", reference.repository());
        if let Some(from) = elsewhere {
            scope.push_str(&format!(" repository:{from}:pull"));
        }
        let target = Target {
            store,
            transport: &transport,
            reference,
            scope: &scope,
            elsewhere,
            chunk: options.chunk,
        };
        let mut seen = std::collections::BTreeSet::new();
        let layers: Vec<&Descriptor> = manifest
            .layers
            .iter()
            .filter(|layer| seen.insert(layer.digest))
            .collect();
        let mut uploads = stream::iter(
            layers
                .into_iter()
                .map(|layer| target.blob(layer, Some(progress))),
        )
        .buffer_unordered(options.parallel.max(1));
        while let Some(done) = uploads.next().await {
            done?;
        }
        drop(uploads);
        target.blob(&manifest.config, None).await?;
        let name = reference.tag().filter(|_| !self.by_digest);
        let bytes = self.bytes.to_vec();
        let digest = target.manifest(media_type(manifest), bytes, name).await?;
        Ok(Pushed {
            digest,
            size: self.bytes.len() as u64,
        })
    }
}

/// Another repository of the same registry that holds the image's layers, by the digests we
/// pulled from it.
fn known_at(
    store: &ImageStore,
    reference: &Reference,
    image: &Image,
) -> Result<Option<String>, ImageError> {
    for summary in store.list()? {
        let Some(from) = summary.digests.iter().find(|name| {
            name.host() == reference.host() && name.repository() != reference.repository()
        }) else {
            continue;
        };
        let Ok(other) = store.get(&summary.id) else {
            continue;
        };
        if other.layers.first().is_some_and(|bottom| {
            image
                .layers
                .first()
                .is_some_and(|own| own.diff_id == bottom.diff_id)
        }) {
            return Ok(Some(from.repository().to_owned()));
        }
    }
    Ok(None)
}

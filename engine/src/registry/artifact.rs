//! Artifacts that are no images: a manifest, its configuration, and single layers of it.

use super::download::Download;
use super::pull::named;
use super::push::Upload;
use super::source::Source;
use super::transport::Transport;
use super::{Pushed, RegistryError, RegistryOptions};
use crate::image::{Descriptor, ImageStore, Manifest, ProgressSink, Reference, Staged};
use crate::layer::DiffId;

/// The manifest of a name, and its configuration. Both are kept in the store while nothing collects them.
pub(crate) async fn artifact(
    store: &ImageStore,
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<(Manifest, Vec<u8>), RegistryError> {
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let source = Source::new(&transport, reference, &scope);
    let lease = store.lease()?;
    let manifest = named(&source, store, &lease, reference, options)
        .await?
        .manifest;
    let config = source.config(store, &manifest.config).await?;
    Ok((manifest, config))
}

/// One layer of an artifact, unpacked but not published. The caller protects its digest.
pub(crate) async fn layer(
    store: &ImageStore,
    reference: &Reference,
    (layer, diff_id): (&Descriptor, &DiffId),
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Staged, RegistryError> {
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let source = Source::new(&transport, reference, &scope);
    let download = Download {
        source: &source,
        store,
        layer,
        diff_id: *diff_id,
        progress,
    };
    download.run().await
}

/// Pushes a manifest whose blobs are all in the store.
pub(crate) async fn push_artifact(
    store: &ImageStore,
    reference: &Reference,
    (manifest, bytes): (&Manifest, &[u8]),
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Pushed, RegistryError> {
    let upload = Upload {
        manifest,
        bytes,
        elsewhere: None,
        by_digest: false,
    };
    upload.run(store, reference, options, progress).await
}

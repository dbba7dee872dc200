//! Pulling: manifest (`source`), configuration, then all layers at once (`download`).

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::download::Download;
use super::source::Source;
use super::transport::Transport;
use super::{RegistryError, RegistryOptions};
use crate::content::Digest;
use crate::image::{
    DEFAULT_HOST, Descriptor, Document, Image, ImageConfig, ImageError, ImageStore, Lease,
    Manifest, Platform, ProgressSink, Reference, Staged, Transfer, TransferState, media,
};

/// What a pull brought.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// What the registry's name means: digest of the manifest or index.
    pub digest: Digest,
    /// The name meant this image here before.
    pub up_to_date: bool,
}

/// Pulls an image, names it, and gives it ready to run. Mirrors of docker.io are tried first.
pub async fn pull(
    store: &ImageStore,
    reference: &Reference,
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Pulled, RegistryError> {
    if reference.host() == DEFAULT_HOST {
        for mirror in &options.mirrors {
            let host = mirror
                .trim_end_matches('/')
                .rsplit("://")
                .next()
                .unwrap_or(mirror);
            let mut own = RegistryOptions {
                credentials: None,
                ..options.clone()
            };
            // Who writes http:// means it.
            if mirror.starts_with("http://") {
                own.insecure.push(host.to_owned());
            }
            if let Ok(pulled) = pull_from(store, host, reference, &own, progress).await {
                return Ok(pulled);
            }
        }
    }
    pull_from(store, reference.host(), reference, options, progress).await
}

/// What a registry's name means now: the digest of its manifest or index. Nothing is kept.
pub async fn digest(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Digest, RegistryError> {
    match reference.digest() {
        Some(digest) => Ok(*digest),
        None => ask(reference, options).await,
    }
}

/// Whether a registry has what a name means; an error says why not.
pub async fn probe(reference: &Reference, options: &RegistryOptions) -> Result<(), RegistryError> {
    ask(reference, options).await.map(drop)
}

async fn ask(reference: &Reference, options: &RegistryOptions) -> Result<Digest, RegistryError> {
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let source = Source::new(&transport, reference, &scope);
    let wanted = match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    };
    Ok(source.manifest(&wanted, reference.digest()).await?.0)
}

async fn pull_from(
    store: &ImageStore,
    host: &str,
    reference: &Reference,
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Pulled, RegistryError> {
    let transport = Transport::open(host, options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let source = Source::new(&transport, reference, &scope);
    let lease = store.lease()?;
    let named = named(&source, store, &lease, reference, options).await?;
    let manifest = &named.manifest;
    let config_bytes = source.config(store, &manifest.config).await?;
    lease.protect(&manifest.config.digest)?;
    let config = ImageConfig::parse(&config_bytes)?;
    check(&config, manifest)?;
    let before = store.resolve_id(&reference.to_string()).ok();
    for chain in ImageStore::chain_ids(&config) {
        lease.protect(&chain)?;
    }
    for layer in &manifest.layers {
        lease.protect(&layer.digest)?;
    }
    let staged = layers(&source, store, manifest, &config, options, progress).await?;
    let (own, reference) = (store.clone(), reference.clone());
    let publish = move || {
        let published = own.publish_layers(&config, staged)?;
        let image = own.add_with_manifest(&config_bytes, &published, Some(named.descriptor))?;
        let by_digest = reference.with_digest(named.digest);
        own.tag_pulled(&image.id, &named.siblings, &by_digest)?;
        // A reference with both means the digest; Docker then leaves the tag alone too.
        if reference.digest().is_none() {
            own.tag_pulled(&image.id, &named.siblings, &reference)?;
        }
        Ok::<_, ImageError>(image)
    };
    let image = tokio::task::spawn_blocking(publish)
        .await
        .map_err(|_| RegistryError::Abandoned)??;
    let up_to_date = before == Some(image.id);
    Ok(Pulled {
        image,
        digest: named.digest,
        up_to_date,
    })
}

/// What a name leads to.
pub(super) struct Named {
    /// Of the manifest or index that the name means.
    digest: Digest,
    /// Of the manifest for the wanted platform.
    descriptor: Descriptor,
    pub(super) manifest: Manifest,
    /// The manifests of the index that it came from.
    siblings: Vec<Digest>,
}

/// Follows a name to its manifest, through an index where there is one. What was read is kept.
pub(super) async fn named(
    source: &Source<'_>,
    store: &ImageStore,
    lease: &Lease,
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Named, RegistryError> {
    let keep = |digest: &Digest, bytes: &[u8]| {
        lease.protect(digest)?;
        store.content().put(bytes)?;
        Ok::<_, RegistryError>(Document::parse(bytes)?)
    };
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let (top, bytes) = source.manifest(&wanted, reference.digest()).await?;
    let mut siblings = Vec::new();
    let (digest, bytes, manifest) = match keep(&top, &bytes)? {
        Document::Manifest(manifest) => (top, bytes, *manifest),
        Document::Index(index) => {
            let platform = options.platform.clone().unwrap_or_else(Platform::host);
            let chosen = index.select(&platform)?.digest;
            siblings.extend(index.manifests.iter().map(|child| child.digest));
            let (digest, bytes) = source.manifest(&chosen.to_string(), Some(&chosen)).await?;
            match keep(&digest, &bytes)? {
                Document::Manifest(manifest) => (digest, bytes, *manifest),
                Document::Index(_) => {
                    return Err(source.transport.protocol("an index within an index"));
                }
            }
        }
    };
    let media_type = if manifest.media_type.is_empty() {
        media::OCI_MANIFEST
    } else {
        &manifest.media_type
    };
    Ok(Named {
        digest: top,
        descriptor: Descriptor::new(media_type, digest, bytes.len() as u64),
        manifest,
        siblings,
    })
}

/// Refuses a configuration that does not fit its manifest.
fn check(config: &ImageConfig, manifest: &Manifest) -> Result<(), ImageError> {
    if config.base.is_some() {
        return Err(ImageError::HostileConfig(
            "it claims to lie over another machine's `host` image".to_owned(),
        ));
    }
    let (named, given) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if named != given {
        return Err(ImageError::LayerCount { named, given });
    }
    Ok(())
}

/// Brings the layers that are not here, some at once, from the bottom.
async fn layers(
    source: &Source<'_>,
    store: &ImageStore,
    manifest: &Manifest,
    config: &ImageConfig,
    options: &RegistryOptions,
    progress: &ProgressSink<'_>,
) -> Result<Vec<Option<Staged>>, RegistryError> {
    let mut staged: Vec<Option<Staged>> = Vec::new();
    let mut waiting: Vec<usize> = Vec::new();
    for (index, chain) in ImageStore::chain_ids(config).iter().enumerate() {
        let exists = store.layers().contains(chain);
        progress(Transfer {
            layer: manifest.layers[index].digest.short(),
            state: if exists {
                TransferState::Exists
            } else {
                TransferState::Waiting
            },
            current: 0,
            total: Some(manifest.layers[index].size),
        });
        staged.push(None);
        if !exists {
            waiting.push(index);
        }
    }
    waiting.reverse();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < options.parallel.max(1)
            && let Some(index) = waiting.pop()
        {
            let download = Download {
                source,
                store,
                layer: &manifest.layers[index],
                diff_id: config.rootfs.diff_ids[index],
                progress,
            };
            running.push(async move { (index, download.run().await) });
        }
        match running.next().await {
            Some((index, Ok(layer))) => staged[index] = Some(layer),
            Some((index, Err(error))) => {
                let digest = manifest.layers[index].digest;
                return Err(source.of_layer(digest, error));
            }
            None => return Ok(staged),
        }
    }
}

//! Pulling: manifest, configuration, then all layers at once.
//!
//! A layer's bytes go from the socket into the hash and the blob file, and through a short queue
//! to a thread that inflates, hashes and unpacks them. A cut connection resumes where it broke
//! (`Range`), also in the next command: the partial file stays. Nothing is published before
//! the digest of the bytes, their number, and the layer's diff id are what was promised.

use std::io::{Cursor, Read, Write};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use tokio::sync::mpsc;

use super::transport::{Request, Transport, accept_manifests};
use super::{RegistryError, RegistryOptions};
use crate::content::{ContentError, Digest, Ingest};
use crate::image::{
    CONFIG_LIMIT, DEFAULT_HOST, Descriptor, Document, Image, ImageConfig, ImageError, ImageStore,
    MANIFEST_LIMIT, Manifest, Platform, ProgressSink, Reference, Staged, Transfer, TransferState,
    media,
};
use crate::layer::{Compression, Draft, LayerBlob, Unpacked};

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
            let own = RegistryOptions {
                credentials: None,
                ..options.clone()
            };
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
    if let Some(digest) = reference.digest() {
        return Ok(*digest);
    }
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let source = Source {
        transport: &transport,
        reference,
        scope: &scope,
    };
    let tag = reference.tag().unwrap_or("latest");
    Ok(source.manifest(tag, None).await?.0)
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
    let source = Source {
        transport: &transport,
        reference,
        scope: &scope,
    };
    let lease = store.lease()?;
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let (top, bytes) = source.manifest(&wanted, reference.digest()).await?;
    lease.protect(&top)?;
    store.content().put(&bytes)?;
    let (descriptor, manifest) = match Document::parse(&bytes)? {
        Document::Manifest(manifest) => (describe(&manifest, top, &bytes), *manifest),
        Document::Index(index) => {
            let platform = options.platform.clone().unwrap_or_else(Platform::host);
            let chosen = index.select(&platform)?.digest;
            let (digest, bytes) = source.manifest(&chosen.to_string(), Some(&chosen)).await?;
            lease.protect(&digest)?;
            store.content().put(&bytes)?;
            match Document::parse(&bytes)? {
                Document::Manifest(manifest) => (describe(&manifest, digest, &bytes), *manifest),
                Document::Index(_) => return Err(transport.protocol("an index within an index")),
            }
        }
    };
    let config_bytes = source.config(store, &manifest.config).await?;
    lease.protect(&manifest.config.digest)?;
    let config = ImageConfig::parse(&config_bytes)?;
    if config.base.is_some() {
        return Err(ImageError::HostileConfig(
            "it claims to lie over another machine's `host` image".to_owned(),
        )
        .into());
    }
    let diff_ids = config.rootfs.diff_ids.clone();
    if diff_ids.len() != manifest.layers.len() {
        return Err(ImageError::LayerCount {
            named: diff_ids.len(),
            given: manifest.layers.len(),
        }
        .into());
    }
    let before = store.resolve_id(&reference.to_string()).ok();
    let chains = ImageStore::chain_ids(&config);
    for digest in chains
        .iter()
        .copied()
        .chain(manifest.layers.iter().map(|layer| layer.digest))
    {
        lease.protect(&digest)?;
    }
    let mut staged: Vec<Option<Staged>> = Vec::new();
    staged.resize_with(chains.len(), || None);
    let mut waiting: Vec<usize> = Vec::new();
    for (index, chain) in chains.iter().enumerate() {
        let exists = store.layers().contains(chain);
        let state = if exists {
            TransferState::Exists
        } else {
            TransferState::Waiting
        };
        progress(Transfer {
            layer: manifest.layers[index].digest.short(),
            state,
            current: 0,
            total: Some(manifest.layers[index].size),
        });
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
            let (layer, diff_id, source) = (&manifest.layers[index], diff_ids[index], &source);
            running
                .push(async move { (index, source.layer(store, layer, diff_id, progress).await) });
        }
        match running.next().await {
            Some((index, result)) => staged[index] = Some(result?),
            None => break,
        }
    }
    drop(running);
    let (own, reference) = (store.clone(), reference.clone());
    let publish = move || {
        let published = own.publish_layers(&config, staged)?;
        let image = own.add_with_manifest(&config_bytes, &published, Some(descriptor))?;
        own.tag(&image.id, &reference.with_digest(top))?;
        // A reference with both means the digest; Docker then leaves the tag alone too.
        if reference.digest().is_none() {
            own.tag(&image.id, &reference)?;
        }
        Ok::<_, ImageError>(image)
    };
    let image = tokio::task::spawn_blocking(publish)
        .await
        .map_err(|_| RegistryError::Abandoned)??;
    let up_to_date = before == Some(image.id);
    Ok(Pulled {
        image,
        digest: top,
        up_to_date,
    })
}

fn describe(manifest: &Manifest, digest: Digest, bytes: &[u8]) -> Descriptor {
    let media_type = if manifest.media_type.is_empty() {
        media::OCI_MANIFEST
    } else {
        &manifest.media_type
    };
    Descriptor::new(media_type, digest, bytes.len() as u64)
}

struct Source<'a> {
    transport: &'a Transport,
    reference: &'a Reference,
    scope: &'a str,
}

impl Source<'_> {
    fn get(&self, path: &str) -> Result<Request<'_>, RegistryError> {
        let url = self.transport.url(self.reference.repository(), path)?;
        Ok(Request::get(url, self.scope, self.reference.familiar()))
    }

    async fn manifest(
        &self,
        wanted: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, Vec<u8>), RegistryError> {
        let (name, value) = accept_manifests();
        let request = self
            .get(&format!("manifests/{wanted}"))?
            .header(name, value);
        let mut failures = 0;
        loop {
            let answer = self.transport.send(&request, &[]).await?;
            let claimed = answer
                .headers()
                .get("docker-content-digest")
                .and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
            let bytes = match self.small(answer, MANIFEST_LIMIT, wanted).await {
                Ok(bytes) => bytes,
                Err(RegistryError::Unreachable { .. })
                    if failures + 1 < self.transport.attempts() =>
                {
                    failures += 1;
                    tokio::time::sleep(self.transport.pause(failures)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let actual = Digest::of(&bytes);
            for expected in [expected.copied(), claimed].into_iter().flatten() {
                if expected != actual {
                    return Err(RegistryError::Mismatch {
                        host: self.transport.host.clone(),
                        expected,
                        actual,
                    });
                }
            }
            return Ok((actual, bytes));
        }
    }

    /// A body that fits in memory, read no further than its limit.
    async fn small(
        &self,
        mut answer: reqwest::Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.transport.unreachable(error))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(RegistryError::TooLarge {
                    host: self.transport.host.clone(),
                    what: what.to_owned(),
                    limit,
                });
            }
        }
        Ok(bytes)
    }

    async fn config(
        &self,
        store: &ImageStore,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        if store.content().contains(&descriptor.digest) {
            return Ok(store.content().read(&descriptor.digest, CONFIG_LIMIT)?);
        }
        if descriptor.size > CONFIG_LIMIT {
            return Err(RegistryError::TooLarge {
                host: self.transport.host.clone(),
                what: descriptor.digest.to_string(),
                limit: CONFIG_LIMIT,
            });
        }
        let answer = self
            .transport
            .send(&self.get(&format!("blobs/{}", descriptor.digest))?, &[])
            .await?;
        let bytes = self
            .small(answer, descriptor.size, &descriptor.digest.to_string())
            .await?;
        let actual = Digest::of(&bytes);
        if actual != descriptor.digest {
            return Err(RegistryError::Mismatch {
                host: self.transport.host.clone(),
                expected: descriptor.digest,
                actual,
            });
        }
        store.content().put(&bytes)?;
        Ok(bytes)
    }

    async fn layer(
        &self,
        store: &ImageStore,
        layer: &Descriptor,
        diff_id: Digest,
        progress: &ProgressSink<'_>,
    ) -> Result<Staged, RegistryError> {
        let tell = |state, current| {
            progress(Transfer {
                layer: layer.digest.short(),
                state,
                current,
                total: Some(layer.size),
            })
        };
        let stage = |archive: Box<dyn Read + Send>| {
            let store = store.clone();
            tokio::task::spawn_blocking(move || store.stage(archive, &diff_id))
        };
        let finish = |staged: Result<
            Result<(Draft, Unpacked, Compression), ImageError>,
            tokio::task::JoinError,
        >|
         -> Result<Staged, RegistryError> {
            let (draft, unpacked, compression) = staged.map_err(|_| RegistryError::Abandoned)??;
            let media_type = if layer.media_type.is_empty() {
                compression.media_type()
            } else {
                &layer.media_type
            };
            let blob = LayerBlob {
                digest: layer.digest,
                size: layer.size,
                media_type: media_type.to_owned(),
            };
            Ok(Staged {
                draft,
                unpacked,
                blob,
            })
        };
        if let Ok((file, _)) = store.content().open_blob(&layer.digest) {
            let staged = finish(stage(Box::new(file)).await)?;
            tell(TransferState::Done, layer.size);
            return Ok(staged);
        }
        // Another process may be receiving the same bytes: then these are received twice.
        let mut ingest = match store.content().resume(&layer.digest)? {
            Some(ingest) if ingest.written() <= layer.size => ingest,
            Some(mut ingest) => {
                ingest.restart()?;
                ingest
            }
            None => store.content().ingest()?,
        };
        let (sender, receiver) = mpsc::channel(32);
        let received =
            std::fs::File::open(ingest.path()).map_err(ContentError::io("open", ingest.path()))?;
        let before = received.take(ingest.written());
        let unpacking = stage(Box::new(before.chain(Queue {
            receiver,
            left: Cursor::default(),
        })));
        let download = self.download(layer, &mut ingest, &sender, &tell).await;
        drop(sender);
        let staged = unpacking.await;
        if let Err(error) = download {
            // Bytes that are no archive of this layer must not be resumed from.
            if matches!(
                error,
                RegistryError::TooLarge { .. } | RegistryError::Mismatch { .. }
            ) {
                ingest.discard();
            }
            // Unpacking that failed first made the queue break: that is the cause.
            return Err(match (error, staged) {
                (RegistryError::Abandoned, staged) => {
                    finish(staged).err().unwrap_or(RegistryError::Abandoned)
                }
                (error, _) => error,
            });
        }
        let actual = ingest.digest();
        if actual != layer.digest {
            ingest.discard();
            return Err(RegistryError::Mismatch {
                host: self.transport.host.clone(),
                expected: layer.digest,
                actual,
            });
        }
        let staged = finish(staged)?;
        ingest.commit(Some(&layer.digest))?;
        tell(TransferState::Done, layer.size);
        Ok(staged)
    }

    /// Brings the ingest to the layer's full size; every byte also goes to the queue.
    async fn download(
        &self,
        layer: &Descriptor,
        ingest: &mut Ingest,
        queue: &mpsc::Sender<bytes::Bytes>,
        tell: &(impl Fn(TransferState, u64) + Sync),
    ) -> Result<(), RegistryError> {
        let host = || self.transport.host.clone();
        let mut failures = 0;
        let mut addresses = layer.urls.iter();
        let mut request = self.get(&format!("blobs/{}", layer.digest))?;
        while ingest.written() < layer.size || (layer.size == 0 && failures == 0) {
            if layer.size == 0 {
                break;
            }
            let start = ingest.written();
            request.headers.retain(|(name, _)| *name != RANGE);
            if start > 0 {
                request = request.header(RANGE, format!("bytes={start}-"));
            }
            let answer = match self
                .transport
                .send(&request, &[StatusCode::RANGE_NOT_SATISFIABLE])
                .await
            {
                // Layers that a registry may not distribute name other places.
                Err(RegistryError::NotFound(_)) if addresses.len() > 0 => {
                    if let Some(url) = addresses
                        .next()
                        .and_then(|url| reqwest::Url::parse(url).ok())
                        .filter(|url| url.scheme() == "https")
                    {
                        request.url = url;
                    }
                    continue;
                }
                other => other?,
            };
            // A registry that ignores the range sends everything again: skip what we have.
            let mut skip = if answer.status() == StatusCode::PARTIAL_CONTENT {
                0
            } else {
                start
            };
            if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                return Err(self.transport.protocol(format!(
                    "it has fewer bytes of `{}` than it announced",
                    layer.digest
                )));
            }
            let mut answer = answer;
            let broken = loop {
                match answer.chunk().await {
                    Ok(Some(chunk)) => {
                        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                        skip -= skipped as u64;
                        let chunk = chunk.slice(skipped..);
                        if ingest.written() + chunk.len() as u64 > layer.size {
                            return Err(RegistryError::TooLarge {
                                host: host(),
                                what: layer.digest.to_string(),
                                limit: layer.size,
                            });
                        }
                        ingest
                            .write_all(&chunk)
                            .map_err(ContentError::io("write", ingest.path()))?;
                        if !chunk.is_empty() && queue.send(chunk).await.is_err() {
                            return Err(RegistryError::Abandoned);
                        }
                        tell(TransferState::Downloading, ingest.written());
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            if ingest.written() >= layer.size {
                break;
            }
            // Progress earns new attempts: only a connection that brings nothing counts.
            failures = if ingest.written() > start {
                1
            } else {
                failures + 1
            };
            if failures >= self.transport.attempts() {
                return Err(match broken {
                    Some(error) => self.transport.unreachable(error),
                    None => self.transport.protocol(format!(
                        "it ends `{}` after {} of {} bytes",
                        layer.digest,
                        ingest.written(),
                        layer.size
                    )),
                });
            }
            tell(TransferState::Retrying, ingest.written());
            tokio::time::sleep(self.transport.pause(failures)).await;
        }
        Ok(())
    }
}

/// The reading end of a download.
struct Queue {
    receiver: mpsc::Receiver<bytes::Bytes>,
    left: Cursor<bytes::Bytes>,
}

impl Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.left.read(buffer)? {
                0 => {}
                count => return Ok(count),
            }
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.left = Cursor::new(chunk),
            }
        }
    }
}

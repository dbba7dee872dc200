//! Pushing: layers the registry lacks, the configuration, then the manifest.
//!
//! A layer goes as the bytes it came with; one made here is compressed first, once, and kept.
//! Before uploading, the registry is asked whether it has the blob, and whether it can take it
//! from another repository we know to hold it. Images over the `host` image are refused.

use std::io::{Read, Seek, SeekFrom};

use futures_util::StreamExt;
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Method, StatusCode, Url};

use super::transport::{Request, Transport};
use super::{RegistryError, RegistryOptions};
use crate::content::{ContentError, Digest};
use crate::image::{
    Base, Descriptor, Image, ImageError, ImageStore, Manifest, ProgressSink, Reference, Transfer,
    TransferState, media,
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
    let mut children = Vec::new();
    for image in images {
        let platform = image.config.platform();
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
            return Ok(pushed);
        }
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

struct Target<'a> {
    store: &'a ImageStore,
    transport: &'a Transport,
    reference: &'a Reference,
    scope: &'a str,
    elsewhere: Option<&'a str>,
    chunk: Option<u64>,
}

impl Target<'_> {
    fn request(&self, method: Method, url: Url) -> Request<'_> {
        Request {
            method,
            url,
            headers: Vec::new(),
            body: None,
            scope: self.scope,
            action: self.reference.familiar(),
        }
    }

    fn at(&self, path: &str) -> Result<Url, RegistryError> {
        self.transport.url(self.reference.repository(), path)
    }

    async fn blob(
        &self,
        blob: &Descriptor,
        progress: Option<&ProgressSink<'_>>,
    ) -> Result<(), RegistryError> {
        let tell = |state, current| {
            if let Some(progress) = progress {
                progress(Transfer {
                    layer: blob.digest.short(),
                    state,
                    current,
                    total: Some(blob.size),
                });
            }
        };
        let head = self.request(Method::HEAD, self.at(&format!("blobs/{}", blob.digest))?);
        if self
            .transport
            .send(&head, &[StatusCode::NOT_FOUND])
            .await?
            .status()
            .is_success()
        {
            tell(TransferState::Exists, blob.size);
            return Ok(());
        }
        let mut start = self.at("blobs/uploads/")?;
        if let Some(from) = self.elsewhere.filter(|_| progress.is_some()) {
            start
                .query_pairs_mut()
                .append_pair("mount", &blob.digest.to_string())
                .append_pair("from", from);
        }
        let mut failures = 0;
        loop {
            let begun = self
                .transport
                .send(
                    &self
                        .request(Method::POST, start.clone())
                        .header(CONTENT_LENGTH, "0"),
                    &[],
                )
                .await?;
            if begun.status() == StatusCode::CREATED {
                tell(TransferState::Mounted, blob.size);
                return Ok(());
            }
            let session = self.location(&start, &begun)?;
            tell(TransferState::Uploading, 0);
            let uploaded = match self.chunk.filter(|chunk| blob.size > *chunk) {
                Some(chunk) => self.in_pieces(session, blob, chunk, &tell).await,
                None => self.at_once(session, blob).await,
            };
            match uploaded {
                Ok(()) => {
                    tell(TransferState::Done, blob.size);
                    return Ok(());
                }
                // A broken upload begins anew with a session of its own.
                Err(
                    RegistryError::Unreachable { .. }
                    | RegistryError::Status {
                        status: 404 | 416 | 500..=599,
                        ..
                    },
                ) if failures + 1 < self.transport.attempts() => {
                    failures += 1;
                    tell(TransferState::Retrying, 0);
                    tokio::time::sleep(self.transport.pause(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn location(&self, base: &Url, answer: &reqwest::Response) -> Result<Url, RegistryError> {
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| {
            self.transport
                .protocol("it begins an upload without saying where")
        })?;
        self.transport.relative(base, location)
    }

    async fn at_once(&self, mut session: Url, blob: &Descriptor) -> Result<(), RegistryError> {
        session
            .query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        let path = self.store.content().path(&blob.digest);
        let size = blob.size;
        let body = move || file_body(path.clone(), 0, size);
        let mut request = self
            .request(Method::PUT, session)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size.to_string());
        request.body = Some(&body);
        self.transport.send(&request, &[]).await.map(drop)
    }

    async fn in_pieces(
        &self,
        mut session: Url,
        blob: &Descriptor,
        chunk: u64,
        tell: &(impl Fn(TransferState, u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut sent = 0;
        while sent < blob.size {
            let length = chunk.max(1).min(blob.size - sent);
            let path = self.store.content().path(&blob.digest);
            let body = move || file_body(path.clone(), sent, length);
            let mut request = self
                .request(Method::PATCH, session.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, length.to_string())
                .header(CONTENT_RANGE, format!("{sent}-{}", sent + length - 1));
            request.body = Some(&body);
            let answer = self.transport.send(&request, &[]).await?;
            session = self.location(&session, &answer)?;
            sent += length;
            tell(TransferState::Uploading, sent);
        }
        session
            .query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        self.transport
            .send(
                &self
                    .request(Method::PUT, session)
                    .header(CONTENT_LENGTH, "0"),
                &[],
            )
            .await
            .map(drop)
    }

    /// Uploads a manifest or an index, under a tag or under its digest.
    async fn manifest(
        &self,
        media_type: &str,
        bytes: Vec<u8>,
        tag: Option<&str>,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let name = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let body = move || Body::from(bytes.clone());
        let mut request = self
            .request(Method::PUT, self.at(&format!("manifests/{name}"))?)
            .header(CONTENT_TYPE, media_type);
        request.body = Some(&body);
        let answer = self.transport.send(&request, &[]).await?;
        let claimed = answer
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
        match claimed {
            Some(actual) if actual != digest => Err(RegistryError::Mismatch {
                host: self.transport.host.clone(),
                expected: digest,
                actual,
            }),
            _ => Ok(digest),
        }
    }
}

/// A piece of a file as a body, read while it is sent.
fn file_body(path: std::path::PathBuf, offset: u64, length: u64) -> Body {
    let open = move || -> Result<_, ContentError> {
        let mut file = std::fs::File::open(&path).map_err(ContentError::io("open", &path))?;
        file.seek(SeekFrom::Start(offset))
            .map_err(ContentError::io("seek", &path))?;
        Ok(file.take(length))
    };
    let pieces = stream::unfold(None, move |state: Option<std::io::Take<std::fs::File>>| {
        let opened = match state {
            Some(file) => Ok(file),
            None => open().map_err(std::io::Error::other),
        };
        async move {
            let mut file = match opened {
                Ok(file) => file,
                Err(error) => return Some((Err(error), None)),
            };
            // Blocking for 256 KiB that the page cache mostly holds.
            let mut bytes = vec![0; 256 << 10];
            match file.read(&mut bytes) {
                Ok(0) => None,
                Ok(count) => {
                    bytes.truncate(count);
                    Some((Ok(bytes), Some(file)))
                }
                Err(error) => Some((Err(error), Some(file))),
            }
        }
    });
    Body::wrap_stream(pieces)
}

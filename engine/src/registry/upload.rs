//! One blob or manifest to a registry: asked for, mounted from elsewhere, sent at once or in pieces.

use std::io::{Read, Seek, SeekFrom};

use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Method, StatusCode, Url};

use super::RegistryError;
use super::transport::{Request, Transport};
use crate::content::{ContentError, Digest};
use crate::image::{Descriptor, ImageStore, ProgressSink, Reference, Transfer, TransferState};

/// Where blobs and manifests go.
pub(super) struct Target<'a> {
    pub(super) store: &'a ImageStore,
    pub(super) transport: &'a Transport,
    pub(super) reference: &'a Reference,
    pub(super) scope: &'a str,
    /// Another repository that may hold the layers.
    pub(super) elsewhere: Option<&'a str>,
    pub(super) chunk: Option<u64>,
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

    /// Uploads a blob that the registry has not.
    pub(super) async fn blob(
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
    pub(super) async fn manifest(
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

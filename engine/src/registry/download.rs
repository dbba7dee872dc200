//! A layer on its way: from the socket into the hash and the blob file, and through a short queue to a
//! thread that inflates, hashes and unpacks it.
//!
//! A cut connection resumes where it broke (`Range`), also in the next command: the partial file stays. Nothing is
//! published before the digest of the bytes, their number, and the layer's diff id are what was promised.

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use reqwest::header::RANGE;
use reqwest::{Response, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::RegistryError;
use super::source::Source;
use super::transport::Request;
use crate::content::{ContentError, Digest, Ingest};
use crate::image::{
    Descriptor, ImageError, ImageStore, ProgressSink, Staged, Transfer, TransferState,
};
use crate::layer::{Compression, Draft, LayerBlob, Unpacked};

type Unpacking = Result<(Draft, Unpacked, Compression), ImageError>;

/// One layer of an image.
pub(super) struct Download<'d> {
    pub(super) source: &'d Source<'d>,
    pub(super) store: &'d ImageStore,
    pub(super) layer: &'d Descriptor,
    pub(super) diff_id: Digest,
    pub(super) progress: &'d ProgressSink<'d>,
}

impl Download<'_> {
    /// Brings the layer, or takes the blob that is here, and unpacks it.
    pub(super) async fn run(&self) -> Result<Staged, RegistryError> {
        let content = self.store.content();
        if let Ok((file, _)) = content.open_blob(&self.layer.digest) {
            let staged = self.staged(self.unpack(file).await)?;
            self.tell(TransferState::Done, self.layer.size);
            return Ok(staged);
        }
        // Another process may be receiving the same bytes: then these are received twice.
        let mut ingest = match content.resume(&self.layer.digest)? {
            Some(ingest) if ingest.written() <= self.layer.size => ingest,
            Some(mut ingest) => {
                ingest.restart()?;
                ingest
            }
            None => content.ingest()?,
        };
        let (sender, receiver) = mpsc::channel(32);
        let received =
            std::fs::File::open(ingest.path()).map_err(ContentError::io("open", ingest.path()))?;
        let queue = Queue {
            receiver,
            left: Cursor::default(),
        };
        let unpacking = self.unpack(received.take(ingest.written()).chain(queue));
        let received = self.receive(&mut ingest, &sender).await;
        drop(sender);
        let unpacked = unpacking.await;
        if let Err(error) = received {
            return Err(self.failed(error, ingest, unpacked));
        }
        let actual = ingest.digest();
        if actual != self.layer.digest {
            ingest.discard();
            return Err(self.source.mismatch(self.layer.digest, actual));
        }
        let staged = self.staged(unpacked)?;
        ingest.commit(Some(&self.layer.digest))?;
        self.tell(TransferState::Done, self.layer.size);
        Ok(staged)
    }

    fn tell(&self, state: TransferState, current: u64) {
        (self.progress)(Transfer {
            layer: self.layer.digest.short(),
            state,
            current,
            total: Some(self.layer.size),
        });
    }

    fn unpack(&self, archive: impl Read + Send + 'static) -> JoinHandle<Unpacking> {
        let (store, diff_id) = (self.store.clone(), self.diff_id);
        tokio::task::spawn_blocking(move || store.stage(Box::new(archive), &diff_id))
    }

    fn staged(&self, unpacked: Result<Unpacking, JoinError>) -> Result<Staged, RegistryError> {
        let (draft, unpacked, compression) = unpacked.map_err(|_| RegistryError::Abandoned)??;
        let media_type = if self.layer.media_type.is_empty() {
            compression.media_type().map_err(ImageError::from)?
        } else {
            &self.layer.media_type
        };
        Ok(Staged {
            draft,
            unpacked,
            blob: LayerBlob {
                digest: self.layer.digest,
                size: self.layer.size,
                media_type: media_type.to_owned(),
            },
        })
    }

    /// The cause of a failed download.
    fn failed(
        &self,
        error: RegistryError,
        ingest: Ingest,
        unpacked: Result<Unpacking, JoinError>,
    ) -> RegistryError {
        // Bytes that are no archive of this layer must not be resumed from.
        if matches!(
            error,
            RegistryError::TooLarge { .. } | RegistryError::Mismatch { .. }
        ) {
            ingest.discard();
        }
        match error {
            // Unpacking that failed first made the queue break: that is the cause.
            RegistryError::Abandoned => self
                .staged(unpacked)
                .err()
                .unwrap_or(RegistryError::Abandoned),
            error => error,
        }
    }

    /// Brings the ingest to the layer's full size; every byte also goes to the queue.
    async fn receive(
        &self,
        ingest: &mut Ingest,
        queue: &mpsc::Sender<Bytes>,
    ) -> Result<(), RegistryError> {
        let transport = self.source.transport;
        let mut failures = 0;
        let mut addresses = self.layer.urls.iter();
        let mut request = self.source.get(&format!("blobs/{}", self.layer.digest))?;
        while ingest.written() < self.layer.size {
            let start = ingest.written();
            let Some(mut answer) = self.ask(&mut request, start, &mut addresses).await? else {
                continue;
            };
            let broken = self.body(&mut answer, start, ingest, queue).await?;
            if ingest.written() >= self.layer.size {
                break;
            }
            // Progress earns new attempts: only a connection that brings nothing counts.
            failures = if ingest.written() > start {
                1
            } else {
                failures + 1
            };
            if failures >= transport.attempts() {
                return Err(match broken {
                    Some(error) => transport.unreachable(error),
                    None => transport.protocol(format!(
                        "it ends `{}` after {} of {} bytes",
                        self.layer.digest,
                        ingest.written(),
                        self.layer.size
                    )),
                });
            }
            self.tell(TransferState::Retrying, ingest.written());
            tokio::time::sleep(transport.pause(failures)).await;
        }
        Ok(())
    }

    /// Asks for the bytes from `start` on. `None`: the request now names another place.
    async fn ask(
        &self,
        request: &mut Request<'_>,
        start: u64,
        addresses: &mut std::slice::Iter<'_, String>,
    ) -> Result<Option<Response>, RegistryError> {
        let transport = self.source.transport;
        request.headers.retain(|(name, _)| *name != RANGE);
        if start > 0 {
            request.headers.push((RANGE, format!("bytes={start}-")));
        }
        let accepted = [StatusCode::RANGE_NOT_SATISFIABLE];
        match transport.send(request, &accepted).await {
            Ok(answer) if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE => Err(transport
                .protocol(format!(
                    "it has fewer bytes of `{}` than it announced",
                    self.layer.digest
                ))),
            Ok(answer) => Ok(Some(answer)),
            // Layers that a registry may not distribute name other places.
            Err(RegistryError::NotFound(_)) if addresses.len() > 0 => {
                let url = addresses.next().and_then(|url| Url::parse(url).ok());
                if let Some(url) = url.filter(|url| url.scheme() == "https") {
                    request.url = url;
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an answer's bytes; gives the error that cut it short.
    async fn body(
        &self,
        answer: &mut Response,
        start: u64,
        ingest: &mut Ingest,
        queue: &mpsc::Sender<Bytes>,
    ) -> Result<Option<reqwest::Error>, RegistryError> {
        // A registry that ignores the range sends everything again: skip what we have.
        let mut skip = match answer.status() {
            StatusCode::PARTIAL_CONTENT => 0,
            _ => start,
        };
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            };
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= skipped as u64;
            let chunk = chunk.slice(skipped..);
            if ingest.written() + chunk.len() as u64 > self.layer.size {
                let (digest, size) = (self.layer.digest, self.layer.size);
                return Err(self.source.too_large(digest, size));
            }
            ingest
                .write_all(&chunk)
                .map_err(ContentError::io("write", ingest.path()))?;
            if !chunk.is_empty() && queue.send(chunk).await.is_err() {
                return Err(RegistryError::Abandoned);
            }
            self.tell(TransferState::Downloading, ingest.written());
        }
    }
}

/// The reading end of a download.
struct Queue {
    receiver: mpsc::Receiver<Bytes>,
    left: Cursor<Bytes>,
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

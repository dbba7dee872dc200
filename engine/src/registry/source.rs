//! One name of one registry: its manifest and its configuration, verified.

use super::RegistryError;
use super::transport::{Request, Transport, accept_manifests};
use crate::content::Digest;
use crate::image::{CONFIG_LIMIT, Descriptor, ImageStore, MANIFEST_LIMIT, Reference};

/// Where everything of an image comes from.
pub(super) struct Source<'a> {
    pub(super) transport: &'a Transport,
    reference: &'a Reference,
    scope: &'a str,
}

impl<'a> Source<'a> {
    /// `scope` is that of a pull of the reference.
    pub(super) fn new(transport: &'a Transport, reference: &'a Reference, scope: &'a str) -> Self {
        Self {
            transport,
            reference,
            scope,
        }
    }

    /// The error of bytes that are not what their name says.
    pub(super) fn mismatch(&self, expected: Digest, actual: Digest) -> RegistryError {
        RegistryError::Mismatch {
            host: self.transport.host.clone(),
            expected,
            actual,
        }
    }

    /// The error of something larger than it may be.
    pub(super) fn too_large(&self, what: impl ToString, limit: u64) -> RegistryError {
        RegistryError::TooLarge {
            host: self.transport.host.clone(),
            what: what.to_string(),
            limit,
        }
    }

    /// The error of a layer that could not be brought.
    pub(super) fn of_layer(&self, layer: Digest, error: RegistryError) -> RegistryError {
        RegistryError::Layer {
            layer,
            image: self.reference.familiar(),
            source: Box::new(error),
        }
    }

    /// A request for something of the repository.
    pub(super) fn get(&self, path: &str) -> Result<Request<'_>, RegistryError> {
        let url = self.transport.url(self.reference.repository(), path)?;
        let image = self.reference.familiar();
        // A blob can be missing of an image that is there.
        let what = match path.strip_prefix("blobs/") {
            Some(digest) => format!("{digest} of {image}"),
            None => image,
        };
        Ok(Request::get(url, self.scope, what))
    }

    /// The bytes of a manifest or an index, and their digest.
    pub(super) async fn manifest(
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
                    return Err(self.mismatch(expected, actual));
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
                return Err(self.too_large(what, limit));
            }
        }
        Ok(bytes)
    }

    /// The image's configuration.
    pub(super) async fn config(
        &self,
        store: &ImageStore,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, RegistryError> {
        if store.content().contains(&descriptor.digest) {
            return Ok(store.content().read(&descriptor.digest, CONFIG_LIMIT)?);
        }
        if descriptor.size > CONFIG_LIMIT {
            return Err(self.too_large(descriptor.digest, CONFIG_LIMIT));
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
            return Err(self.mismatch(descriptor.digest, actual));
        }
        store.content().put(&bytes)?;
        Ok(bytes)
    }
}

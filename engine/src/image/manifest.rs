//! Manifests and indexes, OCI's and Docker's schema 2.
//!
//! Bounded in size and number; schema 1, foreign digests and negative sizes are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::LAYER_LIMIT;
use super::{ImageError, Platform};
use crate::content::Digest;

/// Largest manifest accepted (distribution-spec, "Pushing Manifests").
pub const MANIFEST_LIMIT: u64 = 4 << 20;
const INDEX_ENTRIES: usize = 1000;

/// OCI's and Docker's names of the same things.
pub mod media {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// OCI layer without compression.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}

/// Points at content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Other places to get it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// One with nothing but the necessary.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

/// An image's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// OCI's or Docker's.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Everything else it says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Manifests for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// OCI's or Docker's.
    #[serde(default)]
    pub media_type: String,
    /// One for each platform, and attestations.
    pub manifests: Vec<Descriptor>,
    /// Everything else it says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a registry or an archive may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Box<Index>),
}

impl Document {
    /// Reads a manifest or an index; told apart by what they hold, not by what a server says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(ImageError::Manifest(format!(
                "{} bytes, at most {MANIFEST_LIMIT} are accepted",
                bytes.len()
            )));
        }
        let wrong = |error: serde_json::Error| ImageError::Manifest(error.to_string());
        let value: Value = serde_json::from_slice(bytes).map_err(wrong)?;
        match value.get("schemaVersion").and_then(Value::as_u64) {
            Some(2) => {}
            Some(1) => return Err(ImageError::Manifest(
                "Docker's schema 1 has been withdrawn; push the image again with a present tool"
                    .to_owned(),
            )),
            _ => return Err(ImageError::Manifest("it has no schemaVersion 2".to_owned())),
        }
        match (
            value.get("manifests").is_some(),
            value.get("layers").is_some(),
        ) {
            // One that is both could mean different images to different readers (CVE-2021-41190).
            (true, true) => Err(ImageError::Manifest(
                "it is both an index and a manifest".to_owned(),
            )),
            (true, false) => {
                let index: Index = serde_json::from_value(value).map_err(wrong)?;
                if index.manifests.len() > INDEX_ENTRIES {
                    return Err(ImageError::Manifest(format!(
                        "an index of more than {INDEX_ENTRIES} entries"
                    )));
                }
                Ok(Self::Index(Box::new(index)))
            }
            (false, _) => {
                let manifest: Manifest = serde_json::from_value(value).map_err(wrong)?;
                if manifest.layers.len() > LAYER_LIMIT {
                    return Err(ImageError::Manifest(format!(
                        "{} layers, at most {LAYER_LIMIT} are accepted",
                        manifest.layers.len()
                    )));
                }
                Ok(Self::Manifest(Box::new(manifest)))
            }
        }
    }
}

impl Index {
    /// The manifest for a platform: attestations are skipped, the best variant is taken.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, ImageError> {
        let images = || {
            self.manifests.iter().filter(|descriptor| {
                let unknown = descriptor
                    .platform
                    .as_ref()
                    .is_some_and(|platform| platform.os == "unknown");
                !unknown
                    && !descriptor
                        .annotations
                        .contains_key("vnd.docker.reference.type")
            })
        };
        let mut best: Option<(u32, &Descriptor)> = None;
        for descriptor in images() {
            let score = match &descriptor.platform {
                Some(platform) => wanted.accepts(platform),
                // An index of one image may leave its platform out.
                None => (images().count() == 1).then_some(0),
            };
            if let Some(score) = score
                && best.is_none_or(|(known, _)| score > known)
            {
                best = Some((score, descriptor));
            }
        }
        best.map(|(_, descriptor)| descriptor).ok_or_else(|| {
            let available: Vec<String> = images()
                .filter_map(|descriptor| descriptor.platform.as_ref())
                .map(Platform::to_string)
                .collect();
            ImageError::NoPlatform {
                wanted: wanted.to_string(),
                available: if available.is_empty() {
                    "none".to_owned()
                } else {
                    available.join(", ")
                },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(platform: &str, note: &str) -> String {
        let platform = Platform::parse(platform).unwrap();
        format!(
            r#"{{"mediaType":"{}","digest":"{}","size":1,"platform":{}{note}}}"#,
            media::OCI_MANIFEST,
            Digest::of(platform.to_string().as_bytes()),
            serde_json::to_string(&platform).unwrap()
        )
    }

    #[test]
    fn selects_by_platform() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{},{}]}}"#,
            entry("unknown/unknown", ""),
            entry("linux/arm/v6", ""),
            entry("linux/arm/v7", ""),
            entry(
                "linux/amd64",
                r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#
            )
        );
        let Document::Index(index) = Document::parse(text.as_bytes()).unwrap() else {
            panic!("no index")
        };
        let chosen = index
            .select(&Platform::parse("linux/arm/v7").unwrap())
            .unwrap();
        assert_eq!(chosen.digest, Digest::of(b"linux/arm/v7"));
        let error = index
            .select(&Platform::parse("linux/amd64").unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("linux/arm/v6, linux/arm/v7"), "{error}");
    }

    #[test]
    fn refuses_what_is_ambiguous_or_old() {
        for bad in [
            "",
            "{}",
            r#"{"schemaVersion":1}"#,
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
            r#"{"schemaVersion":2,"layers":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:x","size":1}]}"#,
            r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:x","size":-1}]}"#,
        ] {
            assert!(Document::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_documents_never_panic(bytes in any::<Vec<u8>>(), text in r#"\{"schemaVersion":2,"(manifests|layers|config)":.{0,40}"#) {
            let _ = Document::parse(&bytes);
            let _ = Document::parse(text.as_bytes());
        }
    }
}

//! How a service's image is built, and what `watch` does about changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mounts::FileMount;
use super::record::{Always, Omit, record};
use super::scalar::Bytes;
use super::service::{Environment, Hook, StringMap, Ulimit};

record! {
    /// A build.
    Build {
        /// Absolute directory, URL, or `service:x`.
        context: String,
        /// Dockerfile, relative to the context.
        dockerfile: String,
        /// The Dockerfile's text.
        dockerfile_inline: String,
        /// Privileges granted.
        entitlements: Vec<String>,
        /// Build arguments.
        args: Environment,
        /// Provenance attestation.
        provenance: String,
        /// SBOM attestation.
        sbom: String,
        /// SSH agents or keys: id to path (empty: the agent).
        ssh: Vec<SshKey>,
        /// Labels of the image.
        labels: StringMap,
        /// Cache sources.
        cache_from: Vec<String>,
        /// Cache destinations.
        cache_to: Vec<String>,
        /// Whether the cache is unused.
        no_cache: bool,
        /// Stages whose cache is unused.
        no_cache_filter: Vec<String>,
        /// Named contexts.
        additional_contexts: StringMap,
        /// Whether base images are always pulled.
        pull: bool,
        /// Lines for `/etc/hosts` during the build.
        extra_hosts: Vec<String>,
        /// Isolation technology.
        isolation: String,
        /// Network of `RUN`.
        network: String,
        /// Stage to build.
        target: String,
        /// Secrets for `RUN --mount=type=secret`.
        secrets: Vec<FileMount>,
        /// Size of `/dev/shm`.
        shm_size: Bytes,
        /// More names for the image.
        tags: Vec<String>,
        /// Resource limits.
        ulimits: BTreeMap<String, Ulimit>,
        /// Platforms.
        platforms: Vec<String>,
        /// Whether `RUN` is privileged.
        privileged: bool,
    }
}

/// An SSH agent socket or key for the build. Serialised as `id` or `id=path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshKey {
    /// Id used in `--mount=type=ssh,id=…`.
    pub id: String,
    /// Path; empty for the default agent.
    pub path: String,
}

impl Serialize for SshKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.path.is_empty() {
            s.serialize_str(&self.id)
        } else {
            s.collect_str(&format_args!("{}={}", self.id, self.path))
        }
    }
}

impl<'de> Deserialize<'de> for SshKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let (id, path) = text.split_once('=').unwrap_or((&text, ""));
        Ok(Self {
            id: id.to_owned(),
            path: path.to_owned(),
        })
    }
}

record! {
    /// Development settings.
    Develop {
        /// What `watch` watches.
        watch: Vec<WatchRule>,
    }
}

record! {
    /// One watched path and what a change there does.
    WatchRule {
        /// Absolute path.
        path: Always<String>,
        /// What happens.
        action: WatchAction,
        /// Destination in the container, for the actions that copy.
        target: String,
        /// Command, for `sync+exec`.
        exec: Always<Hook>,
        /// Patterns of paths that count; empty: all.
        include: Vec<String>,
        /// Patterns of paths that do not count.
        ignore: Vec<String>,
        /// Whether everything is copied when the watch begins.
        initial_sync: bool,
    }
}

/// What a change does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification's own names")]
pub enum WatchAction {
    #[default]
    #[serde(rename = "rebuild")]
    Rebuild,
    #[serde(rename = "sync")]
    Sync,
    #[serde(rename = "restart")]
    Restart,
    #[serde(rename = "sync+restart")]
    SyncRestart,
    #[serde(rename = "sync+exec")]
    SyncExec,
}

impl Omit for WatchAction {
    fn omit(&self) -> bool {
        false
    }
}

//! The distribution protocol's client: pulling and pushing images.
//!
//! [`pull`] streams every layer from the socket through the hash into unpacking and the blob store
//! at once; [`push`] uploads what the registry lacks. Digests and sizes are always verified,
//! credentials go to nobody but the host they are for, and plain http is spoken only to loopback
//! addresses and to hosts the caller names. `transport` speaks HTTP (retries, redirects,
//! authentication), `credentials` reads Docker's configuration, `helper` asks
//! its helpers, [`login`] writes; `settings` is what the machine says about registries.

mod artifact;
mod auth;
mod blocking;
mod client;
mod credentials;
mod download;
mod error;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod helper;
mod login;
mod pull;
mod push;
mod refusal;
mod settings;
mod source;
mod tags;
#[cfg(test)]
pub(crate) mod tests;
mod transport;
mod upload;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use artifact::{artifact, layer, push_artifact};
pub use blocking::{
    digest_blocking, fetch_blocking, login_blocking, probe_blocking, pull_blocking, push_blocking,
    tags_blocking,
};
pub use credentials::Credentials;
pub use error::RegistryError;
pub use fetch::{FetchError, Fetched, fetch};
pub use login::{Keeper, login, logout, server};
pub use pull::{Pulled, digest, probe, pull};
pub use push::{Pushed, push};
pub use tags::tags;

use crate::image::Platform;

/// How registries are spoken to.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Which of an index's images; `None` is this machine's platform.
    pub platform: Option<Platform>,
    /// Use these instead of what Docker's configuration says.
    pub credentials: Option<Credentials>,
    /// Docker's configuration folder; `None` is `$DOCKER_CONFIG` or `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// Hosts that may be spoken to in plain http, or with certificates nobody vouches for.
    pub insecure: Vec<String>,
    /// Tried before docker.io itself: `https://mirror.example`.
    pub mirrors: Vec<String>,
    /// Transfers at a time.
    pub parallel: usize,
    /// Attempts of each request.
    pub attempts: u32,
    /// Pause before the second attempt; doubled each time up to eight seconds.
    pub first_pause: Duration,
    /// Upload blobs in pieces of this size instead of in one request.
    pub chunk: Option<u64>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            platform: None,
            credentials: None,
            docker_config: None,
            insecure: Vec::new(),
            mirrors: Vec::new(),
            parallel: 6,
            attempts: 5,
            first_pause: Duration::from_secs(1),
            chunk: None,
        }
    }
}

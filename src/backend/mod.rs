//! What the Compose side asks of a container engine: the trait, the adapter of
//! `gantry-engine` ([`engine`]), and the fake for tests (`fake`).
//!
//! # Vocabulary
//! A *container* is created from a specification, *prepared* (its process exists and is
//! parked before `execve`), *started*, and it *exits* by itself or is *stopped*. A stopped
//! container can be started again; a removed one is gone, with its anonymous volumes if asked.
//!
//! # Life cycle
//! `create -> prepare -> start -> (exit | stop | kill) -> start … -> remove`. `start` prepares
//! when nobody did. Every call is idempotent where repetition makes sense: starting a running
//! container, stopping a stopped one, and preparing a prepared one succeed and do nothing.
//!
//! # What must fail
//! - `create` with a name in use: `AlreadyExists`. With an unknown image, network: `NotFound`.
//! - Anything on an id that does not exist: `NotFound`.
//! - `remove` of a running container without [`Removal`]: `Conflict`.
//! - `remove_network` with running containers on it: `Conflict`.
//!
//! Calls are synchronous and may be made from several threads at once; the executor bounds
//! how many. Nothing here starts a thread or a runtime before it must: listing the containers
//! of a project is a handful of file reads.

pub mod engine;
#[cfg(test)]
pub mod fake;
mod types;

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

pub use gantry_engine::build::Cancel as BuildCancel;
pub use gantry_engine::engine::CommitOptions;
use gantry_engine::error::{Classify, ErrorKind};
use gantry_engine::spec::{ContainerSpec, NetworkSpec};

pub use types::*;

/// A failure of the engine: what was tried, why it failed, what kind of failure it is.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct BackendError {
    /// What could not be done, on what.
    pub what: String,
    /// The class.
    pub class: ErrorKind,
    /// A next step for the user.
    pub hint: Option<String>,
    /// What `docker run` and `exec` would end with, where a program could not be started: 125, 126, 127.
    pub exit_code: Option<u8>,
    /// The error with the user's own text, where it is about a place in that: shown instead.
    pub drawn: Option<String>,
    /// The engine's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BackendError {
    /// Wraps an engine error.
    pub fn wrap<E>(what: impl Into<String>, source: E) -> Self
    where
        E: Classify + std::error::Error + Send + Sync + 'static,
    {
        Self {
            what: what.into(),
            class: source.kind(),
            hint: None,
            exit_code: None,
            drawn: None,
            source: Some(Box::new(source)),
        }
    }

    /// An error without a cause below it.
    pub fn new(class: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            class,
            hint: None,
            exit_code: None,
            drawn: None,
            source: None,
        }
    }
}

impl Classify for BackendError {
    fn kind(&self) -> ErrorKind {
        self.class
    }
}

/// Result of a backend call.
pub type Result<T> = std::result::Result<T, BackendError>;

/// What was asked for and is not so, such as a limit that this machine cannot enforce.
pub type Warnings = Vec<String>;

/// A container engine, as the Compose side sees it. See the module for the rules.
pub trait Backend: Send + Sync {
    /// Every container that carries all of `labels` (an empty value matches any value).
    fn containers(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>>;
    /// Makes a container. Nothing runs yet.
    fn create(&self, spec: &ContainerSpec) -> Result<Made>;
    /// Brings a created container to the point just before its program begins.
    fn prepare(&self, id: &ContainerId) -> Result<Warnings>;
    /// Lets the program begin, after [`Backend::prepare`] where that was not done.
    fn start(&self, id: &ContainerId) -> Result<Warnings>;
    /// Asks the program to stop, and kills it after `timeout` (the container's own when `None`).
    fn stop(&self, id: &ContainerId, timeout: Option<Duration>) -> Result<()>;
    /// Sends a signal.
    fn kill(&self, id: &ContainerId, signal: &str) -> Result<()>;
    /// Freezes every process.
    fn pause(&self, id: &ContainerId) -> Result<()>;
    /// Thaws them.
    fn unpause(&self, id: &ContainerId) -> Result<()>;
    /// Gives it another name.
    fn rename(&self, id: &ContainerId, name: &str) -> Result<()>;
    /// Removes it.
    fn remove(&self, id: &ContainerId, how: Removal) -> Result<()>;
    /// Its processes.
    fn top(&self, id: &ContainerId) -> Result<ProcessTable>;
    /// Resource use at this moment.
    fn stats(&self, id: &ContainerId) -> Result<Usage>;
    /// Writes its root file system, without mounts, as a tar archive.
    fn export(&self, id: &ContainerId, out: &mut dyn std::io::Write) -> Result<()>;
    /// Makes an image of its files and settings; the image's id.
    fn commit(&self, id: &ContainerId, options: &CommitOptions) -> Result<String>;
    /// Output kept so far, and what follows, in the order it was written. Ends when the
    /// container has ended (with `follow`) or when what is kept has been read; stops early when
    /// `sink` returns [`Flow::Stop`].
    fn logs(
        &self,
        id: &ContainerId,
        query: &LogQuery,
        sink: &mut dyn FnMut(LogLine) -> Flow,
    ) -> Result<()>;
    /// Sends every change of containers with all of `labels` to `sink` until the subscription
    /// is dropped. Changes before the call are not told; list after subscribing.
    fn subscribe(&self, labels: &[(&str, &str)], sink: Sender<Change>) -> Result<Subscription>;
    /// Changes between `since` and now, as far as they are remembered: since the machine began,
    /// and not for ever.
    fn past_changes(&self, labels: &[(&str, &str)], since: SystemTime) -> Result<Vec<Change>>;
    /// Runs a program in a running container with this process's standard streams; returns its
    /// exit code. A detached one returns 0 at once.
    fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<i32>;
    /// Runs a program in a running container and collects its output.
    fn exec_quiet(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Output>;
    /// Connects this process's standard streams to a running (or prepared: it is then started)
    /// container; returns the container's exit code.
    fn attach(&self, id: &ContainerId, spec: &AttachSpec) -> Result<i32>;
    /// Reads a path of a container as a tar stream.
    fn archive_get(
        &self,
        id: &ContainerId,
        path: &str,
        follow: FollowLink,
        out: &mut dyn std::io::Write,
    ) -> Result<()>;
    /// Unpacks a tar stream into a directory of a container.
    fn archive_put(
        &self,
        id: &ContainerId,
        directory: &str,
        tar: &mut dyn std::io::Read,
    ) -> Result<()>;
    /// What a path in a container is; `None` when it does not exist.
    fn path_kind(&self, id: &ContainerId, path: &str) -> Result<Option<PathKind>>;
    /// Deletes a path of a container, with everything below it.
    fn delete_path(&self, id: &ContainerId, path: &str) -> Result<()>;

    /// Every network that carries all of `labels`.
    fn networks(&self, labels: &[(&str, &str)]) -> Result<Vec<Network>>;
    /// A network by name.
    fn network(&self, name: &str) -> Result<Option<Network>>;
    /// Makes a network.
    /// Returns what will not work as it should, because of the machine.
    fn create_network(&self, spec: &NetworkSpec) -> Result<Option<String>>;
    /// Removes a network.
    fn remove_network(&self, name: &str) -> Result<()>;

    /// Every volume that carries all of `labels`.
    fn volumes(&self, labels: &[(&str, &str)]) -> Result<Vec<Volume>>;
    /// A volume by name.
    fn volume(&self, name: &str) -> Result<Option<Volume>>;
    /// Makes a volume.
    fn create_volume(&self, spec: &VolumeSpec) -> Result<()>;
    /// Removes a volume.
    fn remove_volume(&self, name: &str) -> Result<()>;

    /// A local image by reference or id.
    fn image(&self, reference: &str) -> Result<Option<Image>>;
    /// Fetches an image; returns its id.
    fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(ImageProgress) + Sync),
    ) -> Result<String>;
    /// Uploads an image.
    fn push(&self, reference: &str, progress: &(dyn Fn(ImageProgress) + Sync)) -> Result<()>;
    /// Builds an image; returns its id.
    fn build(
        &self,
        request: &BuildSpec,
        cancel: &BuildCancel,
        progress: &(dyn Fn(BuildEvent) + Send + Sync),
    ) -> Result<String>;
    /// Removes an image's name, and the image with its last one.
    fn remove_image(&self, reference: &str) -> Result<()>;

    /// Takes the project's lock: two commands that change one project run one after the other.
    /// `waiting` is called once if somebody else holds it.
    fn lock_project(
        &self,
        project: &str,
        waiting: &mut dyn FnMut(),
    ) -> Result<Box<dyn ProjectLock>>;
}

/// The right to change a project, given back when dropped.
pub trait ProjectLock: std::fmt::Debug + Send + Sync {
    /// Lets others change the project while we only wait for something.
    fn release(&self) -> Result<()>;
    /// Takes it again, waiting for whoever has it.
    fn retake(&self) -> Result<()>;
}

/// A subscription that ends when dropped.
pub struct Subscription(pub Box<dyn Send>);

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

/// Where a build's files come from and what they become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildSpec {
    /// Directory, tar, URL or `None` for an empty context.
    pub context: Option<String>,
    /// Path of the Dockerfile, below the context or absolute; `None` is `Dockerfile`.
    pub dockerfile: Option<PathBuf>,
    /// The Dockerfile itself.
    pub inline: Option<String>,
    /// Stage to build.
    pub target: Option<String>,
    /// Arguments, resolved.
    pub args: Vec<(String, String)>,
    /// Names of the result.
    pub tags: Vec<String>,
    /// Labels of the result.
    pub labels: Vec<(String, String)>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Named contexts.
    pub contexts: Vec<(String, String)>,
    /// Secrets by id.
    pub secrets: Vec<(String, SecretSource)>,
    /// `id` or `id=path` of agent sockets.
    pub ssh: Vec<String>,
    /// `host=address` lines.
    pub extra_hosts: Vec<String>,
    /// Network of `RUN` steps.
    pub network: Option<String>,
    /// Bytes of `/dev/shm` in `RUN` steps.
    pub shm_size: Option<u64>,
    /// Soft and hard limits of `RUN` steps.
    pub ulimits: Vec<(String, gantry_engine::spec::Ulimit)>,
    /// `security.insecure`, `network.host`.
    pub entitlements: Vec<String>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Stages that ignore the cache.
    pub no_cache_filter: Vec<String>,
    /// Where steps may come from, as written.
    pub cache_from: Vec<String>,
    /// Where steps go, as written.
    pub cache_to: Vec<String>,
    /// Look for newer base images.
    pub pull: bool,
    /// Check the Dockerfile only.
    pub check: bool,
}

/// Where a build secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// Its content.
    Bytes(Vec<u8>),
}

impl BuildSpec {
    /// The context as a directory, when it is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.context
            .as_deref()
            .filter(|context| !gantry_engine::build::is_remote(context))
            .map(Path::new)
    }
}

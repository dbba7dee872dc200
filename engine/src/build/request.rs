//! What a caller asks a build for: plain data. Relative paths, `~` and environment
//! look-ups end before they reach this module.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::spec::{ExtraHost, Ulimit};

/// One build: a context, a Dockerfile, and every option of `docker build`.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The files that `COPY`, `ADD` and bind mounts see.
    pub context: ContextSource,
    /// Where the Dockerfile is.
    pub dockerfile: DockerfileSource,
    /// Stage to build (case does not matter); `None` is the last one.
    pub target: Option<String>,
    /// `--build-arg`, resolved: a bare `NAME` has taken the client's value, or is left out.
    pub args: IndexMap<String, String>,
    /// References given to the result.
    pub tags: Vec<String>,
    /// Labels put over those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
    /// `os/arch[/variant]`; empty is the machine's own. More than one is refused by name.
    pub platforms: Vec<String>,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `--ssh`, by id: the path of an agent's socket.
    pub ssh: BTreeMap<String, PathBuf>,
    /// `--build-context NAME=VALUE`: a directory, `docker-image://…`, `oci-layout://…`, or a git or tar URL.
    pub contexts: IndexMap<String, String>,
    /// Which steps must not take their result from the cache.
    pub no_cache: NoCache,
    /// When base images are looked up at their registry.
    pub pull: PullPolicy,
    /// Network of `RUN` steps that name none.
    pub network: RunNetwork,
    /// Lines for `/etc/hosts` of `RUN` steps.
    pub extra_hosts: Vec<ExtraHost>,
    /// Size of `/dev/shm` in `RUN` steps, in bytes.
    pub shm_size: Option<u64>,
    /// Resource limits of `RUN` steps.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Parent of the cgroups of `RUN` steps.
    pub cgroup_parent: Option<String>,
    /// `--allow`: `network.host`, `security.insecure`, `device[=…]`.
    pub entitlements: Vec<String>,
    /// `--cache-from`, as written.
    pub cache_from: Vec<String>,
    /// `--cache-to`, as written.
    pub cache_to: Vec<String>,
    /// What becomes of the result; empty stores it as an image.
    pub outputs: Vec<Output>,
    /// Tell why each step ran or did not.
    pub explain: bool,
    /// Parse and lint only; nothing runs.
    pub check: bool,
}

impl BuildRequest {
    /// The named context of this name, in any case.
    pub(super) fn context_of(&self, name: &str) -> Option<&str> {
        let mut contexts = self.contexts.iter();
        let found = contexts.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Where the context comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory, read in place.
    Directory(PathBuf),
    /// A tar stream, plain or compressed: a file, or `/dev/stdin`.
    Tar(PathBuf),
    /// `git` or `http(s)` address, with `#ref:subdir` for git.
    Url(String),
    /// No files at all (a Dockerfile alone on stdin).
    Empty,
}

impl Default for ContextSource {
    fn default() -> Self {
        Self::Directory(PathBuf::from("."))
    }
}

/// Where the Dockerfile comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile` (or `dockerfile`) at the root of the context.
    #[default]
    Default,
    /// A file of the machine when the context is a directory (it may lie outside of it),
    /// otherwise a path inside the context.
    Path(PathBuf),
    /// The text itself (`dockerfile_inline`, or stdin read by the caller), with the name that messages show.
    Text {
        /// Shown in messages: `-`, `compose.yaml:services.web.build.dockerfile_inline`.
        name: String,
        /// The bytes of the file.
        text: Vec<u8>,
    },
}

/// Where a secret's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read when a step uses it.
    File(PathBuf),
    /// The bytes themselves (an environment variable, resolved by the caller).
    Bytes(Vec<u8>),
}

/// Which steps ignore the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    Never,
    /// All of them.
    All,
    /// Those of the named stages (`--no-cache-filter`).
    Stages(Vec<String>),
}

/// When base images are pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// When the store lacks them.
    #[default]
    Missing,
    /// Always (`--pull`).
    Always,
    /// Never: what the store lacks is an error.
    Never,
}

/// The network of a `RUN` step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunNetwork {
    /// The engine's network `bridge`.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The machine's own; needs the entitlement `network.host` when a Dockerfile asks for it.
    Host,
    /// A network of the engine.
    Named(String),
}

/// What becomes of the result of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An image in the store.
    Image,
    /// The root file system as files below a directory.
    Local(PathBuf),
    /// The root file system as a tar file; `-` is standard output.
    Tar(PathBuf),
    /// An OCI layout in a tar file.
    Oci(PathBuf),
    /// A `docker load` archive.
    Docker(PathBuf),
    /// Nothing: the steps ran, that is all.
    None,
}

//! One container, as asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    DeviceSpec, DnsSpec, ExtraHost, Healthcheck, MountSpec, NetworkMode, PortSpec, Resources,
    SecuritySpec, Ulimit,
};

/// Everything that decides how a container is made and run.
///
/// `None` and empty mean "not asked for": the image's configuration, then Docker's
/// default, fills the gap when the container is created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Unique name (`[a-zA-Z0-9][a-zA-Z0-9_.-]*`); `None` lets the engine pick one.
    pub name: Option<String>,
    /// Image reference as the user wrote it: `host`, `nginx:1.27`, `repo@sha256:…` or an image id.
    pub image: String,
    /// `os/arch[/variant]`; `None` is the machine's own.
    pub platform: Option<String>,
    /// Replaces the image's `Cmd`. `Some(vec![])` clears it.
    pub command: Option<Vec<String>>,
    /// Replaces the image's `Entrypoint` and clears its `Cmd`. `Some(vec![])` clears both.
    pub entrypoint: Option<Vec<String>>,
    /// Variables over the image's; a `None` value removes the image's variable.
    pub env: IndexMap<String, Option<String>>,
    /// Labels over the image's.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// `user[:group]`, names or numbers, looked up in the container's own files.
    pub user: Option<String>,
    /// Groups added to the process, names or numbers.
    pub group_add: Vec<String>,
    /// Working directory; made when missing.
    pub working_dir: Option<String>,
    /// Host name; default: the first 12 digits of the container's id.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Give the process a terminal.
    pub tty: bool,
    /// Keep standard input open; otherwise it is `/dev/null`.
    pub open_stdin: bool,
    /// Close standard input when the first attached client leaves.
    pub stdin_once: bool,
    /// Run our small init as PID 1: forwards signals, reaps children.
    pub init: Option<bool>,
    /// Signal that asks the process to stop: `SIGTERM`, `TERM`, `15`, `RTMIN+3`.
    pub stop_signal: Option<String>,
    /// Time between the stop signal and SIGKILL; default 10 s.
    pub stop_timeout: Option<Duration>,
    /// When to start the process again after it ended.
    pub restart: RestartPolicy,
    /// Health probe over the image's; see [`Healthcheck::Disabled`].
    pub healthcheck: Option<Healthcheck>,
    /// Binds, volumes and tmpfs mounts, in mount order.
    pub mounts: Vec<MountSpec>,
    /// `name|id[:ro|rw]` of containers whose mounts are taken over.
    pub volumes_from: Vec<String>,
    /// Files written into the container before it starts (configs, secrets).
    pub files: Vec<FileSpec>,
    /// Which networks it joins.
    pub network: NetworkMode,
    /// Fixed MAC address for endpoints that name none.
    pub mac_address: Option<String>,
    /// Ports published on the host.
    pub ports: Vec<PortSpec>,
    /// Publish every exposed port on an ephemeral host port.
    pub publish_all: bool,
    /// Ports documented as used: `80/tcp`.
    pub expose: Vec<String>,
    /// Lines for `/etc/hosts`.
    pub extra_hosts: Vec<ExtraHost>,
    /// Resolver settings.
    pub dns: DnsSpec,
    /// Privileges and their limits.
    pub security: SecuritySpec,
    /// cgroup limits.
    pub resources: Resources,
    /// Host devices given to the container.
    pub devices: Vec<DeviceSpec>,
    /// Devices by the names that their makers gave them, `vendor.com/class=name`.
    #[serde(default)]
    pub cdi_devices: Vec<String>,
    /// Raw cgroup device rules, `c 42:* rmw`.
    pub device_cgroup_rules: Vec<String>,
    /// Resource limits of the process, by lower-case name without `RLIMIT_`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters, namespaced ones only.
    pub sysctls: BTreeMap<String, String>,
    /// Size of `/dev/shm` in bytes; default 64 MiB.
    pub shm_size: Option<u64>,
    /// Parent of the container's cgroup, below the hierarchy's root.
    pub cgroup_parent: Option<String>,
    /// No `/dev/shm`, unless it is that of another's IPC namespace.
    #[serde(default)]
    pub no_shm: bool,
    /// PID namespace.
    pub pid: NamespaceMode,
    /// IPC namespace.
    pub ipc: NamespaceMode,
    /// UTS namespace.
    pub uts: NamespaceMode,
    /// cgroup namespace.
    pub cgroup: NamespaceMode,
    /// User namespace.
    #[serde(default)]
    pub user_namespace: UserNamespace,
    /// Where output goes.
    pub log: LogSpec,
    /// Another OCI runtime, by name or path; `None` and `gantry` are our own.
    pub runtime: Option<String>,
    /// Remove the container and its anonymous volumes when it has ended.
    pub auto_remove: bool,
}

/// A file that is put into the container's writable layer before it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path in the container.
    pub target: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Which namespace a container uses for one kind of kernel resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The machine's.
    Host,
    /// That of another container, by name or id, which must be running.
    Container(String),
}

impl ContainerSpec {
    /// The containers whose namespaces it shares.
    pub fn joined(&self) -> impl Iterator<Item = &str> {
        let network = match &self.network {
            NetworkMode::Container(other) => Some(other.as_str()),
            _ => None,
        };
        let users = match &self.user_namespace {
            UserNamespace::Container(other) => Some(other.as_str()),
            _ => None,
        };
        let others = [&self.pid, &self.ipc, &self.uts].map(|mode| match mode {
            NamespaceMode::Container(other) => Some(other.as_str()),
            _ => None,
        });
        [network, users].into_iter().chain(others).flatten()
    }
}

/// Which ids the users of a container are for the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserNamespace {
    /// The same: root is the machine's root, with fewer rights.
    #[default]
    Host,
    /// Ids that nobody else has: root is nobody outside.
    Private,
    /// Those of another container, by name or id, whose other namespaces can then be shared too.
    Container(String),
}

/// When a container's process is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Always, also at boot, until it is stopped by hand; at boot even then.
    Always,
    /// Always, also at boot, unless it was stopped by hand.
    UnlessStopped,
    /// When it ended with a non-zero code.
    OnFailure {
        /// Give up after this many restarts; `None` never does.
        max_retries: Option<u32>,
    },
}

/// Where a container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Format and place.
    pub driver: LogDriver,
    /// Driver options as written: `max-size`, `max-file`, `labels` …
    pub options: BTreeMap<String, String>,
}

/// Log drivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// Docker's json-file format, rotated.
    #[default]
    JsonFile,
    /// The same: nobody but us reads the files of Docker's driver of this name, and its limits are our defaults.
    Local,
    /// Nothing is kept.
    None,
}

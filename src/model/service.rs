//! One service, every attribute of the specification, in canonical form.
//!
//! The order of fields is the order in which docker compose prints them; the configuration hash
//! is taken over that text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::build::{Build, Develop};
use super::deploy::{Deploy, DeviceRequest};
use super::mounts::{FileMount, Mount};
use super::network::{Attachment, Port};
use super::record::{Always, Nullable, Omit, record};
use super::scalar::{Bytes, Cpus, Duration};

/// A map of strings, sorted by key.
pub type StringMap = BTreeMap<String, String>;

/// Variables: a `None` value takes the caller's at run time and is unset when there is none.
pub type Environment = BTreeMap<String, Option<String>>;

record! {
    /// A service.
    Service {
        /// Profiles that enable it; empty: always enabled.
        profiles: Vec<String>,
        /// OCI annotations.
        annotations: StringMap,
        /// Whether `up` streams its output.
        attach: Option<bool>,
        /// How its image is built.
        build: Option<Build>,
        /// What `watch` does.
        develop: Option<Develop>,
        /// Block-device weights and limits.
        blkio_config: Option<Blkio>,
        /// Capabilities added.
        cap_add: Vec<String>,
        /// Capabilities dropped.
        cap_drop: Vec<String>,
        /// Parent cgroup.
        cgroup_parent: String,
        /// Cgroup namespace: `host` or `private`.
        cgroup: String,
        /// Number of processors (Windows).
        cpu_count: i64,
        /// Percentage of processors (Windows).
        cpu_percent: Cpus,
        /// CFS period in microseconds.
        cpu_period: i64,
        /// CFS quota in microseconds.
        cpu_quota: i64,
        /// Real-time period in microseconds.
        cpu_rt_period: i64,
        /// Real-time runtime in microseconds.
        cpu_rt_runtime: i64,
        /// Processors the service may use.
        cpus: Cpus,
        /// Processors it may run on (`0-3,5`).
        cpuset: String,
        /// Relative weight.
        cpu_shares: i64,
        /// Arguments that replace the image's; `Some(empty)` clears them.
        command: Nullable<Vec<String>>,
        /// Configs mounted.
        configs: Vec<FileMount>,
        /// Name of the only container.
        container_name: String,
        /// Credentials for managed accounts (Windows).
        credential_spec: Option<CredentialSpec>,
        /// Services it waits for.
        depends_on: BTreeMap<String, Dependency>,
        /// Replicas, limits, restart policy, placement.
        deploy: Option<Deploy>,
        /// Device cgroup rules.
        device_cgroup_rules: Vec<String>,
        /// Devices of the host.
        devices: Vec<Device>,
        /// Name servers.
        dns: Vec<String>,
        /// Resolver options.
        dns_opt: Vec<String>,
        /// Search domains.
        dns_search: Vec<String>,
        /// Domain name.
        domainname: String,
        /// Program that replaces the image's; `Some(empty)` clears it.
        entrypoint: Nullable<Vec<String>>,
        /// A program outside that provides the service.
        provider: Option<Provider>,
        /// Variables, those of `env_file` merged in.
        environment: Environment,
        /// Files of variables; kept only with environment resolution off.
        env_file: Vec<EnvFile>,
        /// Ports for other services, as text (`8080`, `9000-9002/udp`).
        expose: Vec<String>,
        /// Links to containers outside the project.
        external_links: Vec<String>,
        /// Lines for `/etc/hosts`, as `host=address`, sorted.
        extra_hosts: Vec<String>,
        /// Groups added.
        group_add: Vec<String>,
        /// GPU requests.
        gpus: Vec<DeviceRequest>,
        /// Host name.
        hostname: String,
        /// Health probe.
        healthcheck: Option<Healthcheck>,
        /// Image reference.
        image: String,
        /// Whether an init runs as PID 1.
        init: Option<bool>,
        /// IPC namespace (`service:x`, `container:x`, `host`, `shareable`, …).
        ipc: String,
        /// Isolation technology.
        isolation: String,
        /// Labels.
        labels: StringMap,
        /// Files of labels; kept only with environment resolution off.
        label_file: Vec<String>,
        /// Links, `service[:alias]`.
        links: Vec<String>,
        /// Log driver and options.
        logging: Option<Logging>,
        /// Memory limit.
        mem_limit: Bytes,
        /// Memory reservation.
        mem_reservation: Bytes,
        /// Memory and swap together; -1 is unlimited.
        memswap_limit: Bytes,
        /// Swappiness, 0 to 100.
        mem_swappiness: Bytes,
        /// MAC address on the default network.
        mac_address: String,
        /// AI models used.
        models: BTreeMap<String, Option<ServiceModel>>,
        /// `host`, `none`, `bridge`, `service:x`, `container:x`, or a network's name; see `Service::network_mode`.
        network_mode: String,
        /// Networks it joins.
        networks: BTreeMap<String, Option<Attachment>>,
        /// Whether the OOM killer is off.
        oom_kill_disable: bool,
        /// OOM score adjustment.
        oom_score_adj: i64,
        /// PID namespace.
        pid: String,
        /// Most processes; 0 is unset, -1 unlimited.
        pids_limit: i64,
        /// Platform (`linux/amd64`).
        platform: String,
        /// Published ports.
        ports: Vec<Port>,
        /// Whether it runs privileged.
        privileged: bool,
        /// When its image is pulled; see `PullPolicy::parse`.
        pull_policy: String,
        /// Whether its root file system is read-only.
        read_only: bool,
        /// Restart policy as written; see `RestartPolicy::parse`.
        restart: String,
        /// OCI runtime.
        runtime: String,
        /// Number of containers.
        scale: Option<i64>,
        /// Secrets mounted.
        secrets: Vec<FileMount>,
        /// Security options.
        security_opt: Vec<String>,
        /// Size of `/dev/shm`.
        shm_size: Bytes,
        /// Whether stdin stays open.
        stdin_open: bool,
        /// Time between the stop signal and SIGKILL.
        stop_grace_period: Option<Duration>,
        /// Signal that stops it.
        stop_signal: String,
        /// Storage driver options.
        storage_opt: StringMap,
        /// Kernel parameters.
        sysctls: StringMap,
        /// tmpfs mounts, `path[:options]`.
        tmpfs: Vec<String>,
        /// Whether it has a terminal.
        tty: bool,
        /// Resource limits of its processes.
        ulimits: BTreeMap<String, Ulimit>,
        /// Whether the engine's API socket is mounted.
        use_api_socket: bool,
        /// User of its processes.
        user: String,
        /// User namespace mode.
        userns_mode: String,
        /// UTS namespace.
        uts: String,
        /// Mounts.
        volumes: Vec<Mount>,
        /// Services or containers whose mounts it takes.
        volumes_from: Vec<String>,
        /// Working directory.
        working_dir: String,
        /// Run before the first start, in containers of their own.
        pre_start: Vec<Hook>,
        /// Run in the container after it started.
        post_start: Vec<Hook>,
        /// Run in the container before it is stopped.
        pre_stop: Vec<Hook>,
    }
}

impl Service {
    /// Number of containers asked for.
    pub fn replicas(&self) -> u32 {
        let asked = self
            .scale
            .or_else(|| self.deploy.as_ref().and_then(|d| d.replicas));
        asked.map_or(1, |n| u32::try_from(n).unwrap_or(0))
    }

    /// Whether something is built for it.
    pub fn is_buildable(&self) -> bool {
        self.build.is_some()
    }

    /// How its network namespace is made.
    pub fn network_mode(&self) -> NetworkMode<'_> {
        match self.network_mode.as_str() {
            "" => NetworkMode::Networks,
            "none" => NetworkMode::None,
            "host" => NetworkMode::Host,
            "bridge" | "default" => NetworkMode::Bridge,
            other => match other.split_once(':') {
                Some(("service", name)) => NetworkMode::Service(name),
                Some(("container", name)) => NetworkMode::Container(name),
                _ => NetworkMode::Named(other),
            },
        }
    }

    /// Networks in the order they are attached: priority first, then name.
    pub fn networks_by_priority(&self) -> Vec<(&str, Option<&Attachment>)> {
        let mut list: Vec<_> = self
            .networks
            .iter()
            .map(|(name, a)| (name.as_str(), a.as_ref()))
            .collect();
        list.sort_by_key(|(name, a)| (std::cmp::Reverse(a.map_or(0, |a| a.priority)), *name));
        list
    }
}

/// A parsed `network_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode<'a> {
    /// Unset: `networks` says.
    Networks,
    /// No network at all.
    None,
    /// The host's.
    Host,
    /// The engine's default bridge.
    Bridge,
    /// The namespace of another service's container.
    Service(&'a str),
    /// The namespace of a container.
    Container(&'a str),
    /// A network of the engine, by name.
    Named(&'a str),
}

/// A parsed `restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// Whenever it exits, also after the host was restarted.
    Always,
    /// When it fails; at most so many times.
    OnFailure(Option<u32>),
    /// As `Always`, unless it was stopped by hand.
    UnlessStopped,
}

impl RestartPolicy {
    /// Reads `no`, `always`, `unless-stopped`, `on-failure[:N]`; the empty text is `no`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "no" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-failure" => Self::OnFailure(None),
            other => Self::OnFailure(Some(other.strip_prefix("on-failure:")?.parse().ok()?)),
        })
    }
}

/// A parsed `pull_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Only when the image is not here; the default.
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
    /// Build it, every time.
    Build,
    /// When the local copy is older.
    Every(std::time::Duration),
}

impl PullPolicy {
    /// Reads the attribute; `None` for a text the specification does not know.
    pub fn parse(text: &str) -> Option<Self> {
        const DAY: u64 = 86_400;
        Some(match text {
            "" | "missing" | "if_not_present" => Self::Missing,
            "always" | "refresh" => Self::Always,
            "never" => Self::Never,
            "build" => Self::Build,
            "daily" => Self::Every(std::time::Duration::from_secs(DAY)),
            "weekly" => Self::Every(std::time::Duration::from_secs(7 * DAY)),
            other => {
                let mut rest = other.strip_prefix("every_")?;
                let mut total = 0u64;
                while !rest.is_empty() {
                    let end = rest.find(|c: char| !c.is_ascii_digit())?;
                    let unit = match rest[end..].chars().next()? {
                        'w' => 7 * DAY,
                        'd' => DAY,
                        'h' => 3600,
                        'm' => 60,
                        's' => 1,
                        _ => return None,
                    };
                    let count: u64 = rest[..end].parse().ok()?;
                    total = total.checked_add(count.checked_mul(unit)?)?;
                    rest = &rest[end + 1..];
                }
                Self::Every(std::time::Duration::from_secs(total))
            }
        })
    }
}

/// What a dependency must have reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Condition {
    /// Its containers run.
    #[default]
    #[serde(rename = "service_started")]
    Started,
    /// All its containers are healthy.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// It exited with 0.
    #[serde(rename = "service_completed_successfully")]
    CompletedSuccessfully,
}

impl Omit for Condition {
    fn omit(&self) -> bool {
        false
    }
}

record! {
    /// One dependency.
    Dependency {
        /// What it must have reached.
        condition: Condition,
        /// Whether this service is restarted when that one is recreated.
        restart: bool,
        /// Whether its absence is an error.
        required: Always<bool>,
    }
}

record! {
    /// A health probe.
    Healthcheck {
        /// `CMD`, `CMD-SHELL` or `NONE` and its arguments.
        test: Vec<String>,
        /// Longest time of one probe.
        timeout: Option<Duration>,
        /// Time between probes.
        interval: Option<Duration>,
        /// Failures in a row that make it unhealthy.
        retries: Option<u64>,
        /// Time at the beginning in which failures do not count.
        start_period: Option<Duration>,
        /// Time between probes in the start period.
        start_interval: Option<Duration>,
        /// Whether the image's probe is turned off.
        disable: bool,
    }
}

record! {
    /// Log driver and options.
    Logging {
        /// Driver.
        driver: String,
        /// Options.
        options: StringMap,
    }
}

record! {
    /// A program outside that provides the service.
    Provider {
        /// Program or plugin.
        r#type: String,
        /// Its options.
        options: BTreeMap<String, Vec<String>>,
    }
}

record! {
    /// A command run at a point of a container's life.
    Hook {
        /// Command.
        command: Nullable<Vec<String>>,
        /// Image of the hook's own container (`pre_start` only).
        image: String,
        /// User.
        user: String,
        /// Whether it runs privileged.
        privileged: bool,
        /// Working directory.
        working_dir: String,
        /// Variables.
        environment: Environment,
        /// Whether it runs for each replica (`pre_start` only).
        per_replica: bool,
    }
}

record! {
    /// A device of the host.
    Device {
        /// Path on the host, or a CDI name.
        source: String,
        /// Path in the container.
        target: String,
        /// Permissions among `rwm`.
        permissions: String,
    }
}

record! {
    /// Credentials for managed accounts.
    CredentialSpec {
        /// Name of a config.
        config: String,
        /// File.
        file: String,
        /// Registry key.
        registry: String,
    }
}

record! {
    /// A model a service uses.
    ServiceModel {
        /// Variable that gets the endpoint.
        endpoint_var: String,
        /// Variable that gets the model's name.
        model_var: String,
    }
}

/// Block-device weights and limits. The odd capitals are how docker compose prints them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub struct Blkio {
    #[serde(skip_serializing_if = "Omit::omit")]
    pub weight: u16,
    #[serde(skip_serializing_if = "Omit::omit")]
    pub weight_device: Vec<WeightDevice>,
    #[serde(skip_serializing_if = "Omit::omit")]
    pub device_read_bps: Vec<ThrottleDevice>,
    #[serde(skip_serializing_if = "Omit::omit")]
    pub device_read_iops: Vec<ThrottleDevice>,
    #[serde(skip_serializing_if = "Omit::omit")]
    pub device_write_bps: Vec<ThrottleDevice>,
    #[serde(skip_serializing_if = "Omit::omit")]
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// The weight of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightDevice {
    /// Device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Weight.
    #[serde(rename(serialize = "Weight"))]
    pub weight: u16,
}

/// The limit of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleDevice {
    /// Device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Bytes or operations a second.
    #[serde(rename(serialize = "Rate"))]
    pub rate: Bytes,
}

record! {
    /// A file of variables.
    EnvFile {
        /// Absolute path.
        path: String,
        /// Whether its absence is an error.
        required: Always<bool>,
        /// `raw`, or empty for the usual grammar.
        format: String,
    }
}

/// Limits of one resource. Serialised as a number, or as `soft` and `hard` without zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ulimit {
    /// Both limits at once; 0: `soft` and `hard` count.
    pub single: i64,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

impl Serialize for Ulimit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if self.single != 0 {
            return s.serialize_i64(self.single);
        }
        let mut map = s.serialize_map(None)?;
        for (key, value) in [("soft", self.soft), ("hard", self.hard)] {
            if value != 0 {
                map.serialize_entry(key, &value)?;
            }
        }
        map.end()
    }
}

impl Ulimit {
    /// Soft and hard limit.
    pub fn limits(&self) -> (i64, i64) {
        if self.single != 0 {
            (self.single, self.single)
        } else {
            (self.soft, self.hard)
        }
    }
}

/// Any value, for extensions.
pub type Any = Value;

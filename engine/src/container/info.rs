//! What callers learn about a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::network::Endpoint;
use crate::network::publish::Published;
use crate::spec::{ContainerSpec, TmpfsOptions};
use crate::state::ContainerId;
use crate::volume::FileSystem;

/// A container as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: ContainerSpec,
    /// The image, as asked for.
    pub image: String,
    /// The image's id, `sha256:…`.
    pub image_id: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How many words of `command` are the entrypoint.
    pub entrypoint_len: usize,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Its working directory.
    pub working_dir: String,
    /// Its host name.
    pub hostname: String,
    /// Its environment.
    pub env: Vec<String>,
    /// The image's labels and its own.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub state: State,
    /// Its health, where it has a probe.
    pub health: Option<Health>,
    /// The host ports it has, while it runs.
    pub ports: Vec<Published>,
    /// Ports the image or the specification document: `80/tcp`.
    pub exposed: Vec<String>,
    /// Its place in networks, while it runs.
    pub endpoints: Vec<Endpoint>,
    /// What is mounted into it.
    pub mounts: Vec<MountPoint>,
    /// How often it was started again by its restart policy.
    pub restart_count: u32,
    /// Its log file.
    pub log_path: PathBuf,
    /// Its cgroup, relative to each hierarchy's root.
    pub cgroup: String,
}

/// What a container does, and how it last ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// In one word.
    pub status: Status,
    /// Its first process in our namespace, while it runs.
    pub pid: Option<i32>,
    /// Last start.
    pub started_at: Option<Timestamp>,
    /// Last end.
    pub finished_at: Option<Timestamp>,
    /// Exit code of the last end; 128 plus the number for a signal.
    pub exit_code: u8,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// The kernel killed it, or one of its processes, for lack of memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: Option<String>,
    /// It was stopped by hand: `unless-stopped` then does not start it at boot.
    pub manually_stopped: bool,
    /// It runs, and a stop is under way.
    pub stopping: bool,
}

/// The state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started, or prepared and waiting.
    Created,
    /// Its first process lives.
    Running,
    /// Frozen.
    Paused,
    /// Ended, and waits to be started again.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Half removed.
    Dead,
}

impl Status {
    /// As Docker writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// A first process lives, or soon will again.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the probes say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five probes, oldest first.
    pub log: Vec<Probe>,
}

/// The verdict of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has decided yet.
    Starting,
    /// It works.
    Healthy,
    /// Too many probes failed in a row.
    Unhealthy,
}

impl HealthStatus {
    /// As Docker writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Begin.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// Its exit code; -1 when it could not run or took too long.
    pub exit_code: i32,
    /// What it printed, at most 4096 bytes.
    pub output: String,
}

/// A mount, with its source decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// What it is.
    pub kind: MountType,
    /// Host path; empty for what is mounted for the container alone.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// No writes.
    pub read_only: bool,
}

/// Users and groups that change places between a directory and its mount: the owner of the one, and the
/// container's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// User of the directory, and of the container.
    pub users: (u32, u32),
    /// Group of the directory, and of the container.
    pub groups: (u32, u32),
}

/// Kinds of mounts, with what each needs to be mounted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountType {
    /// A path of the host.
    Bind {
        /// Mount options of the specification: `rbind`, `rprivate` …
        options: Vec<String>,
        /// Ids that change places on the way.
        #[serde(default)]
        idmap: Option<IdMap>,
    },
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Made for this container, and goes with it.
        anonymous: bool,
        /// Only this directory of it.
        subpath: Option<String>,
        /// What to mount, when the volume is not a directory of this machine.
        file_system: Option<FileSystem>,
    },
    /// Memory.
    Tmpfs(TmpfsOptions),
    /// An image's root.
    Image {
        /// As asked for.
        reference: String,
        /// Its layers, topmost first.
        lower: Vec<PathBuf>,
        /// Only this directory of it.
        subpath: Option<String>,
    },
}

/// Which containers to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Also those that do not run.
    pub all: bool,
    /// Labels that all must be there; with a value, exactly that.
    pub labels: Vec<(String, Option<String>)>,
}

impl ListFilter {
    /// Every container.
    pub fn everything() -> Self {
        Self {
            all: true,
            labels: Vec::new(),
        }
    }

    /// Whether labels fit.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, wanted)| {
            labels
                .get(key)
                .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
        })
    }
}

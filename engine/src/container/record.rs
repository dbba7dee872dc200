//! What is kept of a container.
//!
//! Three records, each with one writer at a time: [`Record`] says what the container is
//! (the creator; a change by hand, under the container's lock), [`Outcome`] how it last ended, [`Live`] what it does
//! now (both the supervisor, or whoever holds its lock while there is none). The first two outlive a reboot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::mount::RootMount;
use crate::network::Endpoint;
use crate::network::publish::Published;
use crate::spec::ContainerSpec;
use crate::state::{ContainerId, Name};
pub use crate::sys::ProcessRef;

use super::ids::IdRange;
use super::info::{Health, MountPoint};

/// Version of all three.
pub const VERSION: u32 = 1;

/// What a container is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: Name,
    /// When it was made.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: ContainerSpec,
    /// The image's id.
    pub image_id: String,
    /// What image, specification and defaults add up to.
    pub resolved: Resolved,
    /// Its mounts, in order.
    pub mounts: Vec<MountPoint>,
    /// Its root file system.
    pub root: RootMount,
    /// Its cgroup, relative to each hierarchy's root.
    pub cgroup: String,
    /// The machine's ids that its user namespace has; `None` is the machine's own namespace.
    #[serde(default)]
    pub ids: Option<IdRange>,
}

/// Decisions made at creation, so that the supervisor needs neither image nor defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How many of `argv` are the entrypoint.
    pub entrypoint_len: usize,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Host name.
    pub hostname: String,
    /// Number of the stop signal.
    pub stop_signal: i32,
    /// Time between it and SIGKILL.
    pub stop_timeout: Duration,
    /// The image's labels and its own.
    pub labels: BTreeMap<String, String>,
    /// Documented ports, `80/tcp`.
    pub exposed: Vec<String>,
    /// The probe.
    pub probe: Option<ProbeConfig>,
    /// The program of another OCI runtime; `None` is ours.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
}

/// A health probe with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeConfig {
    /// Argument vector.
    pub test: Vec<String>,
    /// Time between probes.
    pub interval: Duration,
    /// Time a probe may take.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Failures this early do not count.
    pub start_period: Duration,
    /// Time between probes in `start_period`.
    pub start_interval: Duration,
}

/// How a container last ended, and what the user last wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Last start.
    pub started_at: Option<Timestamp>,
    /// Last end.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<ExitRecord>,
    /// Why it could not be started.
    pub error: Option<String>,
    /// Starts by the restart policy since the last start by hand.
    pub restart_count: u32,
    /// Stopped by hand.
    pub manually_stopped: bool,
    /// Last word of the probes.
    pub health: Option<Health>,
}

impl Outcome {
    /// It was started and nobody saw its end: the machine went down. Only where it does not run.
    pub fn was_interrupted(&self) -> bool {
        match (self.started_at, self.finished_at) {
            (Some(started), Some(finished)) => finished < started,
            (Some(_), None) => self.error.is_none(),
            (None, _) => false,
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code; 128 plus the number for a signal.
    pub code: u8,
    /// The signal.
    pub signal: Option<u8>,
    /// The kernel killed for lack of memory.
    pub oom_killed: bool,
}

/// What a container does now. Lives below the run directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The boot it belongs to.
    pub boot_id: String,
    /// What it does.
    pub phase: Phase,
    /// The first process.
    pub init: Option<ProcessRef>,
    /// The process that is the first one's parent.
    pub keeper: Option<ProcessRef>,
    /// Last start.
    pub started_at: Option<Timestamp>,
    /// Its place in networks.
    pub endpoints: Vec<Endpoint>,
    /// The host ports it has.
    pub ports: Vec<Published>,
    /// Starts by the restart policy since the last start by hand.
    pub restart_count: u32,
    /// What the probes say.
    pub health: Option<Health>,
    /// A stop by hand is under way or done.
    pub manually_stopped: bool,
    /// A stop is under way: the program has its signal, and ends within its grace.
    #[serde(default)]
    pub stopping: bool,
}

/// What a supervised container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its network and cgroup are being made.
    Preparing,
    /// Ready, before the program.
    Parked,
    /// Its program runs.
    Running,
    /// Frozen.
    Paused,
    /// Ended; its policy starts it again.
    Restarting,
    /// Ended for good; being cleaned up.
    Stopped,
}

/// Where the records and the files of a container are.
#[derive(Clone, Debug)]
pub struct Files {
    /// `containers/<id>`.
    pub dir: PathBuf,
    /// `run/c/<id>`.
    pub run: PathBuf,
}

#[expect(missing_docs, reason = "one path each; the names say it")]
impl Files {
    pub fn new(paths: &crate::state::Paths, id: &ContainerId) -> Self {
        Self {
            dir: paths.container(id),
            run: paths.run_container(id),
        }
    }
    pub fn record(&self) -> PathBuf {
        self.dir.join("container.json")
    }
    pub fn outcome(&self) -> PathBuf {
        self.dir.join("outcome.json")
    }
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }
    pub fn log(&self, id: &ContainerId) -> PathBuf {
        self.dir.join(format!("{id}-json.log"))
    }
    pub fn hosts(&self) -> PathBuf {
        self.run.join("hosts")
    }
    pub fn hostname(&self) -> PathBuf {
        self.run.join("hostname")
    }
    pub fn resolv_conf(&self) -> PathBuf {
        self.run.join("resolv.conf")
    }
    pub fn given(&self, index: usize) -> PathBuf {
        self.dir.join("files").join(index.to_string())
    }
    pub fn live(&self) -> PathBuf {
        self.run.join("live.json")
    }
    pub fn supervisor_lock(&self) -> PathBuf {
        self.run.join("lock")
    }
    pub fn exit(&self) -> PathBuf {
        self.run.join("exit.json")
    }
}

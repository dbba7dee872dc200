//! Limits and devices.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// cgroup limits; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory the kernel tries to leave to the container, in bytes.
    pub memory_reservation: Option<u64>,
    /// Memory plus swap in bytes; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// 0 to 100; cgroup v1 only.
    pub memory_swappiness: Option<u64>,
    /// Never kill on memory shortage; cgroup v1 only.
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// CPU time in cores: 1.5 is one and a half.
    pub cpus: Option<f64>,
    /// Relative weight, 2 to 262144; the kernel's default is 1024.
    pub cpu_shares: Option<u64>,
    /// CFS period in microseconds.
    pub cpu_period: Option<u64>,
    /// CFS quota in microseconds.
    pub cpu_quota: Option<i64>,
    /// Realtime period in microseconds; cgroup v1 only.
    pub cpu_rt_period: Option<u64>,
    /// Realtime runtime in microseconds; cgroup v1 only.
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs to run on: `0-2,5`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes: `0,1`.
    pub cpuset_mems: Option<String>,
    /// Number of processes and threads.
    pub pids: Option<i64>,
    /// Block device weights and rates.
    pub block_io: BlockIoLimits,
}

impl Resources {
    /// Takes over every limit that `other` names.
    pub fn change(&mut self, other: &Self) {
        fn take<T: Clone>(to: &mut Option<T>, from: &Option<T>) {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        take(&mut self.memory, &other.memory);
        take(&mut self.memory_reservation, &other.memory_reservation);
        take(&mut self.memory_swap, &other.memory_swap);
        take(&mut self.memory_swappiness, &other.memory_swappiness);
        take(&mut self.oom_score_adj, &other.oom_score_adj);
        // Two ways to say one thing: the later word counts.
        if other.cpus.is_some() {
            (self.cpu_period, self.cpu_quota) = (None, None);
        }
        if other.cpu_period.is_some() || other.cpu_quota.is_some() {
            self.cpus = None;
        }
        take(&mut self.cpus, &other.cpus);
        take(&mut self.cpu_shares, &other.cpu_shares);
        take(&mut self.cpu_period, &other.cpu_period);
        take(&mut self.cpu_quota, &other.cpu_quota);
        take(&mut self.cpu_rt_period, &other.cpu_rt_period);
        take(&mut self.cpu_rt_runtime, &other.cpu_rt_runtime);
        take(&mut self.cpuset_cpus, &other.cpuset_cpus);
        take(&mut self.cpuset_mems, &other.cpuset_mems);
        take(&mut self.pids, &other.pids);
        take(&mut self.block_io.weight, &other.block_io.weight);
    }
}

/// Block device limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockIoLimits {
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// Weight per device.
    pub weight_device: Vec<BlockIoDevice>,
    /// Bytes per second read.
    pub read_bps: Vec<BlockIoDevice>,
    /// Bytes per second written.
    pub write_bps: Vec<BlockIoDevice>,
    /// Reads per second.
    pub read_iops: Vec<BlockIoDevice>,
    /// Writes per second.
    pub write_iops: Vec<BlockIoDevice>,
}

/// A number for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIoDevice {
    /// Device node on the host.
    pub path: PathBuf,
    /// Weight or rate.
    pub value: u64,
}

/// A host device, or a directory of them, for the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub target: String,
    /// Letters of `rwm`.
    pub permissions: String,
}

/// Soft and hard limit; -1 is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What the process starts with.
    pub soft: i64,
    /// What it can raise itself to.
    pub hard: i64,
}

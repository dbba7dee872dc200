//! What a container uses and what befalls it, as `runc events` tells it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::cgroup::Cgroup;

use super::store::living;
use super::{OciError, Status, Store};

/// A container that is watched.
#[derive(Debug)]
pub struct Watch {
    id: String,
    cgroup: Cgroup,
    init: OwnedFd,
    oom_kills: u64,
}

/// Begins to watch a container.
pub fn watch(store: &Store, id: &str) -> Result<Watch, OciError> {
    let (record, status) = store.look(id)?;
    let not_running = |status| OciError::Status {
        action: "watch",
        id: id.to_owned(),
        status,
    };
    let init = record.init.and_then(living);
    let init = init.ok_or_else(|| not_running(status))?;
    if status == Status::Stopped {
        return Err(not_running(status));
    }
    let cgroup = record.open_cgroup()?;
    let oom_kills = cgroup.oom_kills()?;
    Ok(Watch {
        id: id.to_owned(),
        cgroup,
        init,
        oom_kills,
    })
}

impl Watch {
    /// What it uses now.
    pub fn stats(&self) -> Result<Value, OciError> {
        let used = self.cgroup.stats()?;
        let entries = self.cgroup.io_entries();
        Ok(self.event(
            "stats",
            json!({
                "cpu": {
                    "usage": {
                        "total": used.cpu_usage,
                        "kernel": used.cpu_system,
                        "user": used.cpu_user,
                    },
                    "throttling": {
                        "periods": used.cpu_periods,
                        "throttledPeriods": used.cpu_throttled_periods,
                        "throttledTime": used.cpu_throttled_time,
                    },
                },
                "cpuset": {},
                "memory": {
                    "usage": {
                        "limit": used.memory_limit.unwrap_or(u64::MAX),
                        "usage": used.memory_total,
                        "max": used.memory_peak,
                        "failcnt": 0,
                    },
                    "raw": self.cgroup.memory_counters(),
                },
                // As in runc, no limit is 0.
                "pids": { "current": used.pids, "limit": used.pids_limit.unwrap_or(0) },
                "blkio": { "ioServiceBytesRecursive": entries },
                "hugetlb": {},
                "intel_rdt": {},
                "network_interfaces": null,
            }),
        ))
    }

    /// Whether the kernel has killed a process for lack of memory since the last question.
    pub fn oom(&mut self) -> Option<Value> {
        // The cgroup of one that has ended may be gone.
        let kills = self.cgroup.oom_kills().ok()?;
        let more = kills > std::mem::replace(&mut self.oom_kills, kills);
        more.then(|| self.event("oom", Value::Null))
    }

    /// Waits; whether the container has ended.
    pub fn ends_within(&self, interval: Duration) -> Result<bool, OciError> {
        let deadline = std::time::Instant::now() + interval;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let left = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(
                &mut [PollFd::new(&self.init.as_fd(), PollFlags::IN)],
                Some(&left),
            ) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    return Err(OciError::File {
                        action: "watch",
                        path: self.id.as_str().into(),
                        source: error.into(),
                    });
                }
            }
        }
    }

    fn event(&self, kind: &str, data: Value) -> Value {
        let mut event = json!({ "type": kind, "id": self.id });
        if !data.is_null() {
            event["data"] = data;
        }
        event
    }
}

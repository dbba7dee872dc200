//! What a container uses, with Docker's formulas.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Cgroup, CgroupError, Version, read};

/// Usage of a container, with Docker's formulas.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// CPU time in nanoseconds.
    pub cpu_usage: u64,
    /// Of it in user mode.
    pub cpu_user: u64,
    /// Of it in kernel mode.
    pub cpu_system: u64,
    /// Periods that ended in throttling.
    pub cpu_throttled_periods: u64,
    /// Periods that passed.
    pub cpu_periods: u64,
    /// Nanoseconds throttled.
    pub cpu_throttled_time: u64,
    /// Bytes as `docker stats` shows them: without the inactive page cache.
    pub memory_usage: u64,
    /// Bytes with it.
    pub memory_total: u64,
    /// Peak of the total, where the kernel counts it.
    pub memory_peak: Option<u64>,
    /// Limit; `None` is none.
    pub memory_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: u64,
    /// Bytes written.
    pub io_write: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Their limit; `None` is none.
    pub pids_limit: Option<u64>,
}

/// Bytes that went to or came from one block device.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IoEntry {
    /// Of the device.
    pub major: u64,
    /// Of the device.
    pub minor: u64,
    /// `Read` or `Write`.
    pub op: &'static str,
    /// Bytes.
    pub value: u64,
}

impl Cgroup {
    /// The kernel's own counters of memory, by their names.
    pub fn memory_counters(&self) -> BTreeMap<String, u64> {
        let file = self
            .route("memory")
            .map(|(_, directory)| directory.join("memory.stat"));
        let text = file.and_then(|file| std::fs::read_to_string(file).ok());
        let text = text.unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
            .collect()
    }

    /// What went to and came from each block device.
    pub fn io_entries(&self) -> Vec<IoEntry> {
        match self.route("blkio").or_else(|| self.route("io")) {
            Some((Version::V1, directory)) => entries_v1(&text_v1(&directory)),
            Some((Version::V2, directory)) => {
                entries_v2(&std::fs::read_to_string(directory.join("io.stat")).unwrap_or_default())
            }
            None => Vec::new(),
        }
    }

    /// What it uses. A controller that the machine does not have counts nothing.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        if let Some((version, directory)) = self.route("memory") {
            memory(version, &directory, &mut stats)?;
        }
        match (self.route("cpuacct"), self.route("cpu")) {
            (Some((Version::V1, account)), cpu) => {
                account_v1(&account, &mut stats)?;
                if let Some((Version::V1, cpu)) = cpu {
                    throttling(&read(&cpu.join("cpu.stat"))?, 1, &mut stats);
                }
            }
            // v2 counts CPU time in every cgroup, with or without the controller.
            _ => {
                if let Some(directory) = self.unified() {
                    cpu_v2(&read(&directory.join("cpu.stat"))?, &mut stats);
                }
            }
        }
        for entry in self.io_entries() {
            let sum = match entry.op {
                "Read" => &mut stats.io_read,
                _ => &mut stats.io_write,
            };
            *sum = sum.saturating_add(entry.value);
        }
        if let Some((_, directory)) = self.route("pids") {
            stats.pids = number(&directory.join("pids.current"))?.unwrap_or(0);
            stats.pids_limit = number(&directory.join("pids.max"))?;
        }
        Ok(stats)
    }

    /// How many of its processes the kernel has killed for lack of memory. Read it before [`Cgroup::remove`].
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Ok(match self.route("memory") {
            Some((Version::V1, directory)) => {
                field(&read(&directory.join("memory.oom_control"))?, "oom_kill")
            }
            Some((Version::V2, directory)) => {
                field(&read(&directory.join("memory.events"))?, "oom_kill")
            }
            None => None,
        }
        .unwrap_or(0))
    }
}

/// A file with one number; `max` and v1's page-aligned "no limit" are none.
fn number(path: &Path) -> Result<Option<u64>, CgroupError> {
    const NO_LIMIT: u64 = i64::MAX as u64 & !0xffff;
    Ok(read(path)?.trim().parse().ok().filter(|&n| n < NO_LIMIT))
}

/// The number behind a name at the beginning of a line.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

fn memory(version: Version, directory: &Path, stats: &mut Stats) -> Result<(), CgroupError> {
    let (usage, peak, limit, inactive) = match version {
        Version::V1 => (
            "memory.usage_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.limit_in_bytes",
            "total_inactive_file",
        ),
        Version::V2 => (
            "memory.current",
            "memory.peak",
            "memory.max",
            "inactive_file",
        ),
    };
    stats.memory_total = number(&directory.join(usage))?.unwrap_or(0);
    stats.memory_peak = number(&directory.join(peak)).unwrap_or(None);
    stats.memory_limit = number(&directory.join(limit))?;
    let cache = field(&read(&directory.join("memory.stat"))?, inactive).unwrap_or(0);
    // Docker shows the total when the cache seems larger: the two are not read at one moment.
    stats.memory_usage = if cache < stats.memory_total {
        stats.memory_total - cache
    } else {
        stats.memory_total
    };
    Ok(())
}

fn account_v1(directory: &Path, stats: &mut Stats) -> Result<(), CgroupError> {
    stats.cpu_usage = number(&directory.join("cpuacct.usage"))?.unwrap_or(0);
    stats.cpu_user = number(&directory.join("cpuacct.usage_user"))
        .ok()
        .flatten()
        .unwrap_or(0);
    stats.cpu_system = number(&directory.join("cpuacct.usage_sys"))
        .ok()
        .flatten()
        .unwrap_or(0);
    Ok(())
}

fn cpu_v2(text: &str, stats: &mut Stats) {
    let nanoseconds = |name| field(text, name).unwrap_or(0).saturating_mul(1000);
    stats.cpu_usage = nanoseconds("usage_usec");
    stats.cpu_user = nanoseconds("user_usec");
    stats.cpu_system = nanoseconds("system_usec");
    throttling(text, 1000, stats);
}

/// v1 counts nanoseconds as `throttled_time`, v2 microseconds as `throttled_usec`.
fn throttling(text: &str, factor: u64, stats: &mut Stats) {
    stats.cpu_periods = field(text, "nr_periods").unwrap_or(0);
    stats.cpu_throttled_periods = field(text, "nr_throttled").unwrap_or(0);
    let time = field(text, "throttled_usec").or_else(|| field(text, "throttled_time"));
    stats.cpu_throttled_time = time.unwrap_or(0).saturating_mul(factor);
}

fn text_v1(directory: &Path) -> String {
    let files = [
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes",
    ];
    files
        .iter()
        .find_map(|file| std::fs::read_to_string(directory.join(file)).ok())
        .unwrap_or_default()
}

/// The numbers of a device as the kernel writes them: `8:0`.
fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines such as `8:0 Read 4096`; the last one is a total.
fn entries_v1(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let (major, minor) = device(words.next()?)?;
        let op = match words.next()? {
            "Read" => "Read",
            "Write" => "Write",
            _ => return None,
        };
        let value = words.next()?.parse().ok()?;
        Some(IoEntry {
            major,
            minor,
            op,
            value,
        })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn entries_v2(text: &str) -> Vec<IoEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let op = match key {
                "rbytes" => "Read",
                "wbytes" => "Write",
                _ => continue,
            };
            entries.extend(value.parse().ok().map(|value| IoEntry {
                major,
                minor,
                op,
                value,
            }));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_count_bytes_by_device() {
        let short = |entries: Vec<IoEntry>| -> Vec<String> {
            let text = |e: &IoEntry| format!("{}:{} {} {}", e.major, e.minor, e.op, e.value);
            entries.iter().map(text).collect()
        };
        let v2 = entries_v2("254:0 rbytes=10 wbytes=20 rios=1\n8:1 rbytes=5\n\nx rbytes=1\n");
        assert_eq!(short(v2), ["254:0 Read 10", "254:0 Write 20", "8:1 Read 5"]);
        let v1 = entries_v1("8:0 Read 7\n8:0 Write 8\n8:0 Sync 15\nTotal 15\n");
        assert_eq!(short(v1), ["8:0 Read 7", "8:0 Write 8"]);
    }

    #[test]
    fn v2_files_are_summed() {
        let mut stats = Stats::default();
        cpu_v2(
            "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 2\nnr_throttled 1\nthrottled_usec 9\n",
            &mut stats,
        );
        assert_eq!((stats.cpu_usage, stats.cpu_user), (7000, 4000));
        assert_eq!((stats.cpu_periods, stats.cpu_throttled_time), (2, 9000));
    }

    #[test]
    fn fields_are_whole_words() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let mut stats = Stats::default();
            entries_v1(&text);
            entries_v2(&text);
            cpu_v2(&text, &mut stats);
        }
    }
}

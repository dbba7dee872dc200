//! A process's number together with what tells it from a later process of the same number.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// A process that can be told from a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its number in our namespace.
    pub pid: i32,
    /// When it began, in clock ticks since boot (proc(5), field 22 of stat).
    pub start_time: u64,
}

impl ProcessRef {
    /// Of a live process of this number; `None` when there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some(Self {
            pid,
            start_time: start_time(&stat)?,
        })
    }

    /// Whether it is there, as a live process or a zombie.
    pub fn exists(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A descriptor for it; `None` when it is gone.
    pub fn open(self) -> Option<OwnedFd> {
        let pid = rustix::process::Pid::from_raw(self.pid)?;
        let fd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        // Opened first and compared then: the number cannot be given away in between.
        self.exists().then_some(fd)
    }
}

/// Field 22 of /proc/pid/stat. The second field is a name in parentheses that may hold anything.
fn start_time(stat: &[u8]) -> Option<u64> {
    let after_name = stat.iter().rposition(|&b| b == b')')? + 1;
    let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    text.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_cannot_forge_its_start_time() {
        let stat = b"7 (a) 1 1 1) S 1 7 7 0 -1 0 1 1 1 1 1 1 1 1 20 0 1 0 4711 1 1";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time(b""), None);
    }

    #[test]
    fn this_process_exists_and_another_start_does_not() {
        let us = ProcessRef::of(std::process::id() as i32).unwrap();
        assert!(us.exists());
        let other = ProcessRef {
            start_time: us.start_time + 1,
            ..us
        };
        assert!(!other.exists() && other.open().is_none());
    }
}

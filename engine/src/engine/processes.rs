//! The processes of a container: `top`, `stats`.

use std::fs;

use rustix::process::Pid;

use crate::cgroup::{Cgroup, Layout, Stats};
use crate::container::ContainerError;
use crate::runtime::RuntimeError;

use super::{Engine, Result};

/// Clock ticks a second in /proc: USER_HZ, fixed by the kernel's interface.
const TICKS: u64 = 100;

/// A table as `top` prints it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ProcessTable {
    /// Column heads.
    pub titles: Vec<&'static str>,
    /// One row a process.
    pub rows: Vec<Vec<String>>,
}

impl ProcessTable {
    /// Of these processes, in their order; those that have just ended are left out.
    pub fn of(pids: &[Pid]) -> Self {
        let uptime = fs::read_to_string("/proc/uptime")
            .ok()
            .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
            .unwrap_or_default();
        // Of the machine, as `ps` there would show them.
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self {
            titles: vec!["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
            rows: pids
                .iter()
                .filter_map(|pid| row(pid.as_raw_pid(), uptime, &users))
                .collect(),
        }
    }
}

impl Engine {
    fn members_of(&self, reference: &str, action: &'static str) -> Result<Members> {
        let container = self.inspect(reference)?;
        let Some(init) = container.state.pid else {
            return Err(ContainerError::State {
                action,
                name: container.name,
                reason: "it is not running".to_owned(),
            }
            .into());
        };
        let open = || -> std::result::Result<Members, RuntimeError> {
            let layout = Layout::detect()?;
            Ok(if layout.hierarchies().next().is_some() {
                Members::Cgroup(Cgroup::open(&layout, &container.cgroup)?)
            } else {
                Members::Namespace(in_namespace_of(init))
            })
        };
        Ok(open().map_err(ContainerError::from)?)
    }

    /// The processes of a container, in the columns of `ps -ef`.
    pub fn top(&self, reference: &str) -> Result<ProcessTable> {
        let pids = match self.members_of(reference, "list the processes of")? {
            Members::Cgroup(cgroup) => cgroup
                .pids()
                .map_err(RuntimeError::from)
                .map_err(ContainerError::from)?,
            Members::Namespace(pids) => pids,
        };
        Ok(ProcessTable::of(&pids))
    }

    /// What a container uses.
    pub fn stats(&self, reference: &str) -> Result<Stats> {
        match self.members_of(reference, "measure")? {
            Members::Cgroup(cgroup) => Ok(cgroup
                .stats()
                .map_err(RuntimeError::from)
                .map_err(ContainerError::from)?),
            Members::Namespace(pids) => Ok(sum(&pids)),
        }
    }
}

/// How the processes of a container are told from others.
enum Members {
    /// By their cgroup.
    Cgroup(Cgroup),
    /// By their pid namespace, where no cgroup may be made: these are they.
    Namespace(Vec<Pid>),
}

/// The processes whose pid namespace is that of this one.
fn in_namespace_of(init: i32) -> Vec<Pid> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(&init.to_string()) else {
        return Vec::new();
    };
    let Ok(list) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let names = list.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|name| namespace(name).as_ref() == Some(&wanted))
        .filter_map(|name| Pid::from_raw(name.parse().ok()?))
        .collect()
}

/// What these processes use together; shared pages count once a process.
fn sum(pids: &[Pid]) -> Stats {
    let mut stats = Stats::default();
    for pid in pids.iter().map(|pid| pid.as_raw_pid()) {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else {
            continue;
        };
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<u64> = after_name
            .split_ascii_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        // Fields of proc(5), counted from the third.
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let nanoseconds = 1_000_000_000 / TICKS;
        stats.cpu_user += field(11) * nanoseconds;
        stats.cpu_system += field(12) * nanoseconds;
        stats.pids += field(17);
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        stats.memory_usage += kibibytes.unwrap_or_default() << 10;
    }
    stats.cpu_usage = stats.cpu_user + stats.cpu_system;
    stats.memory_total = stats.memory_usage;
    stats
}

/// The name of a user in a passwd(5) file.
fn user_name<'a>(passwd: &'a str, id: &str) -> Option<&'a str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id && !name.is_empty()).then_some(name)
    })
}

/// One row; `None` for a process that has just ended.
fn row(pid: i32, uptime: f64, users: &str) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    // Fields of proc(5), counted from the third.
    let (parent, terminal) = (number(1)?, number(4)?);
    let ticks = TICKS;
    let cpu = (number(11)? + number(12)?) / ticks;
    let age = (uptime - number(19)? as f64 / ticks as f64).max(0.0);
    let user = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_ascii_whitespace()
        .nth(1)?;
    let user = user_name(users, user).unwrap_or(user).to_owned();
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = if command.is_empty() {
        format!("[{name}]")
    } else {
        let words: Vec<String> = command
            .split(|&byte| byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        words.join(" ")
    };
    let load = if age > 0.0 {
        (cpu as f64 * 100.0 / age) as u64
    } else {
        0
    };
    let began = jiff::Timestamp::now()
        .checked_sub(jiff::SignedDuration::from_secs_f64(age))
        .ok()?;
    Some(vec![
        user,
        pid.to_string(),
        parent.to_string(),
        load.to_string(),
        began.strftime("%H:%M").to_string(),
        match terminal {
            0 => "?".to_owned(),
            // Major 136 is the first of the pseudo terminals.
            device => format!("pts/{}", device & 0xff),
        },
        format!("{:02}:{:02}:{:02}", cpu / 3600, cpu / 60 % 60, cpu % 60),
        command,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_those_of_its_namespace() {
        let us = rustix::process::getpid();
        assert!(in_namespace_of(us.as_raw_pid()).contains(&us));
        let stats = sum(&[us]);
        assert!(stats.memory_usage > 0 && stats.pids > 0, "{stats:?}");
        assert_eq!(sum(&[]), Stats::default());
    }

    #[test]
    fn this_process_has_a_row() {
        let user = rustix::process::getuid().as_raw();
        let users = format!("bob:x:4:{user}::/:\nann:x:{user}:0::/:/bin/sh\n");
        let row = row(std::process::id() as i32, 1e9, &users).unwrap();
        assert_eq!(row.len(), 8);
        assert_eq!(row[0], "ann");
        assert_eq!(row[1], std::process::id().to_string());
        assert_eq!(super::row(-1, 0.0, ""), None);
    }
}

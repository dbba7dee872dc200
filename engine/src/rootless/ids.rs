//! Which ids a user's namespace has: the user as root, and the ranges that /etc/subuid and
//! /etc/subgid give them (subuid(5)), mapped by shadow's newuidmap and newgidmap.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::RootlessError;

/// A range of ids of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

/// Gives the namespace of a process its ids. The process is ours, and waits.
pub(super) fn map(pid: u32) -> Result<(), RootlessError> {
    let user = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    let name = name_of(user);
    let ranges = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        parse(&text, user, name.as_deref())
    };
    let (users, groups) = (ranges("/etc/subuid"), ranges("/etc/subgid"));
    if !users.is_empty() && !groups.is_empty() {
        let mapped = run("newuidmap", "/etc/subuid", pid, &lines(user, &users))
            .and_then(|()| run("newgidmap", "/etc/subgid", pid, &lines(group, &groups)));
        match mapped {
            // Ranges without the programs that may use them are worth nothing.
            Err(Mapping::Absent) => {}
            Err(Mapping::Failed(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
    one(pid, user, group).map_err(super::step("map an id into"))
}

/// The user alone, as root.
fn one(pid: u32, user: u32, group: u32) -> io::Result<()> {
    // Else a process could drop a group that keeps it out of something (CVE-2014-8989).
    fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("0 {user} 1"))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("0 {group} 1"))
}

/// Where programs are that may do more than who runs them. The user's PATH is not asked: what it names first may be anybody's,
/// and would be believed to have mapped the ids.
const PLACES: &[&str] = &[
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    // NixOS and Guix.
    "/run/wrappers/bin",
    "/run/privileged/bin",
];

fn find(name: &str, places: &[&str]) -> Option<PathBuf> {
    let mut files = places.iter().map(|place| Path::new(place).join(name));
    files.find(|file| file.is_file())
}

/// A program with more rights than we have gets nothing of ours but its arguments.
fn helper(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command
}

enum Mapping {
    Absent,
    Failed(RootlessError),
}

fn run(name: &str, file: &'static str, pid: u32, numbers: &[u32]) -> Result<(), Mapping> {
    let failed = |message| Mapping::Failed(RootlessError::Map { file, message });
    let program = find(name, PLACES).ok_or(Mapping::Absent)?;
    let numbers = numbers.iter().map(u32::to_string);
    match helper(&program).arg(pid.to_string()).args(numbers).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Mapping::Absent),
        Err(error) => Err(failed(format!(
            "cannot run `{}`: {error}",
            program.display()
        ))),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}

/// Triples of newuidmap(1): id here, id outside, how many. The user is root, the ranges follow.
fn lines(own: u32, ranges: &[Range]) -> Vec<u32> {
    let mut numbers = vec![0, own, 1];
    let mut next = 1;
    for range in ranges {
        numbers.extend([next, range.first, range.count]);
        next += range.count;
    }
    numbers
}

/// The ranges of a user in lines `user:first:count`, where the user is a name or an id.
fn parse(text: &str, user: u32, name: Option<&str>) -> Vec<Range> {
    let mut total: u32 = 1;
    let range = |line: &str| {
        let mut parts = line.trim().split(':');
        let owner = parts.next()?;
        if Some(owner) != name && owner != user.to_string() {
            return None;
        }
        let range = Range {
            first: parts.next()?.parse().ok()?,
            count: parts.next()?.parse().ok()?,
        };
        (range.count > 0 && parts.next().is_none()).then_some(range)
    };
    // More ids than there are cannot be mapped.
    let fits = |range: &Range| {
        total = total.saturating_add(range.count);
        total < u32::MAX && range.first.checked_add(range.count).is_some()
    };
    text.lines().filter_map(range).filter(fits).collect()
}

/// A user's name, from /etc/passwd, or where accounts come from elsewhere, from the environment.
fn name_of(user: u32) -> Option<String> {
    let known = fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        text.lines().find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
        })
    });
    known.or_else(|| std::env::var("USER").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u32, u32)]) {
        let expected: Vec<Range> = expected
            .iter()
            .map(|&(first, count)| Range { first, count })
            .collect();
        assert_eq!(parse(text, 1000, Some("ann")), expected, "{text:?}");
    }

    #[test]
    fn ranges_are_those_of_the_user() {
        check("", &[]);
        check("bob:100000:65536\n", &[]);
        check("bob:1:2\nann:100000:65536\n", &[(100_000, 65536)]);
        check("1000:5:7\n ann:100:200 \n", &[(5, 7), (100, 200)]);
    }

    #[test]
    fn broken_lines_give_nothing() {
        for line in [
            "ann",
            "ann:",
            "ann:1",
            "ann:x:y",
            "ann:1:0",
            "ann:1:2:3",
            "ann:-1:5",
        ] {
            check(line, &[]);
        }
        check("ann:4294967295:2", &[]);
        check("ann:1:4294967290\nann:1:4294967290", &[(1, 4_294_967_290)]);
    }

    #[test]
    fn a_helper_is_the_machines_and_learns_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().to_str().expect("text");
        assert_eq!(find("newuidmap", &[place]), None);
        fs::write(dir.path().join("newuidmap"), "").expect("written");
        let found = find("newuidmap", &["/nowhere", place]);
        assert_eq!(found, Some(dir.path().join("newuidmap")));
        assert!(PLACES.iter().all(|place| place.starts_with('/')));

        let output = helper(Path::new("/usr/bin/env")).output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let output = helper(Path::new("/bin/sh"))
            .args(["-c", "pwd; cat"])
            .output();
        assert_eq!(output.expect("runs").stdout, b"/\n");
    }

    #[test]
    fn the_user_is_root_and_ranges_follow_each_other() {
        let range = |first, count| Range { first, count };
        let ranges = [range(100_000, 65536), range(500_000, 10)];
        let expected = [0, 1000, 1, 1, 100_000, 65536, 65537, 500_000, 10];
        assert_eq!(lines(1000, &ranges), expected);
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read(text in "(ann:[0-9]{0,11}:[0-9]{0,11}\n|.*\n){0,6}") {
            let ranges = parse(&text, 1000, Some("ann"));
            let total: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
            proptest::prop_assert!(total < u64::from(u32::MAX));
            let _ = lines(1000, &ranges);
        }
    }
}

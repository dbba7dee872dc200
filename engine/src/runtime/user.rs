//! `user[:group]` of an image or of `--user`, looked up in a container's own files.
//!
//! The files belong to the image: they are read below the container's root, bounded in size, and lines that are
//! not understood are skipped, as the C library does. A name that looks like a number
//! is one only when no entry has that name.

use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::mount::Below;

use super::RuntimeError;
use super::report::Failure;

/// No passwd file needs more (CVE-2024-9676: an endless one would be read for ever).
const LIMIT: u64 = 4 << 20;

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups: those of /etc/group when no group was named, and the ones added.
    pub groups: Vec<u32>,
    /// Home directory; `/` for an unknown number.
    pub home: String,
}

/// Looks a user up below `root` (a directory that is the container's root). Missing files count as empty.
pub fn resolve(
    root: BorrowedFd<'_>,
    user: &str,
    groups: &[String],
) -> Result<ResolvedUser, RuntimeError> {
    resolve_below(root, user, groups).map_err(Into::into)
}

pub(super) fn resolve_below(
    root: BorrowedFd<'_>,
    user: &str,
    groups: &[String],
) -> Result<ResolvedUser, Failure> {
    let read = |path: &str| {
        let bytes = Below::new(root).read(Path::new(path), LIMIT);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    resolve_in(&passwd, &group, user, groups)
}

/// An entry of passwd(5).
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default();
        Some(Entry {
            name,
            uid,
            gid,
            home,
        })
    })
}

/// Names, ids and members of group(5).
fn groups_of(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let id = fields.next()?.parse().ok()?;
        Some((name, id, fields.next().unwrap_or_default()))
    })
}

/// A number as the kernel takes it: -1 means "keep" there and is no id.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let id: u32 = digits.then(|| text.parse().ok())??;
    (id <= i32::MAX as u32).then_some(id)
}

fn group_id(group: &str, name: &str) -> Result<u32, Failure> {
    groups_of(group)
        .find(|&(n, ..)| n == name)
        .map(|(_, id, _)| id)
        .or_else(|| number(name))
        .ok_or_else(|| Failure::NoSuchUser {
            group: true,
            name: name.to_owned(),
        })
}

fn resolve_in(
    passwd: &str,
    group: &str,
    user: &str,
    groups: &[String],
) -> Result<ResolvedUser, Failure> {
    let (user, named_group) = match user.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = users(passwd).find(|entry| entry.name == user).or_else(|| {
        let uid = number(user)?;
        users(passwd).find(|entry| entry.uid == uid)
    });
    let (uid, gid, home, name) = match (entry, number(user)) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home, entry.name),
        (None, Some(uid)) => (uid, 0, "", ""),
        (None, None) => {
            return Err(Failure::NoSuchUser {
                group: false,
                name: user.to_owned(),
            });
        }
    };
    let mut resolved = ResolvedUser {
        uid,
        gid,
        groups: Vec::new(),
        home: if home.is_empty() { "/" } else { home }.to_owned(),
    };
    match named_group {
        Some(name) => resolved.gid = group_id(group, name)?,
        None if !name.is_empty() => {
            let member = |members: &str| members.split(',').any(|m| m.trim() == name);
            let ids = groups_of(group).filter(|(_, _, members)| member(members));
            resolved.groups.extend(ids.map(|(_, id, _)| id));
        }
        None => {}
    }
    for name in groups {
        resolved.groups.push(group_id(group, name)?);
    }
    // The group itself is a supplementary one too, as with Docker: a process that gives it up
    // must not gain what its members are denied (CVE-2022-36109).
    resolved.groups.push(resolved.gid);
    resolved.groups.sort_unstable();
    resolved.groups.dedup();
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33::/var/www:/bin/false\n\
                          1000:x:77:77:looks like a number:/n:\nhomeless:x:40:40:::\n";
    const GROUP: &str = "root:x:0:\ntty:x:5:www\nwww:x:33:\nextra:x:500:root, www\n";

    fn check(user: &str, added: &[&str], uid: u32, gid: u32, groups: &[u32], home: &str) {
        let added: Vec<String> = added.iter().map(|&s| s.to_owned()).collect();
        let resolved = resolve_in(PASSWD, GROUP, user, &added).expect("known");
        assert_eq!(
            (
                resolved.uid,
                resolved.gid,
                &resolved.groups[..],
                &resolved.home[..]
            ),
            (uid, gid, groups, home),
            "{user}"
        );
    }

    #[test]
    fn names_numbers_and_both() {
        check("", &[], 0, 0, &[0, 500], "/root");
        check("www", &[], 33, 33, &[5, 33, 500], "/var/www");
        check("33", &[], 33, 33, &[5, 33, 500], "/var/www");
        check("www:tty", &[], 33, 5, &[5], "/var/www");
        check(
            "www:7",
            &["extra", "5", "5"],
            33,
            7,
            &[5, 7, 500],
            "/var/www",
        );
        check("4711", &[], 4711, 0, &[0], "/");
        check("4711:4712", &[], 4711, 4712, &[4712], "/");
        check("1000", &[], 77, 77, &[77], "/n");
        check("homeless", &[], 40, 40, &[40], "/");
        check(":5", &[], 0, 5, &[5], "/root");
    }

    #[test]
    fn unknown_names_and_impossible_numbers() {
        for user in [
            "nobody",
            "-1",
            "4294967295",
            "99999999999",
            "+5",
            "www:none",
        ] {
            assert!(resolve_in(PASSWD, GROUP, user, &[]).is_err(), "{user}");
        }
        assert!(resolve_in(PASSWD, GROUP, "0", &["none".to_owned()]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_files_are_answered(passwd in "[a-z0-9:,\n-]*", group in "\\PC*", user in ".*") {
            let _ = resolve_in(&passwd, &group, &user, &[]);
        }
    }
}

//! The ids of containers with a user namespace of their own.
//!
//! Each has a range of the machine's ids that nobody else has, out of those that are meant for containers (systemd's
//! "Users, Groups, UIDs and GIDs on systemd systems"). They are the ids of its processes alone: on disk, its files have
//! the ids that they have inside, and its mounts translate. So an image's layers, `commit`, volumes and a restart know
//! nothing of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::runtime::NsRoot;
use crate::spec::{ContainerSpec, NamespaceMode, NetworkMode, UserNamespace};
use crate::state::ContainerId;
use crate::sys::user_namespace;

use super::{ContainerError, ContainerStore};

/// The ids that systemd leaves to containers.
const FIRST: u32 = 524_288;
const LAST: u32 = 1_879_048_191;

/// How many a container has: 0 to `nobody`.
const COUNT: u32 = 65_536;

/// A range of the machine's ids, of users and of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// What root is.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl IdRange {
    /// What the range's root is for the machine.
    pub fn root(self) -> NsRoot {
        NsRoot {
            uid: self.first,
            gid: self.first,
        }
    }

    /// A new user namespace that has these ids. The process must have one thread.
    pub fn namespace(self) -> io::Result<OwnedFd> {
        let map = format!("0 {} {}\n", self.first, self.count);
        user_namespace::with_maps(&map, &map)
    }
}

/// The ids of a container to be made.
pub fn choose(
    store: &ContainerStore,
    spec: &ContainerSpec,
    id: &ContainerId,
) -> Result<Option<IdRange>, ContainerError> {
    if spec.user_namespace != UserNamespace::Host && !user_namespace::is_initial() {
        return Err(ContainerError::Unsupported {
            option: "a user namespace of the container's own".to_owned(),
            reason: "your containers are in a user namespace of yours already".to_owned(),
        });
    }
    match &spec.user_namespace {
        UserNamespace::Host => Ok(None),
        UserNamespace::Container(other) => {
            let other = store.read(&store.find(other)?)?;
            match other.ids {
                Some(ids) => Ok(Some(ids)),
                None => Err(ContainerError::Invalid(format!(
                    "container `{}` has no user namespace of its own; make it with `--userns private`",
                    other.name
                ))),
            }
        }
        UserNamespace::Private => {
            let mut taken = BTreeSet::new();
            for other in store.ids()? {
                let record = store.record(&other)?;
                taken.extend(record.and_then(|record| record.ids).map(|ids| ids.first));
            }
            taken.extend(in_use());
            let given = ["/etc/subuid", "/etc/subgid"]
                .map(|file| fs::read_to_string(file).unwrap_or_default());
            free(id, &taken, &given).map(Some).ok_or_else(|| {
                ContainerError::Invalid(
                    "no range of ids is left for a container: all lie in /etc/subuid or belong to others"
                        .to_owned(),
                )
            })
        }
    }
}

/// Where the ranges begin that processes of this machine have now: those of containers of other roots, and of others.
fn in_use() -> BTreeSet<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let maps = processes.filter_map(|entry| fs::read_to_string(entry.path().join("uid_map")).ok());
    let first = |map: String| map.split_ascii_whitespace().nth(1)?.parse().ok();
    maps.filter_map(first).filter(|first| *first != 0).collect()
}

/// A range that nobody has, and that two containers made at the same time do not both find: it is looked for from a place
/// on that the id says.
fn free(id: &ContainerId, taken: &BTreeSet<u32>, given: &[String]) -> Option<IdRange> {
    let slots = (LAST - FIRST) / COUNT;
    let start = id.as_str().bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    let ranges: Vec<(u64, u64)> = given.iter().flat_map(|text| subordinate(text)).collect();
    (0..slots)
        .map(|step| FIRST + (start % slots + step) % slots * COUNT)
        .filter(|first| !taken.contains(first))
        .map(|first| IdRange {
            first,
            count: COUNT,
        })
        .find(|range| {
            let (first, end) = (u64::from(range.first), u64::from(range.first + range.count));
            !ranges
                .iter()
                .any(|&(other, count)| other < end && first < other + count)
        })
}

/// First and count of the ranges that ordinary users have (subuid(5)).
fn subordinate(text: &str) -> impl Iterator<Item = (u64, u64)> + '_ {
    text.lines().filter_map(|line| {
        let mut parts = line.trim().split(':').skip(1);
        let first = u32::try_from(parts.next()?.parse::<u64>().ok()?).ok()?;
        let count = u32::try_from(parts.next()?.parse::<u64>().ok()?).ok()?;
        Some((first.into(), count.into()))
    })
}

/// What cannot be had together with a user namespace of the container's own, and why. `same` tells whether two texts name
/// one container.
pub fn conflict(
    spec: &ContainerSpec,
    same: &dyn Fn(&str, &str) -> bool,
) -> Option<(&'static str, String)> {
    if spec.user_namespace == UserNamespace::Host {
        return None;
    }
    if spec.security.privileged {
        let why = "a privileged container has the machine's rights, which a user namespace of its own takes away";
        return Some(("user_namespace", why.to_owned()));
    }
    if spec
        .runtime
        .as_deref()
        .is_some_and(|name| !matches!(name, "" | "gantry"))
    {
        let why = "a user namespace of the container's own is there with Gantry's own runtime only";
        return Some(("user_namespace", why.to_owned()));
    }
    let of_the_machine = [
        ("pid", spec.pid == NamespaceMode::Host),
        ("ipc", spec.ipc == NamespaceMode::Host),
        ("uts", spec.uts == NamespaceMode::Host),
        ("cgroup", spec.cgroup == NamespaceMode::Host),
        ("network", spec.network == NetworkMode::Host),
    ];
    if let Some((name, _)) = of_the_machine.into_iter().find(|(_, shared)| *shared) {
        let why = format!(
            "the {name} namespace of the machine cannot be used from a user namespace of the container's own"
        );
        return Some((name, why));
    }
    let container = |mode: &NamespaceMode| match mode {
        NamespaceMode::Container(other) => Some(other.clone()),
        _ => None,
    };
    let network = match &spec.network {
        NetworkMode::Container(other) => Some(other.clone()),
        _ => None,
    };
    let shared = [
        ("pid", container(&spec.pid)),
        ("ipc", container(&spec.ipc)),
        ("uts", container(&spec.uts)),
        ("network", network),
    ];
    shared.into_iter().find_map(|(name, other)| {
        let other = other?;
        let of_other = matches!(&spec.user_namespace, UserNamespace::Container(whose) if same(whose, &other));
        (!of_other).then(|| {
            (name, format!("who shares the {name} namespace of `{other}` has its user namespace too: `container:{other}`"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: char) -> ContainerId {
        format!("{first}{}", "0".repeat(63)).parse().expect("an id")
    }

    #[test]
    fn a_range_is_nobody_elses() {
        let (none, nothing) = (BTreeSet::new(), []);
        let one = free(&id('a'), &none, &nothing).expect("free");
        assert_eq!(free(&id('a'), &none, &nothing), Some(one));
        assert_eq!((one.first % COUNT, one.count), (0, COUNT));
        assert!(one.first >= FIRST && one.first + (one.count - 1) <= LAST);
        let next = free(&id('a'), &[one.first].into(), &nothing).expect("free");
        assert_ne!(next, one);
        assert_ne!(free(&id('b'), &none, &nothing), Some(one));
    }

    #[test]
    fn ranges_of_ordinary_users_are_left_alone() {
        let none = BTreeSet::new();
        let one = free(&id('a'), &none, &[]).expect("free");
        let inside = format!("ann:{}:1\nbroken\nbob:x:y\n", one.first + 7);
        let next = free(&id('a'), &none, &[inside]).expect("free");
        assert_ne!(next, one);
        let all = format!("ann:0:{}", u32::MAX);
        assert_eq!(free(&id('a'), &none, &[all]), None);
    }

    #[test]
    fn what_needs_the_machine_is_refused() {
        let private = ContainerSpec {
            user_namespace: UserNamespace::Private,
            ..ContainerSpec::default()
        };
        let conflict = |spec: &ContainerSpec| conflict(spec, &|a, b| a == b);
        assert_eq!(conflict(&private), None);
        let check = |spec: ContainerSpec, place: &str| {
            assert_eq!(conflict(&spec).map(|(name, _)| name), Some(place));
            let host = ContainerSpec {
                user_namespace: UserNamespace::Host,
                ..spec
            };
            assert_eq!(conflict(&host), None);
        };
        check(
            ContainerSpec {
                pid: NamespaceMode::Host,
                ..private.clone()
            },
            "pid",
        );
        check(
            ContainerSpec {
                network: NetworkMode::Container("db".to_owned()),
                ..private.clone()
            },
            "network",
        );
        let mut privileged = private.clone();
        privileged.security.privileged = true;
        check(privileged, "user_namespace");
        let shared = ContainerSpec {
            user_namespace: UserNamespace::Container("db".to_owned()),
            ipc: NamespaceMode::Container("db".to_owned()),
            ..private
        };
        assert_eq!(conflict(&shared), None);
    }
}

//! Bridges, parents and tables whose root was deleted by hand, or whose network is not in it any
//! more: they keep subnets and names from others, and nobody else would ever remove them.
//!
//! What belongs to somebody who lives is never touched: a root is gone only if its path is, no
//! bridge of it has a member, and no supervisor of it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use netlink_packet_route::RouteNetlinkMessage as Rt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use serde::Serialize;

use super::error::NetworkError;
use super::home::at_home;
use super::mark;
use super::netlink::Netlink;
use super::nft;
use super::store::NetworkStore;
use crate::role;
use crate::state::Paths;

/// What a root has left in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The root.
    pub root: PathBuf,
    /// Its links that nobody needs.
    pub links: Vec<String>,
    /// All of the root is gone, so its tables are left too.
    pub whole: bool,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (links, root) = (self.links.join(", "), self.root.display());
        match (self.whole, self.links.is_empty()) {
            (true, true) => write!(f, "packet filter rules of the root `{root}`, which is gone"),
            (true, false) => write!(
                f,
                "interfaces {links} and packet filter rules of the root `{root}`, which is gone"
            ),
            (false, _) => write!(f, "interfaces {links} of networks that are gone"),
        }
    }
}

impl NetworkStore {
    /// What is left of roots that are gone, and of networks that this one had.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, NetworkError> {
        at_home(|| self.find_leftovers())
    }

    /// Removes it, and tells what it was.
    pub fn sweep(&self) -> Result<Vec<Leftover>, NetworkError> {
        // Nobody makes a network of this root meanwhile.
        let _lock = self.lock_all()?;
        at_home(|| {
            let found = self.find_leftovers()?;
            found.iter().try_for_each(remove)?;
            Ok(found)
        })
    }

    fn find_leftovers(&self) -> Result<Vec<Leftover>, NetworkError> {
        let marked = marked_links().map_err(NetworkError::kernel("list the machine's links"))?;
        let mut roots: BTreeSet<PathBuf> = marked.iter().map(|link| link.root.clone()).collect();
        // A kernel without nftables has no tables either.
        let tables = nft::marks().unwrap_or_default();
        roots.extend(tables.iter().filter_map(|mark| mark::root(mark)));
        let wanted: Vec<String> = self.records()?.into_iter().map(|n| n.link).collect();
        let mut found = Vec::new();
        for root in roots {
            let of_root = || marked.iter().filter(|link| link.root == root);
            let own = root == self.paths().root();
            if !own && (of_root().any(|link| link.has_members) || !is_gone(&root)) {
                continue;
            }
            let left = of_root().filter(|l| !own || !l.has_members && !wanted.contains(&l.name));
            let links: Vec<String> = left.map(|link| link.name.clone()).collect();
            if !own || !links.is_empty() {
                found.push(Leftover {
                    root,
                    links,
                    whole: !own,
                });
            }
        }
        Ok(found)
    }
}

fn remove(leftover: &Leftover) -> Result<(), NetworkError> {
    let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    for name in &leftover.links {
        let removed = netlink
            .link(name)
            .and_then(|link| link.map_or(Ok(()), |(index, _)| netlink.remove(index)));
        removed.map_err(|source| NetworkError::Interface {
            step: "remove",
            interface: name.clone(),
            source,
        })?;
    }
    if leftover.whole && is_gone(&leftover.root) {
        nft::remove_tables(&Paths::below(&leftover.root))?;
    }
    Ok(())
}

/// A link with a root's mark.
struct Marked {
    root: PathBuf,
    name: String,
    /// A bridge that has ports. Members of other links are in namespaces where nobody sees them.
    has_members: bool,
}

fn marked_links() -> io::Result<Vec<Marked>> {
    let mut marked: BTreeMap<u32, Marked> = BTreeMap::new();
    let mut bridges_with_ports = BTreeSet::new();
    Netlink::route()?.dump(Rt::GetLink(LinkMessage::default()), |answer| {
        let Rt::NewLink(link) = answer else {
            return;
        };
        let root = mark::of(&link).and_then(mark::root);
        let mut own_name = None;
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => own_name = Some(name),
                LinkAttribute::Controller(bridge) => {
                    bridges_with_ports.insert(bridge);
                }
                _ => {}
            }
        }
        if let Some((root, name)) = root.zip(own_name) {
            let has_members = false;
            marked.insert(
                link.header.index,
                Marked {
                    root,
                    name,
                    has_members,
                },
            );
        }
    })?;
    for bridge in bridges_with_ports {
        if let Some(link) = marked.get_mut(&bridge) {
            link.has_members = true;
        }
    }
    Ok(marked.into_values().collect())
}

/// Whether nothing is at a root's path (one that cannot be looked at is there), and nobody works
/// for it.
fn is_gone(root: &Path) -> bool {
    let missing = matches!(
        fs::symlink_metadata(root),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    );
    missing && !is_supervised(root)
}

fn is_supervised(root: &Path) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return true;
    };
    processes.flatten().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).map(OsStr::from_bytes);
        words.any(|word| word == role::SUPERVISOR) && words.any(|word| word == root)
    })
}

//! What the container's networks know: names to addresses, addresses to names.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::network::cidr::Cidr;
use crate::network::members::Members;

/// The names of one network, read again when its file was replaced.
#[derive(Debug)]
pub(super) struct Zone {
    network: String,
    path: PathBuf,
    subnets: Vec<Cidr>,
    /// Inode and time of the file as it was read.
    seen: Option<(u64, i64, i64)>,
    names: HashMap<String, Vec<IpAddr>>,
    reverse: HashMap<IpAddr, String>,
}

impl Zone {
    pub(super) fn new(network: String, path: PathBuf, subnets: Vec<Cidr>) -> Self {
        Self {
            network: network.to_ascii_lowercase(),
            path,
            subnets,
            seen: None,
            names: HashMap::new(),
            reverse: HashMap::new(),
        }
    }

    /// A file that cannot be read leaves the names as they were: the next query tries again.
    fn refresh(&mut self) {
        let Ok(meta) = fs::metadata(&self.path) else {
            return;
        };
        let now = Some((meta.ino(), meta.mtime(), meta.mtime_nsec()));
        if now == self.seen {
            return;
        }
        match Members::read(&self.path) {
            Ok(members) => {
                self.fill(&members);
                self.seen = now;
            }
            Err(error) => tracing::warn!(%error, "the names of a network cannot be read"),
        }
    }

    fn fill(&mut self, members: &Members) {
        self.names.clear();
        self.reverse.clear();
        for member in &members.members {
            let addresses = [member.ipv4.map(IpAddr::V4), member.ipv6.map(IpAddr::V6)];
            for address in addresses.into_iter().flatten() {
                self.reverse
                    .insert(address, format!("{}.{}", member.name, self.network));
            }
            for name in member.names() {
                let known = self.names.entry(name.to_ascii_lowercase()).or_default();
                for address in addresses.into_iter().flatten() {
                    if !known.contains(&address) {
                        known.push(address);
                    }
                }
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Vec<IpAddr>> {
        let qualified = || {
            let bare = name
                .strip_suffix(self.network.as_str())?
                .strip_suffix('.')?;
            self.names.get(bare)
        };
        self.names.get(name).or_else(qualified)
    }
}

/// Addresses of both families under `name`, in lower case, or `name.network`. The first of the
/// container's networks that knows it answers.
pub(super) fn addresses(zones: &mut [Zone], name: &str) -> Option<Vec<IpAddr>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    zones.iter_mut().find_map(|zone| {
        zone.refresh();
        zone.find(name).cloned()
    })
}

/// What a reverse look-up finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reverse {
    Name(String),
    /// One of our subnets, but nobody has it: nobody outside knows either.
    Nobody,
    /// Not ours.
    Elsewhere,
}

pub(super) fn reverse(zones: &mut [Zone], address: IpAddr) -> Reverse {
    let mut ours = false;
    for zone in zones {
        zone.refresh();
        if let Some(name) = zone.reverse.get(&address) {
            return Reverse::Name(name.clone());
        }
        ours |= zone.subnets.iter().any(|s| s.contains(address));
    }
    if ours {
        Reverse::Nobody
    } else {
        Reverse::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::members::Wish;
    use crate::network::store::tests::network;

    #[test]
    fn follows_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("members.json");
        let net = network("10.9.0.0/24", None);
        let mut zones = [Zone::new(
            "Shop_Net".into(),
            path.clone(),
            vec![net.pools[0].subnet],
        )];
        assert_eq!(addresses(&mut zones, "web"), None);
        let mut members = Members::default();
        let mut join = |owner: &str, name: &str| {
            let aliases = ["web".to_owned(), "WWW".to_owned()];
            let wish = Wish {
                owner,
                name,
                aliases: &aliases,
                ipv4: None,
                ipv6: None,
                mac: None,
                process: None,
            };
            members.join(&net, &wish).unwrap();
            members.write(&path).unwrap();
        };
        join(&"a".repeat(64), "shop-web-1");
        assert_eq!(addresses(&mut zones, "web").unwrap().len(), 1);
        join(&"b".repeat(64), "shop-web-2");
        for name in ["web", "www", "web.shop_net"] {
            assert_eq!(addresses(&mut zones, name).unwrap().len(), 2, "{name}");
        }
        for name in ["shop-web-1", "aaaaaaaaaaaa", "shop-web-1."] {
            assert_eq!(addresses(&mut zones, name).unwrap().len(), 1, "{name}");
        }
        assert_eq!(addresses(&mut zones, "webshop_net"), None);
        let second = "10.9.0.3".parse().unwrap();
        assert_eq!(
            reverse(&mut zones, second),
            Reverse::Name("shop-web-2.shop_net".into())
        );
        assert_eq!(
            reverse(&mut zones, "10.9.0.200".parse().unwrap()),
            Reverse::Nobody
        );
        assert_eq!(
            reverse(&mut zones, "192.0.2.1".parse().unwrap()),
            Reverse::Elsewhere
        );
    }
}

//! Who is on a network: address leases and names, one file a network.
//!
//! The file is replaced by rename under the network's lock, so readers (the DNS responders of
//! all members) never see half of it and notice a change by its inode. It lies below the run
//! directory: after a reboot no lease is left.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cidr::Cidr;
use super::error::NetworkError;
use super::record::{Network, Pool, VERSION};
use crate::state::{Durability, read_boot_record, write_record};
use crate::sys::ProcessRef;

/// A container's place on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The container's id: the owner of the addresses.
    pub owner: String,
    /// The container's name.
    pub name: String,
    /// Its other names on this network.
    pub aliases: Vec<String>,
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// MAC address.
    pub mac: String,
    /// The process that it lives as long as, of a member that is no container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRef>,
}

impl Member {
    /// Whether it is still there; `alive` tells it of a container.
    pub(super) fn is_alive(&self, alive: &dyn Fn(&str) -> bool) -> bool {
        match self.process {
            Some(process) => process.exists(),
            None => alive(&self.owner),
        }
    }

    /// Whether it has this address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.ipv4.map(IpAddr::V4) == Some(address) || self.ipv6.map(IpAddr::V6) == Some(address)
    }

    /// Every name other members find it under: its name, its short id, its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let short = self.owner.get(..12).unwrap_or(&self.owner);
        [self.name.as_str(), short]
            .into_iter()
            .chain(self.aliases.iter().map(String::as_str))
    }
}

/// The members of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Where the last search for an IPv4 address ended: the next begins after it, so an address
    /// is not given to somebody else while peers may still have its last owner cached.
    cursor: u32,
    /// In order of joining.
    pub members: Vec<Member>,
}

/// What a container asks for on a network.
pub(super) struct Wish<'a> {
    pub(super) owner: &'a str,
    pub(super) name: &'a str,
    pub(super) aliases: &'a [String],
    pub(super) ipv4: Option<Ipv4Addr>,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) process: Option<ProcessRef>,
}

impl Members {
    /// Reads the file; none is an empty network.
    pub fn read(path: &Path) -> Result<Self, NetworkError> {
        Ok(read_boot_record(path, VERSION)?.unwrap_or_default())
    }

    /// Replaces the file. The caller holds the network's lock.
    pub(super) fn write(&self, path: &Path) -> Result<(), NetworkError> {
        Ok(write_record(path, VERSION, self, Durability::Boot)?)
    }

    /// Gives `wish.owner` its place; the same one as before when it fits the wish.
    pub(super) fn join(
        &mut self,
        network: &Network,
        wish: &Wish<'_>,
    ) -> Result<Member, NetworkError> {
        let before = self.leave(wish.owner);
        let ipv4 = match (network.pool4(), wish.ipv4) {
            (None, None) => None,
            (None, Some(a)) => return Err(no_subnet(network, a.into())),
            (Some(pool), Some(a)) => self.fixed(network, pool, a.into())?,
            (Some(pool), None) => {
                let old = before.as_ref().and_then(|b| b.ipv4).map(IpAddr::V4);
                self.dynamic(network, pool, old, wish.owner)?
            }
        };
        let ipv6 = match (network.pool6(), wish.ipv6) {
            (None, None) => None,
            (None, Some(a)) => return Err(no_subnet(network, a.into())),
            (Some(pool), Some(a)) => self.fixed(network, pool, a.into())?,
            (Some(pool), None) => {
                let old = before.as_ref().and_then(|b| b.ipv6).map(IpAddr::V6);
                self.dynamic(network, pool, old, wish.owner)?
            }
        };
        let ipv4 = ipv4.and_then(v4);
        let member = Member {
            owner: wish.owner.to_owned(),
            name: wish.name.to_owned(),
            aliases: wish.aliases.to_vec(),
            ipv4,
            ipv6: ipv6.and_then(v6),
            mac: format_mac(
                wish.mac
                    .unwrap_or_else(|| derived_mac(ipv4, wish.owner, &network.id)),
            ),
            process: wish.process,
        };
        self.members.push(member.clone());
        Ok(member)
    }

    /// Takes `owner` off the network.
    pub(super) fn leave(&mut self, owner: &str) -> Option<Member> {
        let at = self.members.iter().position(|m| m.owner == owner)?;
        Some(self.members.remove(at))
    }

    /// Whether `owner` is there and had another name.
    pub(super) fn rename(&mut self, owner: &str, name: &str) -> bool {
        match self.members.iter_mut().find(|m| m.owner == owner) {
            Some(member) if member.name != name => {
                name.clone_into(&mut member.name);
                true
            }
            _ => false,
        }
    }

    fn taken(&self, ipv4: bool) -> BTreeSet<IpAddr> {
        self.members
            .iter()
            .filter_map(|m| {
                if ipv4 {
                    m.ipv4.map(IpAddr::V4)
                } else {
                    m.ipv6.map(IpAddr::V6)
                }
            })
            .collect()
    }

    fn fixed(
        &self,
        network: &Network,
        pool: &Pool,
        address: IpAddr,
    ) -> Result<Option<IpAddr>, NetworkError> {
        let (first, last) = pool.subnet.hosts();
        if !pool
            .subnet
            .offset(address)
            .is_some_and(|o| (first..=last).contains(&o))
        {
            return Err(NetworkError::Outside {
                what: "the fixed address".to_owned(),
                address: address.to_string(),
                subnet: pool.subnet,
            });
        }
        let holder = if pool.gateway == address {
            Some("the gateway".to_owned())
        } else if let Some((name, _)) = pool.reserved.iter().find(|(_, a)| **a == address) {
            Some(format!("reserved address `{name}`"))
        } else {
            self.members
                .iter()
                .find(|m| m.has(address))
                .map(|m| format!("container `{}`", m.name))
        };
        match holder {
            None => Ok(Some(address)),
            Some(holder) => Err(NetworkError::AddressTaken {
                address,
                network: network.name.clone(),
                holder,
            }),
        }
    }

    fn dynamic(
        &mut self,
        network: &Network,
        pool: &Pool,
        old: Option<IpAddr>,
        owner: &str,
    ) -> Result<Option<IpAddr>, NetworkError> {
        let range: Cidr = pool.ip_range.unwrap_or(pool.subnet);
        let (subnet_first, subnet_last) = pool.subnet.hosts();
        let base = pool.subnet.offset(range.base()).unwrap_or(0);
        let end = pool.subnet.offset(range.last()).unwrap_or(0);
        let (first, last) = (base.max(subnet_first), end.min(subnet_last));
        let taken = self.taken(pool.subnet.is_ipv4());
        let free = |address: &IpAddr| {
            *address != pool.gateway
                && !pool.reserved.values().any(|r| r == address)
                && !taken.contains(address)
        };
        if let Some(old) = old.filter(|a| range.contains(*a) && free(a)) {
            return Ok(Some(old));
        }
        let size = last.saturating_sub(first).saturating_add(1);
        // IPv6 has room: begin where the owner's id says. IPv4 goes on after the last one given.
        let start = if pool.subnet.is_ipv4() {
            u128::from(self.cursor)
        } else {
            let digest = Sha256::digest(owner);
            u128::from(u32::from_be_bytes([
                digest[0], digest[1], digest[2], digest[3],
            ]))
        };
        // One of the next n+1 addresses is free of the n that are not.
        let tries = (taken.len() + pool.reserved.len() + 2) as u128;
        let found = (0..tries.min(size))
            .map(|i| first + (start + i) % size)
            .filter_map(|offset| Some((offset, pool.subnet.nth(offset)?)))
            .find(|(_, address)| free(address));
        let Some((offset, address)) = found else {
            return Err(NetworkError::Exhausted {
                network: network.name.clone(),
                pool: range,
            });
        };
        if pool.subnet.is_ipv4() {
            self.cursor = u32::try_from(offset + 1 - first).unwrap_or(0);
        }
        Ok(Some(address))
    }
}

fn no_subnet(network: &Network, address: IpAddr) -> NetworkError {
    NetworkError::NoSubnetFor {
        network: network.name.clone(),
        family: if address.is_ipv4() { "IPv4" } else { "IPv6" },
        address,
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(a),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(a) => Some(a),
        IpAddr::V4(_) => None,
    }
}

/// `02:42` and the IPv4 address, as Docker: the MAC of an address never changes, so neighbours'
/// caches stay right when a container is replaced.
pub(super) fn derived_mac(ipv4: Option<Ipv4Addr>, owner: &str, network: &str) -> [u8; 6] {
    let tail = match ipv4 {
        Some(address) => address.octets(),
        None => {
            let digest = Sha256::new()
                .chain_update(owner)
                .chain_update(network)
                .finalize();
            [digest[0], digest[1], digest[2], digest[3]]
        }
    };
    [0x02, 0x42, tail[0], tail[1], tail[2], tail[3]]
}

fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

/// Parses a unicast MAC address.
pub fn parse_mac(text: &str) -> Result<[u8; 6], NetworkError> {
    let error = || NetworkError::Mac(text.to_owned());
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
    }
    if parts.next().is_some() || mac[0] & 1 == 1 || mac == [0; 6] {
        return Err(error());
    }
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::network;
    use super::*;

    fn wish(owner: &str) -> Wish<'_> {
        Wish {
            owner,
            name: owner,
            aliases: &[],
            ipv4: None,
            ipv6: None,
            mac: None,
            process: None,
        }
    }

    fn fixed<'a>(owner: &'a str, address: &str) -> Wish<'a> {
        Wish {
            ipv4: Some(address.parse().unwrap()),
            ..wish(owner)
        }
    }

    #[test]
    fn gives_each_owner_one_address_and_the_same_again() {
        let net = network("10.9.0.0/29", None);
        let mut members = Members::default();
        let a = members.join(&net, &wish("a")).unwrap();
        assert_eq!(a.ipv4, Some("10.9.0.2".parse().unwrap()));
        assert_eq!(a.mac, "02:42:0a:09:00:02");
        let b = members.join(&net, &wish("b")).unwrap();
        assert_ne!(a.ipv4, b.ipv4);
        assert_eq!(members.join(&net, &wish("a")).unwrap(), a);
        assert_eq!(members.members.len(), 2);
    }

    #[test]
    fn fills_a_subnet_then_refuses_then_reuses() {
        let net = network("10.9.0.0/29", None);
        let mut members = Members::default();
        for owner in ["a", "b", "c", "d", "e"] {
            members.join(&net, &wish(owner)).unwrap();
        }
        assert!(matches!(
            members.join(&net, &wish("f")),
            Err(NetworkError::Exhausted { .. })
        ));
        members.leave("c");
        assert_eq!(
            members.join(&net, &wish("f")).unwrap().ipv4,
            Some("10.9.0.4".parse().unwrap())
        );
    }

    #[test]
    fn keeps_to_the_range_and_off_reserved_addresses() {
        let mut net = network("10.9.0.0/24", Some("10.9.0.64/30"));
        net.pools[0]
            .reserved
            .insert("router".into(), "10.9.0.65".parse().unwrap());
        let mut members = Members::default();
        let got: Vec<_> = ["a", "b", "c"]
            .map(|o| members.join(&net, &wish(o)).unwrap().ipv4.unwrap().octets()[3])
            .into();
        assert_eq!(BTreeSet::from_iter(got), BTreeSet::from([64, 66, 67]));
        assert!(members.join(&net, &wish("d")).is_err());
    }

    #[test]
    fn fixed_addresses_are_checked() {
        let net = network("10.9.0.0/24", None);
        let mut members = Members::default();
        members.join(&net, &fixed("a", "10.9.0.9")).unwrap();
        for (address, kind) in [
            ("10.9.0.9", "a"),
            ("10.9.0.1", "gateway"),
            ("10.9.0.255", "subnet"),
            ("10.8.0.1", "subnet"),
        ] {
            let error = members
                .join(&net, &fixed("b", address))
                .unwrap_err()
                .to_string();
            assert!(error.contains(kind), "{error}");
        }
    }

    #[test]
    fn macs() {
        assert_eq!(
            parse_mac("02:42:AC:11:00:02").unwrap(),
            [2, 0x42, 0xac, 0x11, 0, 2]
        );
        for bad in [
            "",
            "01:00:00:00:00:00",
            "00:00:00:00:00:00",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
        ] {
            assert!(parse_mac(bad).is_err(), "{bad}");
        }
    }
}

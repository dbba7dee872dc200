//! Choosing subnets: checks what was asked for, or finds one that nobody uses.
//!
//! The search begins at a place given by the network's name, so a network that is made again
//! mostly gets its old subnet, and two state roots that choose at the same moment seldom meet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use super::cidr::Cidr;
use super::error::NetworkError;
use super::record::Pool;
use crate::spec::{IpamPool, NetworkDriver, NetworkSpec};

/// IPv4 ranges to carve automatic subnets from, with the prefix of each subnet: the part of
/// RFC 1918 that Docker uses too, but in smaller pieces, so that 480 networks fit instead of 31.
const RANGES4: [(Ipv4Addr, u8, u8); 2] = [
    (Ipv4Addr::new(172, 16, 0, 0), 12, 20),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 24),
];

/// A subnet in use, and by whom.
pub(super) struct Used {
    pub(super) subnet: Cidr,
    /// Not by another network, but by an interface or a route.
    pub(super) of_machine: bool,
    pub(super) by: String,
}

/// Resolves the pools of a new network.
pub(super) fn resolve(
    spec: &NetworkSpec,
    seed: &str,
    used: &[Used],
) -> Result<Vec<Pool>, NetworkError> {
    if !spec.ipv4 && !spec.ipv6 {
        return Err(NetworkError::NoFamily);
    }
    let mut pools = Vec::new();
    for (wanted, family) in [(true, "IPv4"), (false, "IPv6")] {
        let mut given = Vec::new();
        for pool in &spec.pools {
            let subnet: Cidr = pool.subnet.parse()?;
            if subnet.is_ipv4() == wanted {
                given.push((pool, subnet));
            }
        }
        let enabled = if wanted { spec.ipv4 } else { spec.ipv6 };
        match given.as_slice() {
            [] if enabled => pools.push(automatic(wanted, seed, used)?),
            [] => {}
            [(pool, subnet)] if enabled => {
                free(subnet, spec.driver, used)?;
                pools.push(asked(pool, *subnet)?);
            }
            [_] => return Err(NetworkError::DisabledFamily { family }),
            _ => return Err(NetworkError::ManyPools { family }),
        }
    }
    Ok(pools)
}

/// Nobody may use it already; but a macvlan or ipvlan network mostly has the subnet of its parent.
fn free(subnet: &Cidr, driver: NetworkDriver, used: &[Used]) -> Result<(), NetworkError> {
    let counts = |user: &&Used| driver == NetworkDriver::Bridge || !user.of_machine;
    let mut users = used.iter().filter(counts);
    match users.find(|user| user.subnet.overlaps(subnet)) {
        None => Ok(()),
        Some(user) => Err(NetworkError::Overlap {
            subnet: *subnet,
            with: user.by.clone(),
        }),
    }
}

fn asked(pool: &IpamPool, subnet: Cidr) -> Result<Pool, NetworkError> {
    let (first, last) = subnet.hosts();
    if last == first {
        return Err(NetworkError::TooSmall { subnet });
    }
    let inside = |what: &str, address: IpAddr| {
        if subnet.contains(address) {
            Ok(address)
        } else {
            Err(NetworkError::Outside {
                what: what.to_owned(),
                address: address.to_string(),
                subnet,
            })
        }
    };
    let ip_range = match &pool.ip_range {
        None => None,
        Some(text) => {
            let range: Cidr = text.parse()?;
            if !subnet.covers(&range) {
                return Err(NetworkError::Outside {
                    what: "the ip range".to_owned(),
                    address: range.to_string(),
                    subnet,
                });
            }
            Some(range)
        }
    };
    let gateway = match pool.gateway {
        Some(address) => inside("the gateway", address)?,
        None => first_free(&subnet, &pool.reserved).ok_or(NetworkError::TooSmall { subnet })?,
    };
    for (name, address) in &pool.reserved {
        inside(&format!("reserved address `{name}`"), *address)?;
    }
    Ok(Pool {
        subnet,
        ip_range,
        gateway,
        reserved: pool.reserved.clone(),
        automatic: false,
    })
}

fn first_free(subnet: &Cidr, reserved: &BTreeMap<String, IpAddr>) -> Option<IpAddr> {
    let (first, last) = subnet.hosts();
    // One of the first n+1 is free of n reserved ones.
    (first..=last)
        .take(reserved.len() + 1)
        .filter_map(|offset| subnet.nth(offset))
        .find(|address| !reserved.values().any(|r| r == address))
}

/// A free subnet of our own choice.
pub(super) fn automatic(ipv4: bool, seed: &str, used: &[Used]) -> Result<Pool, NetworkError> {
    let digest = Sha256::digest(seed);
    let free = |subnet: &Cidr| !used.iter().any(|u| u.subnet.overlaps(subnet));
    let found = if ipv4 {
        let start = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        RANGES4.iter().find_map(|&(base, prefix, piece)| {
            let pieces = 1_u32 << (piece - prefix);
            (0..pieces)
                .filter_map(|i| {
                    let index = start.wrapping_add(i) % pieces;
                    let base = u32::from(base) + (index << (32 - piece));
                    Cidr::containing(IpAddr::V4(base.into()), piece)
                })
                .find(free)
        })
    } else {
        // A unique local /64: fd, 40 bits of global id, 16 of subnet (RFC 4193), from the seed.
        (0..=u8::MAX).find_map(|attempt| {
            let mut bytes = [0_u8; 16];
            bytes[0] = 0xfd;
            bytes[1..8].copy_from_slice(&digest[4..11]);
            bytes[7] = bytes[7].wrapping_add(attempt);
            Cidr::containing(IpAddr::from(bytes), 64).filter(free)
        })
    };
    let family = if ipv4 { "IPv4" } else { "IPv6" };
    let subnet = found.ok_or(NetworkError::NoPool { family })?;
    Ok(Pool {
        subnet,
        ip_range: None,
        gateway: subnet.nth(1).unwrap_or(subnet.base()),
        reserved: BTreeMap::new(),
        automatic: true,
    })
}

//! The record of a network: what was asked for, resolved.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cidr::Cidr;
use crate::spec::NetworkDriver;

/// Version of the record's format.
pub(super) const VERSION: u32 = 1;

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Driver.
    pub driver: NetworkDriver,
    /// Driver options as given.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// May be joined from outside its project.
    pub attachable: bool,
    /// Gives out IPv4 addresses.
    pub ipv4: bool,
    /// Gives out IPv6 addresses.
    pub ipv6: bool,
    /// At most one pool a family.
    pub pools: Vec<Pool>,
    /// The interface that members are joined to: the bridge, which exists once a container has
    /// joined, or the parent of a macvlan or ipvlan network.
    #[serde(alias = "bridge")]
    pub link: String,
    /// MTU of the link, if it is the network's own, and of its members; `None` is the kernel's default.
    pub mtu: Option<u32>,
    /// Masquerade what leaves the network.
    pub masquerade: bool,
    /// How ports of members are published (`gantry.network.publish`).
    #[serde(default)]
    pub publish: Publish,
    /// Members may talk to each other (`com.docker.network.bridge.enable_icc`).
    pub icc: bool,
}

/// How ports are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// By sockets of the supervisor, for which the server sees an address of its own.
    #[default]
    Relay,
    /// By the packet filter besides, for which it sees the client's.
    Dnat,
}

/// An address pool of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: Cidr,
    /// Part of the subnet from which addresses are given out.
    pub ip_range: Option<Cidr>,
    /// The bridge's own address (with macvlan and ipvlan a router's), and the members' default
    /// route unless the network is internal.
    pub gateway: IpAddr,
    /// Addresses never given out, by name.
    pub reserved: BTreeMap<String, IpAddr>,
    /// The engine chose the subnet, so it may choose another while nobody uses it.
    pub automatic: bool,
}

impl Network {
    /// The IPv4 pool.
    pub fn pool4(&self) -> Option<&Pool> {
        self.pools.iter().find(|p| p.subnet.is_ipv4())
    }

    /// The IPv6 pool.
    pub fn pool6(&self) -> Option<&Pool> {
        self.pools.iter().find(|p| !p.subnet.is_ipv4())
    }
}

//! Networks and a container's place in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Where a container's network comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Endpoints on networks of the engine, in order.
    /// Empty means the built-in network `bridge`.
    Networks(Vec<EndpointSpec>),
    /// The machine's own network.
    Host,
    /// Loopback only.
    None,
    /// That of another container, by name or id.
    Container(String),
}

impl NetworkMode {
    /// What a container is to be on, by name: `host` and `none` are networks too, and the network of another container
    /// is none of its own.
    pub fn endpoints(&self) -> Vec<EndpointSpec> {
        match self {
            Self::Networks(list) if list.is_empty() => vec![EndpointSpec::default_network()],
            Self::Networks(list) => list.clone(),
            Self::Host => vec![EndpointSpec::on("host")],
            Self::None => vec![EndpointSpec::on("none")],
            Self::Container(_) => Vec::new(),
        }
    }
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

/// A container's connection to one network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// Network name or id.
    pub network: String,
    /// Names under which other members find this container, besides its own name and short id.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Link-local addresses besides: 169.254.0.0/16 or fe80::/10.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// Fixed MAC address.
    pub mac_address: Option<String>,
    /// Name of the interface in the container; default `eth<n>`.
    pub interface_name: Option<String>,
    /// Names that this container alone has for other members.
    pub links: Vec<Link>,
    /// The default route goes by the network of the highest one, the first among equals, that leads out.
    pub gw_priority: i64,
    /// Kernel settings of the interface by name (`net.ipv4.conf.IFNAME.forwarding`), in which `IFNAME` stands for it.
    pub sysctls: BTreeMap<String, String>,
}

impl EndpointSpec {
    /// On the built-in network `bridge`.
    pub fn default_network() -> Self {
        Self::on("bridge")
    }

    /// On a network, with nothing special.
    pub fn on(network: &str) -> Self {
        Self {
            network: network.to_owned(),
            ..Self::default()
        }
    }
}

/// Another container's name, and what this one calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub target: String,
    /// The name here.
    pub alias: String,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// Host name.
    pub name: String,
    /// Address; `None` stands for `host-gateway`.
    pub address: Option<IpAddr>,
}

/// Resolver settings of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsSpec {
    /// Servers asked for names that the engine does not know; empty: the host's.
    pub servers: Vec<IpAddr>,
    /// Search domains; empty: the host's.
    pub search: Vec<String>,
    /// resolv.conf options.
    pub options: Vec<String>,
}

/// A network to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Unique name.
    pub name: String,
    /// Driver.
    pub driver: NetworkDriver,
    /// Driver options as written.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// No way out: no default route, no outbound NAT, no upstream DNS.
    pub internal: bool,
    /// Accept `container run --network` from outside its project.
    pub attachable: bool,
    /// Give out IPv4 addresses; default true.
    pub ipv4: bool,
    /// Give out IPv6 addresses.
    pub ipv6: bool,
    /// Address pools; empty lets the engine choose a free one.
    pub pools: Vec<IpamPool>,
}

/// Network drivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkDriver {
    /// A Linux bridge.
    #[default]
    Bridge,
    /// Every member is an interface of its own, with its own MAC address, on the link of an
    /// interface of the machine.
    Macvlan,
    /// The same with the MAC address of the machine's interface.
    Ipvlan,
}

impl NetworkDriver {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Macvlan, Self::Ipvlan];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        }
    }

    /// The driver that users write so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|driver| driver.name() == name)
    }
}

/// An address pool, in CIDR notation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamPool {
    /// `10.5.0.0/24`.
    pub subnet: String,
    /// Part of the subnet from which addresses are given out.
    pub ip_range: Option<String>,
    /// The bridge's own address, or the router of a macvlan or ipvlan network; default: the first
    /// of the subnet.
    pub gateway: Option<IpAddr>,
    /// Addresses never given out, by name.
    pub reserved: BTreeMap<String, IpAddr>,
}

//! What can go wrong with networks.

use std::io;
use std::net::IpAddr;

use super::cidr::{Cidr, CidrError};
use crate::error::{Classify, ErrorKind};
use crate::spec::NetworkDriver;
use crate::state::StateError;

/// An error about a network.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the message of each variant is its documentation"
)]
pub enum NetworkError {
    #[error("no network `{0}`")]
    NotFound(String),
    #[error("`{0}` is the beginning of more than one network id")]
    Ambiguous(String),
    #[error("a network named `{0}` exists")]
    Exists(String),
    #[error("network `{0}` is built in and cannot be removed")]
    BuiltIn(String),
    #[error(
        "a container is on network `{0}` from its beginning to its end: make it with `--network {0}`"
    )]
    Fixed(&'static str),
    #[error(
        "network name `{0}` is invalid: use letters, digits, `_`, `.` and `-`, beginning with a letter or digit, at most 128"
    )]
    Name(String),
    #[error("`{0}` is a network mode, not a network that can be made")]
    ReservedName(String),
    #[error("network `{network}` is in use by {}", members.join(", "))]
    InUse {
        network: String,
        members: Vec<String>,
    },
    #[error(transparent)]
    Subnet(#[from] CidrError),
    #[error("subnet {subnet} is too small for a gateway and a member")]
    TooSmall { subnet: Cidr },
    #[error("{address} ({what}) is not in subnet {subnet}")]
    Outside {
        what: String,
        address: String,
        subnet: Cidr,
    },
    #[error("more than one {family} pool is given; one network has one subnet a family")]
    ManyPools { family: &'static str },
    #[error("a pool for {family} is given, but {family} is disabled for this network")]
    DisabledFamily { family: &'static str },
    #[error("a network needs IPv4 or IPv6: both are disabled")]
    NoFamily,
    #[error("subnet {subnet} overlaps with {with}")]
    Overlap { subnet: Cidr, with: String },
    #[error("no free {family} subnet is left; give one with `--subnet`")]
    NoPool { family: &'static str },
    #[error("driver option `{name}: {value}` is invalid: {reason}")]
    DriverOption {
        name: String,
        value: String,
        reason: &'static str,
    },
    #[error("driver option `{option}` is not supported with driver `{}`", driver.name())]
    UnknownDriverOption {
        option: String,
        driver: NetworkDriver,
    },
    #[error("driver option `{0}` of an endpoint is not supported")]
    UnknownEndpointOption(String),
    #[error("the container's network cannot have `{setting}={value}`")]
    InterfaceSetting {
        setting: String,
        value: String,
        source: io::Error,
    },
    #[error("this machine's kernel has no `{0}`: neither built in nor as a module")]
    NoModule(&'static str),
    #[error(
        "no interface `{0}` on this machine to be a parent; a VLAN is its interface and a number from 1 to 4094, such as `eth0.10`"
    )]
    NoParent(String),
    #[error(
        "driver option `parent: {0}` needs root: networks of an ordinary user are in a namespace of theirs, without the machine's interfaces; without `parent` the network has no way out"
    )]
    ParentOfUser(String),
    #[error("interface `{parent}` is the parent of network `{network}`, which does not share it")]
    ParentInUse { parent: String, network: String },
    #[error(
        "containers on network `{network}` have the MAC address of `{parent}`: none of their own can be given"
    )]
    SharedMac { network: String, parent: String },
    #[error(
        "network `{network}` (`macvlan_mode: passthru`) has room for one container, and `{member}` is on it"
    )]
    OneMember { network: String, member: String },
    #[error("address {address} on network `{network}` is taken by {holder}")]
    AddressTaken {
        address: IpAddr,
        network: String,
        holder: String,
    },
    #[error("network `{network}` has no {family} subnet for address {address}")]
    NoSubnetFor {
        network: String,
        family: &'static str,
        address: IpAddr,
    },
    #[error("network `{network}` has no free address left in {pool}")]
    Exhausted { network: String, pool: Cidr },
    #[error("{0} is not a link-local address: 169.254.0.0/16 or fe80::/10")]
    LinkLocal(IpAddr),
    #[error("`{0}` is not a unicast MAC address such as `02:42:ac:11:00:02`")]
    Mac(String),
    #[error("`{0}` is not an interface name: 1 to 15 characters without `/`, `:` and white space")]
    InterfaceName(String),
    #[error("the container is already connected to network `{0}`")]
    AlreadyConnected(String),
    #[error("the container is not connected to network `{0}`")]
    NotConnected(String),
    #[error("cannot {step} interface `{interface}`")]
    Interface {
        step: &'static str,
        interface: String,
        source: io::Error,
    },
    #[error("cannot {step}")]
    Kernel {
        step: &'static str,
        source: io::Error,
    },
    #[error("cannot write the packet filter's rules (nftables)")]
    Nftables(#[source] io::Error),
    #[error("driver option `com.docker.network.bridge.name` names interface `{0}`, which exists")]
    InterfaceExists(String),
    #[error(transparent)]
    State(#[from] StateError),
}

impl NetworkError {
    pub(super) fn kernel(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Kernel { step, source }
    }
}

impl Classify for NetworkError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NoParent(_) => ErrorKind::NotFound,
            Self::Exists(_) | Self::AlreadyConnected(_) => ErrorKind::AlreadyExists,
            Self::InUse { .. }
            | Self::ParentInUse { .. }
            | Self::OneMember { .. }
            | Self::AddressTaken { .. }
            | Self::Overlap { .. }
            | Self::NotConnected(_) => ErrorKind::Conflict,
            Self::UnknownDriverOption { .. }
            | Self::UnknownEndpointOption(_)
            | Self::NoModule(_) => ErrorKind::Unsupported,
            Self::BuiltIn(_) | Self::Fixed(_) | Self::ParentOfUser(_) => ErrorKind::Permission,
            Self::NoPool { .. } | Self::Exhausted { .. } => ErrorKind::Unavailable,
            Self::Interface { source, .. } | Self::Kernel { source, .. } => Classify::kind(source),
            Self::Nftables(source) => Classify::kind(source),
            Self::State(source) => source.kind(),
            Self::InterfaceExists(_) => ErrorKind::Conflict,
            Self::Ambiguous(_)
            | Self::Name(_)
            | Self::ReservedName(_)
            | Self::Subnet(_)
            | Self::TooSmall { .. }
            | Self::Outside { .. }
            | Self::ManyPools { .. }
            | Self::DisabledFamily { .. }
            | Self::NoFamily
            | Self::DriverOption { .. }
            | Self::InterfaceSetting { .. }
            | Self::NoSubnetFor { .. }
            | Self::Mac(_)
            | Self::LinkLocal(_)
            | Self::SharedMac { .. }
            | Self::InterfaceName(_) => ErrorKind::Invalid,
        }
    }
}

//! A member of a macvlan or ipvlan network: one interface in the container's namespace, on the
//! parent, with no other end.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoMacVlan, IpVlanMode, LinkAttribute, LinkInfo, LinkMessage,
    MacVlanMode,
};

use super::error::NetworkError;
use super::members::{Member, parse_mac};
use super::netlink::{Batch, Netlink};
use super::netns::NetNs;
use super::options::Options;
use super::parent::kind;
use super::publish::patiently_for;
use super::record::Network;
use super::veth::Place;
use crate::spec::NetworkDriver;

/// How long the namespace of a container that ended may keep its interfaces: a packet that waits
/// there for a neighbour who does not answer holds it for three seconds.
const REAPING: Duration = Duration::from_secs(6);

/// Which MAC address members have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mac {
    /// Each its own.
    Own,
    /// All that of the parent; `alone` says that there is room for one member only.
    Parents { alone: bool },
}

/// The MAC address of a new member, as far as it is not for the engine to derive; `other` is a
/// live member that is there.
pub(super) fn choose_mac(
    network: &Network,
    parent: &LinkMessage,
    wish: Option<[u8; 6]>,
    other: Option<&Member>,
) -> Result<Option<[u8; 6]>, NetworkError> {
    let Mac::Parents { alone } = mac(network)? else {
        return Ok(wish);
    };
    if wish.is_some() {
        return Err(NetworkError::SharedMac {
            network: network.name.clone(),
            parent: network.link.clone(),
        });
    }
    if let Some(other) = other.filter(|_| alone) {
        return Err(NetworkError::OneMember {
            network: network.name.clone(),
            member: other.name.clone(),
        });
    }
    let address = parent.attributes.iter().find_map(|a| match a {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    });
    Ok(address)
}

/// Which MAC address members of a network have.
fn mac(network: &Network) -> Result<Mac, NetworkError> {
    let options = Options::parse(network.driver, &network.driver_opts)?;
    Ok(match network.driver {
        NetworkDriver::Ipvlan => Mac::Parents { alone: false },
        NetworkDriver::Macvlan if options.macvlan == MacVlanMode::Passthrough => {
            Mac::Parents { alone: true }
        }
        NetworkDriver::Macvlan | NetworkDriver::Bridge => Mac::Own,
    })
}

/// Whether everything is reached by the interface itself: the kernel routes between members and
/// the outside by the machine's own routes, and there is nobody to resolve a gateway's address.
pub(super) fn is_routed(network: &Network) -> bool {
    network.driver == NetworkDriver::Ipvlan
        && Options::parse(network.driver, &network.driver_opts)
            .is_ok_and(|options| options.ipvlan.0 != IpVlanMode::L2)
}

/// Makes the interface of a place, in the namespace from the beginning.
pub(super) fn plug(host: &mut Netlink, ns: &NetNs, place: &Place) -> Result<(), NetworkError> {
    let network = &place.network;
    let options = Options::parse(network.driver, &network.driver_opts)?;
    let (mode, flag) = options.ipvlan;
    let data = match network.driver {
        NetworkDriver::Ipvlan => {
            InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flag)])
        }
        NetworkDriver::Macvlan | NetworkDriver::Bridge => {
            InfoData::MacVlan(vec![InfoMacVlan::Mode(options.macvlan)])
        }
    };
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(place.interface.clone()),
        LinkAttribute::NetNsFd(ns.as_fd().as_raw_fd()),
        LinkAttribute::Link(place.link),
    ];
    let mac = mac(network)?;
    if mac == Mac::Own {
        let address = parse_mac(&place.member.mac)?.to_vec();
        link.attributes.push(LinkAttribute::Address(address));
    }
    link.attributes.extend(network.mtu.map(LinkAttribute::Mtu));
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(kind(network.driver)),
        LinkInfo::Data(data),
    ]));
    let mut batch = Batch::default();
    batch.new_link(link);
    patiently_for(REAPING, || {
        host.send(&batch).map_err(|e| match e.raw_os_error() {
            // The only place may still be its last owner's, whose namespace is being reaped.
            Some(libc::EINVAL) if mac == Mac::Parents { alone: true } => {
                io::ErrorKind::AddrInUse.into()
            }
            _ => e,
        })
    })
    .map_err(|source| NetworkError::Interface {
        step: match network.driver {
            NetworkDriver::Ipvlan => "put an ipvlan on",
            NetworkDriver::Macvlan | NetworkDriver::Bridge => "put a macvlan on",
        },
        interface: network.link.clone(),
        source,
    })
}

/// Sets the interface up with its addresses, in its namespace. Each must be the only one of its
/// kind on the parent, and the last run's may not be reaped yet.
pub(super) fn set_up(
    inside: &mut Netlink,
    index: u32,
    addresses: impl Iterator<Item = (IpAddr, u8)>,
) -> io::Result<()> {
    let mut up = Batch::default();
    up.up(index);
    patiently_for(REAPING, || inside.send(&up))?;
    for (address, prefix) in addresses {
        let mut batch = Batch::default();
        batch.address(index, address, prefix);
        patiently_for(REAPING, || inside.send(&batch))?;
    }
    Ok(())
}

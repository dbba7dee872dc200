//! The interfaces of a container's namespace: pairs that join it to a bridge, or what
//! [`sublink`] makes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};

use super::error::NetworkError;
use super::members::{Member, parse_mac};
use super::netlink::{Batch, Netlink};
use super::netns::NetNs;
use super::record::{Network, Pool};
use super::sandbox::{Endpoint, ways_out};
use super::sublink;
use crate::spec::NetworkDriver;

/// `lo` is the first interface of every namespace.
pub(super) const LOOPBACK: u32 = 1;

/// A lease on a network whose link is up.
pub(super) struct Place {
    pub(super) network: Network,
    pub(super) link: u32,
    pub(super) member: Member,
    pub(super) interface: String,
    pub(super) host_interface: String,
    pub(super) gw_priority: i64,
    pub(super) sysctls: BTreeMap<String, String>,
    /// With their prefixes.
    pub(super) link_local: Vec<(IpAddr, u8)>,
}

/// Makes the interfaces of places: pairs, or on macvlan and ipvlan networks single ones.
pub(super) fn plug(host: &mut Netlink, ns: &NetNs, places: &[Place]) -> Result<(), NetworkError> {
    for place in places {
        match place.network.driver {
            NetworkDriver::Bridge => plug_pair(host, ns, place)?,
            NetworkDriver::Macvlan | NetworkDriver::Ipvlan => sublink::plug(host, ns, place)?,
        }
    }
    Ok(())
}

/// One message a pair: both ends with their names, the near end in the bridge and up, the far
/// end in the namespace, with its MAC.
fn plug_pair(host: &mut Netlink, ns: &NetNs, place: &Place) -> Result<(), NetworkError> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(place.interface.clone()),
        LinkAttribute::NetNsFd(ns.as_fd().as_raw_fd()),
        LinkAttribute::Address(parse_mac(&place.member.mac)?.to_vec()),
    ];
    let mut link = LinkMessage::default();
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link.attributes = vec![
        LinkAttribute::IfName(place.host_interface.clone()),
        LinkAttribute::Controller(place.link),
    ];
    if let Some(mtu) = place.network.mtu {
        peer.attributes.push(LinkAttribute::Mtu(mtu));
        link.attributes.push(LinkAttribute::Mtu(mtu));
    }
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let mut batch = Batch::default();
    batch.new_link(link);
    if !place.network.icc {
        // Members that may not talk to each other: isolated ports reach only the bridge.
        let mut port = LinkMessage::default();
        port.attributes = vec![
            LinkAttribute::IfName(place.host_interface.clone()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Isolated(
                    true,
                )])),
            ]),
        ];
        batch.change_port(port);
    }
    host.send(&batch).map_err(|e| NetworkError::Interface {
        step: "make",
        interface: place.interface.clone(),
        source: e,
    })
}

/// IPv4-only interfaces need no IPv6 address of their own making, nor the neighbour discovery
/// that comes with one. The calling thread is in the new namespace; a kernel without IPv6 has
/// no such switch.
pub(super) fn no_link_local(places: &[Place]) {
    if places.iter().all(|p| p.member.ipv6.is_none()) {
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1");
    }
}

/// Inside the namespace, which has `existing` interfaces: `lo` up, addresses, default routes, in one message.
pub(super) fn configure(
    inside: &mut Netlink,
    places: &[Place],
    existing: &[Endpoint],
) -> Result<Vec<Endpoint>, NetworkError> {
    let failed = NetworkError::kernel("give the container's interfaces their addresses");
    let mut batch = Batch::default();
    batch.up(LOOPBACK);
    let mut endpoints = Vec::with_capacity(places.len());
    let mut indices = Vec::with_capacity(places.len());
    for place in places {
        let index = match inside.link(&place.interface) {
            Ok(Some((index, _))) => index,
            Ok(None) => return Err(failed(std::io::ErrorKind::NotFound.into())),
            Err(e) => return Err(failed(e)),
        };
        place.apply_sysctls()?;
        let endpoint = place.endpoint();
        let addresses = endpoint.addresses().chain(place.link_local.iter().copied());
        if place.network.driver == NetworkDriver::Bridge {
            // A pair's far end cannot be born up: it does not know its other end yet.
            batch.up(index);
            for (address, prefix) in addresses {
                batch.address(index, address, prefix);
            }
        } else if let Err(e) = sublink::set_up(inside, index, addresses) {
            return Err(failed(e));
        }
        endpoints.push(endpoint);
        indices.push(index);
    }
    for (way_out, gateway) in ways_out(existing.iter().chain(&endpoints)) {
        let new = endpoints
            .iter()
            .position(|e| e.interface == way_out.interface);
        if let Some(index) = new.and_then(|new| indices.get(new)) {
            batch.default_route(*index, gateway);
        }
    }
    inside.send(&batch).map_err(failed)?;
    Ok(endpoints)
}

impl Place {
    /// The calling thread is in the container's namespace.
    fn apply_sysctls(&self) -> Result<(), NetworkError> {
        for (name, value) in &self.sysctls {
            let parts = name.split('.').map(|part| match part {
                "IFNAME" => &self.interface,
                other => other,
            });
            let path = Path::new("/proc/sys").join(parts.collect::<PathBuf>());
            std::fs::write(path, value).map_err(|source| NetworkError::InterfaceSetting {
                setting: name.clone(),
                value: value.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn endpoint(&self) -> Endpoint {
        let (pool4, pool6) = (self.network.pool4(), self.network.pool6());
        let gateway = |pool: Option<&Pool>| {
            let pool = pool.filter(|_| !sublink::is_routed(&self.network));
            pool.map(|pool| pool.gateway.to_string())
        };
        Endpoint {
            network_id: self.network.id.clone(),
            network: self.network.name.clone(),
            interface: self.interface.clone(),
            host_interface: self.host_interface.clone(),
            ipv4: self.member.ipv4.zip(pool4.map(|p| p.subnet.prefix())),
            ipv6: self.member.ipv6.zip(pool6.map(|p| p.subnet.prefix())),
            gateway4: gateway(pool4).and_then(|address| address.parse().ok()),
            gateway6: gateway(pool6).and_then(|address| address.parse().ok()),
            driver: self.network.driver,
            mac: self.member.mac.clone(),
            aliases: self.member.aliases.clone(),
            internal: self.network.internal,
            gw_priority: self.gw_priority,
        }
    }
}

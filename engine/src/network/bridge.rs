//! The bridge of a network: made when the first member joins (also after a reboot), removed
//! with the network.
//!
//! It is set up in one order: link, sysctls, address, packet filter, up. So a bridge that is
//! up is complete, and one left half-made by a crash is finished by the next to come.

use std::fs;
use std::io;

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::error::NetworkError;
use super::forwarding;
use super::mark;
use super::members::derived_mac;
use super::netlink::{Batch, Netlink};
use super::nft;
use super::options::Options;
use super::record::{Network, Publish};
use super::store::NetworkStore;
use crate::spec::NetworkSpec;

/// The name of the bridge of a network that is to be made.
pub(super) fn choose(
    id: &str,
    spec: &NetworkSpec,
    options: &Options,
) -> Result<String, NetworkError> {
    if spec.internal && options.publish == Publish::Dnat {
        return Err(NetworkError::DriverOption {
            name: "gantry.network.publish".to_owned(),
            value: "dnat".to_owned(),
            reason: "nobody outside reaches an internal network but by `relay`",
        });
    }
    let Some(name) = &options.bridge else {
        // 15 characters, the most an interface name can have.
        return Ok(format!("gt-{}", &id[..12]));
    };
    let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    let found = netlink
        .link(name)
        .map_err(NetworkError::kernel("ask for an interface"))?;
    match found {
        Some(_) => Err(NetworkError::InterfaceExists(name.clone())),
        None => Ok(name.clone()),
    }
}

/// Makes sure that the bridge is there and complete; returns its index. The caller holds the
/// network's lock. The pools of `network` may have moved.
pub(super) fn ensure(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &mut Network,
) -> Result<u32, NetworkError> {
    let found = netlink
        .link(&network.link)
        .map_err(failed(network, "look up"))?;
    let index = match found {
        Some((index, flags)) if flags.contains(LinkFlags::Up) => return Ok(index),
        Some((index, _)) => index,
        None => create(store, netlink, network)?,
    };
    store.settle(network, index)?;
    set_up(store, netlink, network, index)?;
    Ok(index)
}

fn failed(network: &Network, step: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    let interface = network.link.clone();
    move |source| NetworkError::Interface {
        step,
        interface,
        source,
    }
}

fn create(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
) -> Result<u32, NetworkError> {
    let mut link = LinkMessage::default();
    link.attributes
        .push(LinkAttribute::IfName(network.link.clone()));
    link.attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
            InfoKind::Bridge,
        )]));
    // A MAC of its own: else a bridge takes the lowest of its ports' and changes it as they
    // come and go, and members' neighbour caches break.
    let gateway = network.pool4().map(|p| p.gateway.to_string());
    let mac = derived_mac(gateway.and_then(|g| g.parse().ok()), &network.id, "bridge");
    link.attributes.push(LinkAttribute::Address(mac.to_vec()));
    if let Some(mtu) = network.mtu {
        link.attributes.push(LinkAttribute::Mtu(mtu));
    }
    let mut marked = LinkMessage::default();
    marked.attributes = vec![
        LinkAttribute::IfName(network.link.clone()),
        mark::attribute(store.paths()),
    ];
    // The kernel answers to a whole batch before a kill is heeded.
    let mut batch = Batch::default();
    batch.new_link(link).set_link(marked);
    netlink
        .send(&batch)
        .map_err(|e| failed(network, "make")(e))?;
    match netlink
        .link(&network.link)
        .map_err(failed(network, "look up"))?
    {
        Some((index, _)) => Ok(index),
        None => Err(failed(network, "look up")(io::ErrorKind::NotFound.into())),
    }
}

fn set_up(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
    index: u32,
) -> Result<(), NetworkError> {
    if network.pool6().is_none() {
        // No link-local address on a network without IPv6. Absent in kernels without IPv6.
        let _ = fs::write(
            format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", network.link),
            "1",
        );
    }
    for pool in &network.pools {
        let mut batch = Batch::default();
        batch.address(index, pool.gateway, pool.subnet.prefix());
        match netlink.send(&batch) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(failed(network, "give an address to"))?,
        }
    }
    nft::add(store.paths(), network)?;
    if !network.internal {
        forwarding::enable(store, netlink, network)?;
    }
    let mut batch = Batch::default();
    batch.up(index);
    netlink
        .send(&batch)
        .map_err(|e| failed(network, "set up")(e))
}

/// Removes the bridge; none is fine.
pub(super) fn remove(network: &Network) -> Result<(), NetworkError> {
    let mut netlink = Netlink::route().map_err(failed(network, "remove"))?;
    let Some((index, _)) = netlink
        .link(&network.link)
        .map_err(failed(network, "look up"))?
    else {
        return Ok(());
    };
    netlink.remove(index).map_err(failed(network, "remove"))
}

//! Whether this machine can do what networks need, found out in a namespace that goes at once.

use std::net::Ipv4Addr;

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::NetworkError;
use super::home::at_home;
use super::netlink::{Batch, Netlink, uplinks};
use super::netns::NetNs;
use super::nft;
use super::parent::{has_kind, kind};
use crate::spec::NetworkDriver;

/// Makes a namespace, and in it a bridge, a veth pair and a packet filter. Returns the drivers of
/// networks that the kernel does not have.
pub fn probe() -> Result<Vec<NetworkDriver>, NetworkError> {
    let (_, result) = NetNs::create(None, |_| {
        let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
        for (name, kind, step) in [
            ("probe-bridge", InfoKind::Bridge, "make a bridge"),
            ("probe-veth", InfoKind::Veth, "make a veth pair"),
        ] {
            let mut link = LinkMessage::default();
            link.attributes.push(LinkAttribute::IfName(name.to_owned()));
            let kind = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
            link.attributes.push(kind);
            let mut batch = Batch::default();
            batch.new_link(link);
            netlink.send(&batch).map_err(NetworkError::kernel(step))?;
        }
        nft::redirect_names(Ipv4Addr::LOCALHOST, 1053, 1053).map_err(NetworkError::Nftables)?;
        let mut missing = NetworkDriver::ALL.to_vec();
        missing.retain(|driver| !has_kind(&mut netlink, kind(*driver)).unwrap_or(false));
        Ok(missing)
    })
    .map_err(NetworkError::kernel("make a network namespace"))?;
    result
}

/// Whether the namespace that has the bridges has a way out.
pub fn has_way_out() -> bool {
    let ask = || {
        let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
        uplinks(&mut netlink).map_err(NetworkError::kernel("list the machine's routes"))
    };
    at_home(ask).is_ok_and(|uplinks| !uplinks.is_empty())
}

//! Published ports whose servers see their clients' own addresses: the packet filter leads what
//! comes from elsewhere into the container, and the socket of the port, which still holds it,
//! serves what the filter leaves: loopback clients and other containers.
//!
//! What is translated follows from what is on disk: an address that a member of a network has.
//! Giving that back ends all translations to it, so nothing outlives a supervisor that was killed.

use std::net::{IpAddr, SocketAddr};

use super::Published;
use crate::network::home::at_home;
use crate::network::netlink::Netlink;
use crate::network::nft::ports::{self, Translation};
use crate::network::record::{Network, Publish};
use crate::network::sandbox::ways_out;
use crate::network::store::NetworkStore;
use crate::network::{Endpoint, NetworkError, conntrack, forwarding};
use crate::state::crash_point;

/// Begins to translate, for endpoints on networks that ask for it. What is said to the user when
/// the machine's firewall is in the way.
pub fn translate(
    store: &NetworkStore,
    published: &[Published],
    endpoints: &[Endpoint],
) -> Result<Option<String>, NetworkError> {
    if published.is_empty() {
        return Ok(None);
    }
    for endpoint in endpoints {
        end_unless_way_out(store, endpoint, endpoints)?;
    }
    let mut obstacle = None;
    // Answers leave by the container's default route, which must be the way that they came.
    for (endpoint, gateway) in ways_out(endpoints) {
        let mut own = endpoint.addresses().map(|(address, _)| address);
        let Some(to) = own.find(|address| address.is_ipv4() == gateway.is_ipv4()) else {
            continue;
        };
        let Some(network) = store.by_id(&endpoint.network_id)? else {
            continue;
        };
        let translations: Vec<_> = published.iter().filter_map(|p| lead(p, to)).collect();
        if network.publish != Publish::Dnat || translations.is_empty() {
            continue;
        }
        if let Some(text) = network.bypass() {
            obstacle = Some(text);
            continue;
        }
        let _lock = store.lock(&network.id)?;
        at_home(|| begin(store, &network, &translations))?;
    }
    Ok(obstacle)
}

/// Another network may have become the way out since: answers would leave by that one.
fn end_unless_way_out(
    store: &NetworkStore,
    endpoint: &Endpoint,
    endpoints: &[Endpoint],
) -> Result<(), NetworkError> {
    let left = |address: IpAddr| {
        let mut ways = ways_out(endpoints);
        let own = endpoint.addresses().any(|(own, _)| own == address);
        own && !ways.any(|(way, gateway)| {
            way.network_id == endpoint.network_id && gateway.is_ipv4() == address.is_ipv4()
        })
    };
    if !endpoint.addresses().any(|(address, _)| left(address)) {
        return Ok(());
    }
    let Some(network) = store.by_id(&endpoint.network_id)? else {
        return Ok(());
    };
    let _lock = store.lock(&network.id)?;
    end(store, &network, &left)
}

fn begin(
    store: &NetworkStore,
    network: &Network,
    translations: &[Translation],
) -> Result<(), NetworkError> {
    let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    // Interfaces may have come since the bridge was made.
    let ways = forwarding::enable(store, &mut netlink, network)?;
    ports::publish(store.paths(), &ways, translations).map_err(NetworkError::Nftables)?;
    crash_point("translate.begun");
    Ok(())
}

/// Where a port leads. One of another family than the container's address, and one at a loopback
/// address, are the socket's alone.
fn lead(published: &Published, to: IpAddr) -> Option<Translation> {
    let from = published.host_ip;
    (from.is_ipv4() == to.is_ipv4() && !from.is_loopback()).then(|| Translation {
        from: SocketAddr::new(from, published.host_port),
        protocol: published.protocol,
        to: SocketAddr::new(to, published.container_port),
    })
}

/// Ends the translations to addresses of a network that are given back.
pub(in crate::network) fn end(
    store: &NetworkStore,
    network: &Network,
    to: &(dyn Fn(IpAddr) -> bool + Sync),
) -> Result<(), NetworkError> {
    if network.publish != Publish::Dnat {
        return Ok(());
    }
    at_home(|| {
        ports::unpublish(store.paths(), to).map_err(NetworkError::Nftables)?;
        // A kernel without this list loses only the time until an entry ends by itself.
        let _ = conntrack::forget(to);
        crash_point("translate.ended");
        Ok(())
    })
}

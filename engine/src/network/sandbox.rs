//! A container's network namespace and its endpoints on networks.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

use super::bridge;
use super::error::NetworkError;
use super::home::at_home;
use super::members::{Member, Members, Wish, parse_mac};
use super::netlink::{Batch, Netlink};
use super::netns::NetNs;
use super::options::link_local_prefix;
use super::parent;
use super::publish::translate;
use super::record::Network;
use super::store::NetworkStore;
use super::sublink;
use super::veth::{LOOPBACK, Place, configure, no_link_local, plug};
use crate::spec::{EndpointSpec, NetworkDriver};
use crate::sys::{ProcessRef, random};

/// A container that wants to be on networks.
pub struct Request<'a> {
    /// The container's id: the owner of leases.
    pub owner: &'a str,
    /// The process whose end is the owner's, where that is no container.
    pub process: Option<ProcessRef>,
    /// The container's name.
    pub name: &'a str,
    /// Its host name, under which other members find it too, as in Docker.
    pub hostname: &'a str,
    /// MAC address of the first endpoint that does not name its own.
    pub mac_address: Option<&'a str>,
    /// Networks in order; the first with a way out is the default route. None: `bridge`.
    pub endpoints: &'a [EndpointSpec],
    /// Whether the container of an id still lives; leases of others are taken back when needed.
    pub alive: &'a (dyn Fn(&str) -> bool + Sync),
    /// The user namespace that the network namespace is to belong to; `None` is ours.
    pub userns: Option<BorrowedFd<'a>>,
}

/// A namespace that is ready for a container.
#[derive(Debug)]
pub struct Sandbox {
    /// The namespace. When its last descriptor and process are gone the kernel removes its
    /// interfaces, in its own time; nothing waits for that.
    pub netns: NetNs,
    /// Its interfaces.
    pub endpoints: Vec<Endpoint>,
}

/// An interface of a container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network's id.
    pub network_id: String,
    /// The network's name.
    pub network: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Name of its other end on the machine. On macvlan and ipvlan networks there is none, and
    /// the name only tells this endpoint from others.
    pub host_interface: String,
    /// IPv4 address and prefix.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv6 address and prefix.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// The network's driver.
    #[serde(default)]
    pub driver: NetworkDriver,
    /// The network's IPv4 gateway; an ipvlan network that routes by itself has none.
    pub gateway4: Option<Ipv4Addr>,
    /// The network's IPv6 gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// MAC address.
    pub mac: String,
    /// Names besides the container's own.
    pub aliases: Vec<String>,
    /// The network has no way out.
    pub internal: bool,
    /// That of its specification.
    #[serde(default)]
    pub gw_priority: i64,
}

/// Makes a namespace with an interface on each network. Idempotent for an owner: it gets the
/// same addresses again. On failure everything is given back.
pub fn connect(store: &NetworkStore, request: &Request<'_>) -> Result<Sandbox, NetworkError> {
    at_home(|| connect_here(store, request))
}

fn connect_here(store: &NetworkStore, request: &Request<'_>) -> Result<Sandbox, NetworkError> {
    let mut host = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    let default = [EndpointSpec::default_network()];
    let wanted = if request.endpoints.is_empty() {
        &default
    } else {
        request.endpoints
    };
    let undo = Undo::new(store, request.owner);
    let (places, undo) = take_places(store, &mut host, request, wanted, &[], undo)?;
    let (netns, endpoints) = NetNs::create(request.userns, |ns| {
        let mut inside = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
        no_link_local(&places);
        plug(&mut host, ns, &places)?;
        configure(&mut inside, &places, &[])
    })
    .map_err(NetworkError::kernel("make a network namespace"))?;
    let endpoints = endpoints?;
    undo.keep();
    Ok(Sandbox { netns, endpoints })
}

/// A namespace with nothing but `lo`, for mode `none`.
pub fn loopback(userns: Option<BorrowedFd<'_>>) -> Result<Sandbox, NetworkError> {
    let (netns, result) = NetNs::create(userns, |_| {
        let mut inside = Netlink::route()?;
        let mut batch = Batch::default();
        batch.up(LOOPBACK);
        inside.send(&batch)
    })
    .map_err(NetworkError::kernel("make a network namespace"))?;
    result.map_err(NetworkError::kernel("set `lo` up"))?;
    Ok(Sandbox {
        netns,
        endpoints: Vec::new(),
    })
}

/// Gives back the addresses and names of a container that ended. Drop every descriptor of the
/// namespace too; its interfaces then go by themselves. Continues past errors, returns the first.
pub fn disconnect(
    store: &NetworkStore,
    owner: &str,
    endpoints: &[Endpoint],
) -> Result<(), NetworkError> {
    let results: Vec<_> = endpoints
        .iter()
        .map(|e| leave(store, &e.network_id, owner))
        .collect();
    results.into_iter().collect()
}

/// [`disconnect`] for a container whose endpoints may not be known, as after a crash: without
/// any, every network is looked through.
pub fn release(
    store: &NetworkStore,
    owner: &str,
    endpoints: &[Endpoint],
) -> Result<(), NetworkError> {
    if !endpoints.is_empty() {
        return disconnect(store, owner, endpoints);
    }
    for network in store.records()? {
        if store.members(&network)?.iter().any(|m| m.owner == owner) {
            leave(store, &network.id, owner)?;
        }
    }
    Ok(())
}

fn leave(store: &NetworkStore, network: &str, owner: &str) -> Result<(), NetworkError> {
    let Some(record) = store.by_id(network)? else {
        return Ok(());
    };
    let _lock = store.lock(network)?;
    let path = store.members_path(network);
    let mut members = Members::read(&path)?;
    let Some(member) = members.leave(owner) else {
        return Ok(());
    };
    // First what is led to the addresses: the next to have them wants none of it.
    translate::end(store, &record, &|address| member.has(address))?;
    members.write(&path)
}

/// Adds interfaces to the namespace of a running container that has `existing` ones.
pub fn connect_running(
    store: &NetworkStore,
    request: &Request<'_>,
    netns: &NetNs,
    existing: &[Endpoint],
) -> Result<Vec<Endpoint>, NetworkError> {
    at_home(|| connect_running_here(store, request, netns, existing))
}

fn connect_running_here(
    store: &NetworkStore,
    request: &Request<'_>,
    netns: &NetNs,
    existing: &[Endpoint],
) -> Result<Vec<Endpoint>, NetworkError> {
    let mut host = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    let undo = Undo::new(store, request.owner);
    let (places, undo) = take_places(store, &mut host, request, request.endpoints, existing, undo)?;
    netns
        .visit(|| unplug_leftovers(&places))
        .and_then(|result| result)
        .map_err(NetworkError::kernel(
            "take a leftover interface out of the container",
        ))?;
    plug(&mut host, netns, &places)?;
    let endpoints = netns
        .visit(|| {
            let mut inside = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
            configure(&mut inside, &places, existing).inspect_err(|_| {
                let _ = unplug_leftovers(&places);
            })
        })
        .map_err(NetworkError::kernel(
            "enter the container's network namespace",
        ))??;
    undo.keep();
    Ok(endpoints)
}

/// Interfaces that a call which failed or was interrupted has left: no endpoint has their names.
fn unplug_leftovers(places: &[Place]) -> std::io::Result<()> {
    let mut inside = Netlink::route()?;
    for place in places {
        if let Some((index, _)) = inside.link(&place.interface)? {
            let mut batch = Batch::default();
            batch.delete_link(index);
            inside.send(&batch)?;
        }
    }
    Ok(())
}

/// Gives a container another name on its networks.
pub fn rename(
    store: &NetworkStore,
    owner: &str,
    name: &str,
    endpoints: &[Endpoint],
) -> Result<(), NetworkError> {
    for endpoint in endpoints {
        let _lock = store.lock(&endpoint.network_id)?;
        let path = store.members_path(&endpoint.network_id);
        let mut members = Members::read(&path)?;
        if members.rename(owner, name) {
            members.write(&path)?;
        }
    }
    Ok(())
}

/// Takes one interface out of the namespace of a running container. What it was the way out for goes by one of
/// `remaining`.
pub fn disconnect_running(
    store: &NetworkStore,
    owner: &str,
    netns: &NetNs,
    endpoint: &Endpoint,
    remaining: &[Endpoint],
) -> Result<(), NetworkError> {
    let unplug = || {
        let mut inside = Netlink::route()?;
        if let Some((index, _)) = inside.link(&endpoint.interface)? {
            let mut batch = Batch::default();
            batch.delete_link(index);
            inside.send(&batch)?;
        }
        let before: Vec<_> = ways_out(iter::once(endpoint).chain(remaining)).collect();
        for (next, gateway) in ways_out(remaining) {
            let same = before.contains(&(next, gateway));
            if let (false, Some((index, _))) = (same, inside.link(&next.interface)?) {
                let mut batch = Batch::default();
                batch.default_route(index, gateway);
                inside.send(&batch)?;
            }
        }
        Ok(())
    };
    netns
        .visit(unplug)
        .and_then(|result| result)
        .map_err(NetworkError::kernel(
            "take an interface out of the container",
        ))?;
    leave(store, &endpoint.network_id, owner)
}

/// The default routes: for each family the endpoint and the gateway. Of networks that lead out it is the one of the
/// highest priority, the first among equals.
pub(super) fn ways_out<'a>(
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> impl Iterator<Item = (&'a Endpoint, IpAddr)> {
    let mut found: [Option<(&Endpoint, IpAddr)>; 2] = [None, None];
    for endpoint in endpoints.into_iter().filter(|e| !e.internal) {
        for (found, gateway) in found.iter_mut().zip(endpoint.gateways()) {
            let before = found.map(|(other, _)| other.gw_priority);
            if let Some(gateway) = gateway
                && before.is_none_or(|before| before < endpoint.gw_priority)
            {
                *found = Some((endpoint, gateway));
            }
        }
    }
    found.into_iter().flatten()
}

impl Endpoint {
    /// IPv4's and IPv6's, for a family that it has an address of. Without a gateway the interface itself leads there.
    fn gateways(&self) -> [Option<IpAddr>; 2] {
        let v4 = self.gateway4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let v6 = self.gateway6.unwrap_or(Ipv6Addr::UNSPECIFIED);
        [
            self.ipv4.map(|_| IpAddr::V4(v4)),
            self.ipv6.map(|_| IpAddr::V6(v6)),
        ]
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let v4 = self.ipv4.map(|(address, prefix)| (address.into(), prefix));
        let v6 = self.ipv6.map(|(address, prefix)| (address.into(), prefix));
        v4.into_iter().chain(v6)
    }

    /// The machine's own address on the network, if it has one there: that of the bridge.
    pub fn machine(&self) -> Option<IpAddr> {
        let gateway = self
            .gateway4
            .filter(|_| self.driver == NetworkDriver::Bridge);
        gateway.map(IpAddr::V4)
    }
}

/// Gives leases back when a later step fails.
struct Undo<'a> {
    store: &'a NetworkStore,
    owner: &'a str,
    networks: Vec<String>,
}

impl<'a> Undo<'a> {
    fn new(store: &'a NetworkStore, owner: &'a str) -> Self {
        Self {
            store,
            owner,
            networks: Vec::new(),
        }
    }

    fn keep(mut self) {
        self.networks.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        for network in &self.networks {
            if let Err(error) = leave(self.store, network, self.owner) {
                tracing::warn!(%error, network, "a lease was not given back");
            }
        }
    }
}

fn take_places<'a>(
    store: &NetworkStore,
    host: &mut Netlink,
    request: &Request<'_>,
    wanted: &[EndpointSpec],
    existing: &[Endpoint],
    mut undo: Undo<'a>,
) -> Result<(Vec<Place>, Undo<'a>), NetworkError> {
    let mut places: Vec<Place> = Vec::with_capacity(wanted.len());
    for spec in wanted {
        let found = store.get(&spec.network)?;
        let twice = places.iter().any(|p| p.network.id == found.id)
            || existing.iter().any(|e| e.network_id == found.id);
        if twice {
            return Err(NetworkError::AlreadyConnected(found.name));
        }
        let used = |name: &str| {
            places.iter().any(|p| p.interface == name)
                || existing.iter().any(|e| e.interface == name)
        };
        let interface = match &spec.interface_name {
            Some(name) => {
                valid_interface(name)?;
                name.clone()
            }
            None => (0..)
                .map(|n| format!("eth{n}"))
                .find(|n| !used(n))
                .unwrap_or_default(),
        };
        // The container's own MAC is for one interface: the first.
        let common = request
            .mac_address
            .filter(|_| places.is_empty() && existing.is_empty());
        let mac = parse_optional_mac(spec.mac_address.as_deref().or(common))?;
        let (network, link, member) = take_place(store, host, request, spec, &found.id, mac)?;
        undo.networks.push(network.id.clone());
        let random = random::<6>().map_err(NetworkError::kernel("draw an interface name"))?;
        // Random, not derived: the pair of the container's last run may not be reaped yet.
        let host_interface = format!("gv{}", base16ct::lower::encode_string(&random));
        places.push(Place {
            network,
            link,
            member,
            interface,
            host_interface,
            gw_priority: spec.gw_priority,
            sysctls: spec.sysctls.clone(),
            link_local: link_local(spec)?,
        });
    }
    Ok((places, undo))
}

fn link_local(spec: &EndpointSpec) -> Result<Vec<(IpAddr, u8)>, NetworkError> {
    let with_prefix = |&address: &IpAddr| {
        let prefix = link_local_prefix(address).ok_or(NetworkError::LinkLocal(address))?;
        Ok((address, prefix))
    };
    spec.link_local.iter().map(with_prefix).collect()
}

fn take_place(
    store: &NetworkStore,
    host: &mut Netlink,
    request: &Request<'_>,
    spec: &EndpointSpec,
    id: &str,
    mac: Option<[u8; 6]>,
) -> Result<(Network, u32, Member), NetworkError> {
    let mut aliases = spec.aliases.clone();
    let short = request.owner.get(..12).unwrap_or_default();
    if ![request.name, short, ""].contains(&request.hostname)
        && !aliases.iter().any(|a| a == request.hostname)
    {
        aliases.push(request.hostname.to_owned());
    }
    let _lock = store.lock(id)?;
    // Read again: it may have been removed while the lock was waited for.
    let mut network = store
        .by_id(id)?
        .ok_or_else(|| NetworkError::NotFound(spec.network.clone()))?;
    let path = store.members_path(id);
    let mut members = Members::read(&path)?;
    let (link, mac) = match network.driver {
        NetworkDriver::Bridge => (bridge::ensure(store, host, &mut network)?, mac),
        NetworkDriver::Macvlan | NetworkDriver::Ipvlan => {
            let parent = parent::ensure(store, host, &network)?;
            let others = members.members.iter().filter(|m| m.owner != request.owner);
            let other = others.into_iter().find(|m| m.is_alive(request.alive));
            (
                parent.header.index,
                sublink::choose_mac(&network, &parent, mac, other)?,
            )
        }
    };
    let wish = Wish {
        owner: request.owner,
        name: request.name,
        aliases: &aliases,
        ipv4: spec.ipv4,
        ipv6: spec.ipv6,
        mac,
        process: request.process,
    };
    let member = match members.join(&network, &wish) {
        Err(NetworkError::Exhausted { .. } | NetworkError::AddressTaken { .. }) => {
            let (alive, dead): (Vec<_>, Vec<_>) = std::mem::take(&mut members.members)
                .into_iter()
                .partition(|m| m.is_alive(request.alive));
            translate::end(store, &network, &|address| {
                dead.iter().any(|m| m.has(address))
            })?;
            members.members = alive;
            members.join(&network, &wish)?
        }
        other => other?,
    };
    members.write(&path)?;
    Ok((network, link, member))
}

fn parse_optional_mac(text: Option<&str>) -> Result<Option<[u8; 6]>, NetworkError> {
    text.filter(|t| !t.is_empty()).map(parse_mac).transpose()
}

/// Checks an interface name as the kernel does.
pub(super) fn valid_interface(name: &str) -> Result<(), NetworkError> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if name.is_empty()
        || name.len() > 15
        || name == "."
        || name == ".."
        || name == "lo"
        || name.chars().any(bad)
    {
        return Err(NetworkError::InterfaceName(name.to_owned()));
    }
    Ok(())
}

//! The parent of a macvlan or ipvlan network: an interface of the machine, a VLAN of one
//! (`eth0.10`, made when it is missing), or for an internal network a link that leads nowhere.
//!
//! What is ours is made when the first member joins, marked in the message that makes it, and
//! removed with the network. An interface that was there already is never changed.

use std::io;

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::error::NetworkError;
use super::mark;
use super::netlink::{Batch, Netlink};
use super::options::Options;
use super::record::Network;
use super::sandbox::valid_interface;
use super::store::NetworkStore;
use crate::spec::{NetworkDriver, NetworkSpec};
use crate::sys::user_namespace;

/// A VLAN by the name that it is given: the interface it is on, and its number.
#[derive(Debug, PartialEq, Eq)]
struct Vlan<'a> {
    on: &'a str,
    id: u16,
}

impl<'a> Vlan<'a> {
    fn of_name(name: &'a str) -> Option<Self> {
        let (on, number) = name.rsplit_once('.')?;
        let id: u16 = number.parse().ok().filter(|id| (1..=4094).contains(id))?;
        // `eth0.010` would be another name for the same one.
        (id.to_string() == number).then_some(Self { on, id })
    }
}

/// The link of a network that is to be made, which is its parent's name or one of its own.
/// Refuses what cannot work when members join.
pub(super) fn choose(
    spec: &NetworkSpec,
    id: &str,
    options: &Options,
    others: &[Network],
) -> Result<String, NetworkError> {
    let mut netlink = Netlink::route().map_err(NetworkError::kernel("open rtnetlink"))?;
    need_kind(&mut netlink, kind(spec.driver), spec.driver.name())?;
    let Some(parent) = options.parent.as_ref().filter(|_| !spec.internal) else {
        return Ok(own_name(id));
    };
    if !user_namespace::is_initial() {
        return Err(NetworkError::ParentOfUser(parent.clone()));
    }
    let missing = || NetworkError::NoParent(parent.clone());
    let mut exists = |name: &str| {
        let found = netlink.link(name);
        found.map_err(NetworkError::kernel("ask for an interface"))
    };
    if exists(parent)?.is_none() {
        let vlan = Vlan::of_name(parent).ok_or_else(missing)?;
        valid_interface(vlan.on)?;
        exists(vlan.on)?.ok_or_else(missing)?;
        need_kind(&mut netlink, InfoKind::Vlan, "8021q")?;
    }
    for other in others.iter().filter(|other| other.link == *parent) {
        let other_options = Options::parse(other.driver, &other.driver_opts)?;
        let alone = |options: &Options| options.macvlan == MacVlanMode::Passthrough;
        if other.driver != spec.driver || alone(options) || alone(&other_options) {
            return Err(NetworkError::ParentInUse {
                parent: parent.clone(),
                network: other.name.clone(),
            });
        }
    }
    Ok(parent.clone())
}

/// The kernel's name for what members of a network get.
pub(super) fn kind(driver: NetworkDriver) -> InfoKind {
    match driver {
        NetworkDriver::Bridge => InfoKind::Veth,
        NetworkDriver::Macvlan => InfoKind::MacVlan,
        NetworkDriver::Ipvlan => InfoKind::IpVlan,
    }
}

fn need_kind(
    netlink: &mut Netlink,
    kind: InfoKind,
    module: &'static str,
) -> Result<(), NetworkError> {
    match has_kind(netlink, kind) {
        Ok(true) => Ok(()),
        Ok(false) => Err(NetworkError::NoModule(module)),
        Err(e) => Err(NetworkError::kernel("ask the kernel for its drivers")(e)),
    }
}

/// Whether the kernel has a driver for interfaces on others; loads its module. Nothing is made:
/// the request names no interface to be on.
pub(super) fn has_kind(netlink: &mut Netlink, kind: InfoKind) -> io::Result<bool> {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])];
    let mut batch = Batch::default();
    batch.new_link(link);
    match netlink.send(&batch) {
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => Err(e),
        _ => Ok(true),
    }
}

fn failed(network: &Network, step: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    let interface = network.link.clone();
    move |source| NetworkError::Interface {
        step,
        interface,
        source,
    }
}

/// Makes sure that the parent is there; returns it. The caller holds the network's lock.
pub(super) fn ensure(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
) -> Result<LinkMessage, NetworkError> {
    let look = |netlink: &mut Netlink| {
        let found = netlink.interface(&network.link);
        found.map_err(failed(network, "look up"))
    };
    let found = match look(netlink)? {
        Some(found) => found,
        None => {
            make(store, netlink, network)?;
            let missing = || failed(network, "look up")(io::ErrorKind::NotFound.into());
            look(netlink)?.ok_or_else(missing)?
        }
    };
    // Ours is up, also when the one who made it came no further. Others' are as they are.
    if !found.header.flags.contains(LinkFlags::Up) && mark::is_on(store.paths(), &found) {
        let mut batch = Batch::default();
        batch.up(found.header.index);
        netlink.send(&batch).map_err(failed(network, "set up"))?;
    }
    Ok(found)
}

fn make(
    store: &NetworkStore,
    netlink: &mut Netlink,
    network: &Network,
) -> Result<(), NetworkError> {
    let vlan = if network.internal {
        None
    } else {
        let missing = || NetworkError::NoParent(network.link.clone());
        let vlan = Vlan::of_name(&network.link).ok_or_else(missing)?;
        let below = netlink.link(vlan.on).map_err(failed(network, "look up"))?;
        Some((below.ok_or_else(missing)?.0, vlan.id))
    };
    // By a name that nobody else has, so that only what we made gets our mark; that is also
    // where what a crash left between the two is found.
    let name = own_name(&network.id);
    let made = match vlan {
        Some(vlan) => new_link(netlink, &name, network.mtu, InfoKind::Vlan, Some(vlan)),
        // What is sent to the outside ends in either; many kernels have only one of the two.
        None => match new_link(netlink, &name, network.mtu, InfoKind::Dummy, None) {
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                new_link(netlink, &name, network.mtu, InfoKind::Ifb, None)
            }
            other => other,
        },
    };
    match (made, netlink.link(&name)) {
        (_, Ok(Some((index, _)))) => {
            let mut link = LinkMessage::default();
            link.header.index = index;
            link.attributes = vec![
                LinkAttribute::IfName(network.link.clone()),
                mark::attribute(store.paths()),
            ];
            let mut batch = Batch::default();
            batch.set_link(link);
            netlink.send(&batch).map_err(failed(network, "name"))
        }
        (Err(e), _) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            Err(NetworkError::NoModule("dummy"))
        }
        (Err(e), _) | (Ok(()), Err(e)) => Err(failed(network, "make")(e)),
        (Ok(()), Ok(None)) => Err(failed(network, "make")(io::ErrorKind::NotFound.into())),
    }
}

/// The name of a link that is a network's own: 15 characters, the most it can have.
fn own_name(id: &str) -> String {
    format!("dm-{}", &id[..12])
}

/// A VLAN is on another link and has a number.
fn new_link(
    netlink: &mut Netlink,
    name: &str,
    mtu: Option<u32>,
    kind: InfoKind,
    vlan: Option<(u32, u16)>,
) -> io::Result<()> {
    let mut info = vec![LinkInfo::Kind(kind)];
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    link.attributes.extend(mtu.map(LinkAttribute::Mtu));
    if let Some((below, id)) = vlan {
        link.attributes.push(LinkAttribute::Link(below));
        info.push(LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)])));
    }
    link.attributes.push(LinkAttribute::LinkInfo(info));
    let mut batch = Batch::default();
    batch.new_link(link);
    netlink.send(&batch)
}

/// Removes the parent if we made it; none is fine.
pub(super) fn remove(store: &NetworkStore, network: &Network) -> Result<(), NetworkError> {
    let mut netlink = Netlink::route().map_err(failed(network, "remove"))?;
    let found = netlink.interface(&network.link);
    let found = found.map_err(failed(network, "look up"))?;
    let Some(found) = found.filter(|link| mark::is_on(store.paths(), link)) else {
        return Ok(());
    };
    let gone = netlink.remove(found.header.index);
    gone.map_err(failed(network, "remove"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_have_an_interface_and_a_number() {
        let of = Vlan::of_name;
        assert_eq!(of("eth0.10"), Some(Vlan { on: "eth0", id: 10 }));
        assert_eq!(of("bond0.7.4094").map(|v| v.id), Some(4094));
        for wrong in [
            "eth0",
            "eth0.",
            "eth0.0",
            "eth0.4095",
            "eth0.x",
            "eth0.010",
            "eth0.+1",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}

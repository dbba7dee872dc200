//! Ports that are published by translating addresses: the table `gantry-<root hash>-ports`,
//! made when the first one is.
//! ```text
//! map any4, any6: protocol . port           -> address . port   # at any address of the machine
//! map at4, at6:   address . protocol . port -> address . port   # at one
//! chain prerouting (nat): iifname @ways ...                      # from elsewhere
//! chain output (nat): ip daddr != 127.0.0.0/8 ...                # from the machine itself
//! ```
//! `ways` are interfaces that packets are forwarded from. What comes by another one, such as
//! a bridge of ours, and what is sent to a loopback address, reaches the socket of the port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::encode::{Key, Transaction, ifname};
use super::step::Step;
use super::table::{DESTINATION_NAT_PRIORITY, OUTPUT, attributes_of};
use super::{BEFORE, Change, Element, Table, change, forget};
use crate::network::mark;
use crate::network::netlink::Netlink;
use crate::spec::Protocol;
use crate::state::Paths;

const PREROUTING: u32 = 0;
const GETSETELEM: u16 = (10 << 8) | 13;
const NFPROTO_INET: u8 = 1;
const MAPS: [&str; 4] = ["any4", "any6", "at4", "at6"];

/// A port of the machine and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::network) struct Translation {
    /// An unspecified address means all of its family.
    pub(in crate::network) from: SocketAddr,
    pub(in crate::network) protocol: Protocol,
    /// Of the same family.
    pub(in crate::network) to: SocketAddr,
}

pub(super) fn table(root: &Paths) -> Table {
    Table {
        name: format!("{BEFORE}{}-ports", root.root_hash()),
        comment: mark::text(root),
        define,
    }
}

/// What is particular to a family.
struct Family {
    number: u8,
    any: &'static str,
    at: &'static str,
    /// Where its header has the destination.
    destination: (u32, u32),
    /// Begin of a destination that is the machine itself.
    loopback: &'static [u8],
    /// The first quarter of a register after the address.
    after: u32,
}

const FAMILIES: [Family; 2] = [
    Family {
        number: 2,
        any: "any4",
        at: "at4",
        destination: (16, 4),
        loopback: &[127],
        after: 9,
    },
    Family {
        number: 10,
        any: "any6",
        at: "at6",
        destination: (24, 16),
        loopback: &[0; 15],
        after: 12,
    },
];

fn define(t: &mut Transaction) {
    t.set("ways", Key::Interface);
    t.map("any4", Key::Port, Key::Ipv4);
    t.map("any6", Key::Port, Key::Ipv6);
    t.map("at4", Key::PortOfIpv4, Key::Ipv4);
    t.map("at6", Key::PortOfIpv6, Key::Ipv6);
    t.chain("prerouting", "nat", PREROUTING, DESTINATION_NAT_PRIORITY);
    t.chain("output", "nat", OUTPUT, DESTINATION_NAT_PRIORITY);
    for family in &FAMILIES {
        let (offset, length) = family.destination;
        let header = |length| Step::NetworkHeader {
            register: 1,
            offset,
            length,
        };
        let of_family = || Step::Family(family.number);
        let from_elsewhere = || vec![Step::InputName(1), Step::In(1, "ways"), of_family()];
        let from_here = || {
            let begin = family.loopback;
            let destination = header(begin.len() as u32);
            vec![of_family(), destination, Step::IsNot(begin.to_vec())]
        };
        let translate = || Step::DestinationNat {
            family: family.number.into(),
            port: family.after,
        };
        for (chain, begin) in [
            ("prerouting", &from_elsewhere as &dyn Fn() -> Vec<Step>),
            ("output", &from_here),
        ] {
            let mut at = begin();
            at.push(header(length));
            at.extend([Step::Protocol(family.after), Step::Port(family.after + 1)]);
            at.extend([Step::Find(1, family.at), translate()]);
            t.rule(chain, &at);
            let mut any = begin();
            any.push(Step::Local);
            any.extend([Step::Protocol(8), Step::Port(9)]);
            any.extend([Step::Find(1, family.any), translate()]);
            t.rule(chain, &any);
        }
    }
}

impl Translation {
    fn element(&self) -> Element {
        let [family4, family6] = &FAMILIES;
        let family = if self.to.is_ipv4() { family4 } else { family6 };
        let protocol = match self.protocol {
            Protocol::Udp => 17,
            Protocol::Tcp | Protocol::Sctp => 6,
        };
        let mut start = Vec::new();
        if !self.from.ip().is_unspecified() {
            start.extend(bytes(self.from.ip()));
        }
        let set = if start.is_empty() {
            family.any
        } else {
            family.at
        };
        start.extend([protocol, 0, 0, 0]);
        start.extend(field(self.from.port()));
        let mut data = bytes(self.to.ip());
        data.extend(field(self.to.port()));
        Element {
            set,
            start,
            end: None,
            data: Some(data),
        }
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn field(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Translates what comes by these interfaces. A port that led elsewhere leads here now: who asks
/// holds its socket.
pub(in crate::network) fn publish(
    root: &Paths,
    ways: &[String],
    translations: &[Translation],
) -> io::Result<()> {
    let table = table(root);
    let ways: Vec<_> = ways
        .iter()
        .map(|name| Element::key("ways", ifname(name)))
        .collect();
    change(&table, &ways, Change::Add)?;
    for translation in translations {
        let element = translation.element();
        let one = std::slice::from_ref(&element);
        match change(&table, one, Change::Add) {
            Err(e) if is_taken(&e) => {
                forget(&table, &[Element::key(element.set, element.start.clone())])?;
                change(&table, one, Change::Add)?;
            }
            other => other?,
        }
    }
    Ok(())
}

/// What the kernel says when a key has other data.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

/// Ends the translations to these addresses. A table that is not there is fine.
pub(in crate::network) fn unpublish(root: &Paths, to: &dyn Fn(IpAddr) -> bool) -> io::Result<()> {
    let table = table(root);
    for map in MAPS {
        let listed = match list(&table.name, map) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let leading = |element: &&Element| address(element).is_some_and(to);
        let gone: Vec<Element> = listed.iter().filter(leading).cloned().collect();
        if !gone.is_empty() {
            forget(&table, &gone)?;
        }
    }
    Ok(())
}

/// Where an element of a map leads.
fn address(element: &Element) -> Option<IpAddr> {
    let data = element.data.as_deref()?;
    match data.len() {
        8 => Some(IpAddr::from(*data.first_chunk::<4>()?)),
        20 => Some(IpAddr::from(*data.first_chunk::<16>()?)),
        _ => None,
    }
}

/// The elements of a map.
fn list(table: &str, map: &'static str) -> io::Result<Vec<Element>> {
    let mut request = vec![NFPROTO_INET, 0, 0, 0];
    request.extend(
        super::encode::Attributes::default()
            .text(1, table)
            .text(2, map)
            .into_bytes(),
    );
    let mut found = Vec::new();
    Netlink::netfilter()?.dump_raw(GETSETELEM, &request, |body| {
        let lists = attributes_of(body.get(4..).unwrap_or_default());
        for (_, list) in lists.filter(|(kind, _)| *kind == 3) {
            found.extend(attributes_of(list).filter_map(|(_, one)| element(map, one)));
        }
    })?;
    Ok(found)
}

fn element(map: &'static str, attributes: &[u8]) -> Option<Element> {
    let value = |wanted: u16| {
        let (_, nested) = attributes_of(attributes).find(|(kind, _)| *kind == wanted)?;
        let (_, value) = attributes_of(nested).find(|(kind, _)| *kind == 1)?;
        Some(value.to_vec())
    };
    Some(Element {
        set: map,
        start: value(1)?,
        end: None,
        data: Some(value(2)?),
    })
}

/// How many ports are translated.
#[cfg(test)]
pub(in crate::network) fn count(root: &Paths) -> usize {
    let table = table(root);
    let of = |map| list(&table.name, map).map_or(0, |elements| elements.len());
    MAPS.into_iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_a_key_and_where_it_leads() {
        let of = |from: &str, to: &str| {
            let translation = Translation {
                from: from.parse().unwrap(),
                protocol: Protocol::Udp,
                to: to.parse().unwrap(),
            };
            let element = translation.element();
            assert_eq!(address(&element), Some(translation.to.ip()));
            (element.set, element.start)
        };
        let (set, key) = of("0.0.0.0:258", "10.0.0.2:80");
        assert_eq!((set, key), ("any4", vec![17, 0, 0, 0, 1, 2, 0, 0]));
        let (set, key) = of("192.0.2.1:1", "10.0.0.2:80");
        assert_eq!(
            (set, key),
            ("at4", vec![192, 0, 2, 1, 17, 0, 0, 0, 0, 1, 0, 0])
        );
        assert_eq!(of("[::]:1", "[fd00::2]:80").0, "any6");
        assert_eq!(of("[fd99::2]:1", "[fd00::2]:80").1.len(), 24);
    }

    proptest::proptest! {
        #[test]
        fn any_element_can_be_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
            element("any4", &bytes);
        }
    }
}

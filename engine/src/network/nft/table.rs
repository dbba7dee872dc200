//! The chains, sets and rules of the table, and a look at other tables.

use std::io;
use std::net::Ipv4Addr;

use super::super::netlink::Netlink;
use super::encode::{Key, Transaction};
use super::step::Step;

/// Hooks of the `inet` family.
const FORWARD: u32 = 2;
pub(super) const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// Priority `srcnat`.
const SOURCE_NAT: u32 = 100;
/// Priority `dstnat`: -100.
pub(super) const DESTINATION_NAT_PRIORITY: u32 = 100u32.wrapping_neg();
const ESTABLISHED_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`.
const DESTINATION_NAT: u32 = 1 << 5;

/// Everything but the elements, in the order that the module's header shows.
pub(super) fn define(t: &mut Transaction) {
    use Step::{
        Accept, CtState, CtStatus, Drop, Family, In, InputName, Masquerade, NetworkHeader, NotIn,
        OutputName,
    };
    t.set("same", Key::InterfacePair);
    t.set("bridges", Key::Interface);
    t.set("internal", Key::Interface);
    t.set("uplinks", Key::Interface);
    t.set("masquerade4", Key::Ipv4);
    t.set("masquerade6", Key::Ipv6);
    t.chain("forward", "filter", FORWARD, 0);
    t.rule(
        "forward",
        &[InputName(1), OutputName(2), In(1, "same"), Accept],
    );
    t.rule("forward", &[InputName(1), In(1, "internal"), Drop]);
    t.rule("forward", &[OutputName(1), In(1, "internal"), Drop]);
    t.rule("forward", &[CtState(ESTABLISHED_RELATED), Accept]);
    t.rule("forward", &[CtStatus(DESTINATION_NAT), Accept]);
    t.rule("forward", &[OutputName(1), In(1, "bridges"), Drop]);
    t.rule(
        "forward",
        &[
            InputName(1),
            In(1, "uplinks"),
            OutputName(2),
            In(2, "uplinks"),
            Drop,
        ],
    );
    t.chain("postrouting", "nat", POSTROUTING, SOURCE_NAT);
    for (family, offset, length, set) in [(2, 12, 4, "masquerade4"), (10, 8, 16, "masquerade6")] {
        let header = NetworkHeader {
            register: 1,
            offset,
            length,
        };
        t.rule(
            "postrouting",
            &[
                Family(family),
                header,
                In(1, set),
                OutputName(1),
                NotIn(1, "bridges"),
                Masquerade,
            ],
        );
    }
}

/// The table of a container whose own program may want port 53 of every address: questions to
/// `address`, port 53, go to other ports of it.
pub(super) fn define_redirection(t: &mut Transaction, address: Ipv4Addr, udp: u16, tcp: u16) {
    const UDP: u8 = 17;
    const TCP: u8 = 6;
    t.replace_table();
    t.chain("output", "nat", OUTPUT, DESTINATION_NAT_PRIORITY);
    for (protocol, port) in [(UDP, udp), (TCP, tcp)] {
        t.rule(
            "output",
            &[
                Step::Family(2),
                Step::NetworkHeader {
                    register: 1,
                    offset: 16,
                    length: 4,
                },
                Step::Is(address.octets().to_vec()),
                Step::Protocol(1),
                Step::Is(vec![protocol]),
                Step::Port(1),
                Step::Is(53u16.to_be_bytes().to_vec()),
                Step::Load(1, address.octets().to_vec()),
                Step::Load(2, port.to_be_bytes().to_vec()),
                Step::DestinationNat { family: 2, port: 2 },
            ],
        );
    }
}

/// Names and comments of all tables of the `inet` family.
pub(super) fn comments(mut each: impl FnMut(String, String)) -> io::Result<()> {
    const GETTABLE: u16 = (10 << 8) | 1;
    const NFPROTO_INET: u8 = 1;
    Netlink::netfilter()?.dump_raw(GETTABLE, &[NFPROTO_INET, 0, 0, 0], |body| {
        let attributes = || attributes_of(body.get(4..).unwrap_or_default());
        let find = |wanted| attributes().find(|(kind, _)| *kind == wanted);
        if let (Some((_, name)), Some((_, data))) = (find(1), find(6)) {
            each(text(name), comment(data).map(text).unwrap_or_default());
        }
    })
}

/// The comment among a table's own data: kind 0, a length, the text.
fn comment(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        let (&[kind, length], rest) = data.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(length.into())?;
        if kind == 0 {
            return Some(value);
        }
        data = rest;
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\0').to_owned()
}

/// A hook that packets pass.
#[derive(Clone, Copy)]
pub enum Hook {
    /// To the machine's own sockets.
    Input = 1,
    /// From one interface to another.
    Forward = 2,
}

/// Base chains that drop packets at a hook by policy, as `family table chain`. Containers cannot
/// reach out through one at `Forward` that has no rule for their bridges.
pub fn blockers(at: Hook) -> io::Result<Vec<String>> {
    const GETCHAIN: u16 = (10 << 8) | 4;
    let mut found = Vec::new();
    Netlink::netfilter()?.dump_raw(GETCHAIN, &[0, 0, 0, 0], |body| {
        let Some((&family, attributes)) = body.get(..1).and_then(|f| f.first()).zip(body.get(4..))
        else {
            return;
        };
        let (mut table, mut chain, mut hook, mut policy) =
            (String::new(), String::new(), None, None);
        for (kind, value) in attributes_of(attributes) {
            let number = || value.first_chunk::<4>().map(|b| u32::from_be_bytes(*b));
            match kind {
                1 => table = text(value),
                3 => chain = text(value),
                4 => {
                    hook = attributes_of(value)
                        .find(|(kind, _)| *kind == 1)
                        .and_then(|(_, v)| v.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)));
                }
                5 => policy = number(),
                _ => {}
            }
        }
        let name = match family {
            1 => "inet",
            2 => "ip",
            10 => "ip6",
            _ => return,
        };
        if hook == Some(at as u32) && policy == Some(0) {
            found.push(format!("{name} {table} {chain}"));
        }
    })?;
    Ok(found)
}

pub(in crate::network) fn attributes_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk::<2>()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_attributes_can_be_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            super::attributes_of(&bytes).for_each(drop);
            super::comment(&bytes);
        }
    }
}

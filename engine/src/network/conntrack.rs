//! Connections that the kernel translates. An entry outlives the rule that made it, and every
//! datagram of a client prolongs it: so those of a port that is no longer published are removed.

use std::io;
use std::net::IpAddr;

use super::netlink::Netlink;
use super::nft::{NESTED, attributes_of};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// `CTA_TUPLE_ORIG`.
const ORIGINAL: u16 = 1;
/// `CTA_TUPLE_REPLY`.
const REPLY: u16 = 2;
/// `CTA_STATUS`.
const STATUS: u16 = 3;
/// `IPS_DST_NAT`.
const TRANSLATED: u32 = 1 << 5;

/// Forgets connections that were translated to these addresses.
pub(super) fn forget(to: &dyn Fn(IpAddr) -> bool) -> io::Result<()> {
    let mut netlink = Netlink::netfilter()?;
    let mut gone = Vec::new();
    netlink.dump_raw(GET, &[0, 0, 0, 0], |body| {
        if let Some((family, original)) = translated(body, to) {
            gone.push((family, original.to_vec()));
        }
    })?;
    for (family, original) in gone {
        let mut request = vec![family, 0, 0, 0];
        request.extend(((original.len() + 4) as u16).to_ne_bytes());
        request.extend((ORIGINAL | NESTED).to_ne_bytes());
        request.extend(original);
        match netlink.request(DELETE, &request) {
            // It ended meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Family and original tuple of an entry that is translated to one of these addresses.
fn translated<'a>(body: &'a [u8], to: &dyn Fn(IpAddr) -> bool) -> Option<(u8, &'a [u8])> {
    let (&family, attributes) = body.first().zip(body.get(4..))?;
    let find = |wanted| {
        let mut all = attributes_of(attributes);
        all.find(|(kind, _)| *kind == wanted)
            .map(|(_, value)| value)
    };
    let status = u32::from_be_bytes(*find(STATUS)?.first_chunk()?);
    let server = source(find(REPLY)?)?;
    (status & TRANSLATED != 0 && to(server)).then_some((family, find(ORIGINAL)?))
}

/// The source of a tuple: `CTA_TUPLE_IP` with `CTA_IP_V4_SRC` or `CTA_IP_V6_SRC`.
fn source(tuple: &[u8]) -> Option<IpAddr> {
    let (_, addresses) = attributes_of(tuple).find(|(kind, _)| *kind == 1)?;
    attributes_of(addresses).find_map(|(kind, value)| match kind {
        1 => Some(IpAddr::from(*value.first_chunk::<4>()?)),
        3 => Some(IpAddr::from(*value.first_chunk::<16>()?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_entry_can_be_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..160)) {
            super::translated(&bytes, &|_| true);
        }
    }
}

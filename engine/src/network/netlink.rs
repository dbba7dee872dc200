//! Synchronous netlink: one socket, batches of requests, their acknowledgements.
//!
//! A socket stays in the namespace it was made in, so one made before a container's namespace
//! keeps acting on the host. rtnetlink's async handles would need a runtime, which must not
//! live yet where this is used.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rt};
use netlink_sys::{Socket, SocketAddr, protocols};

use super::cidr::Cidr;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Offset of `IFA_FLAGS`' value for addresses that skip duplicate detection: DAD would keep an
/// IPv6 address unusable for a second, and leases already guarantee that it is unique.
const NODAD: u32 = 0x02;

/// A netlink socket.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// A route socket of the calling thread's namespace.
    pub(super) fn route() -> io::Result<Self> {
        Self::open(protocols::NETLINK_ROUTE)
    }

    /// A netfilter socket of the calling thread's namespace.
    pub(super) fn netfilter() -> io::Result<Self> {
        Self::open(protocols::NETLINK_NETFILTER)
    }

    fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Acknowledgements without a copy of the request.
        let _ = socket.set_cap_ack(true);
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends raw requests and waits for `acks` acknowledgements. The error is the first refusal;
    /// later requests of a route batch still run.
    pub(super) fn transact(&mut self, requests: &[u8], acks: usize) -> io::Result<()> {
        self.socket.send(requests, 0)?;
        let mut first = None;
        let mut seen = 0;
        while seen < acks {
            let (packet, _) = self.socket.recv_from_full()?;
            for message in messages(&packet) {
                if message.kind != NLMSG_ERROR || message.body.len() < 4 {
                    continue;
                }
                let code = i32::from_ne_bytes([
                    message.body[0],
                    message.body[1],
                    message.body[2],
                    message.body[3],
                ]);
                if code != 0 && first.is_none() {
                    first = Some(io::Error::from_raw_os_error(code.wrapping_neg()));
                }
                seen += 1;
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Sends a batch in one message and waits until every request of it is answered.
    pub(super) fn send(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.count == 0 {
            return Ok(());
        }
        self.transact(&batch.bytes, batch.count)
    }

    /// Asks for a dump and gives each answer to `each`.
    pub(super) fn dump(
        &mut self,
        request: Rt,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence += 1;
        let bytes = encode(request, NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.socket.send(&bytes, 0)?;
        loop {
            let (packet, _) = self.socket.recv_from_full()?;
            for message in messages(&packet) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(refusal(message.body)),
                    _ => {
                        if let Some(answer) = decode(message.whole) {
                            each(answer);
                        }
                    }
                }
            }
        }
    }

    /// Sends a request of any kind, and waits until it is answered; `body` follows the netlink
    /// header.
    pub(super) fn request(&mut self, kind: u16, body: &[u8]) -> io::Result<()> {
        self.transact(&raw(kind, NLM_F_REQUEST | NLM_F_ACK, body), 1)
    }

    /// Asks for a dump of any kind; `header` follows the netlink header. Gives each answer's body
    /// to `each`.
    pub(super) fn dump_raw(
        &mut self,
        kind: u16,
        header: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let bytes = raw(kind, NLM_F_REQUEST | NLM_F_DUMP, header);
        self.socket.send(&bytes, 0)?;
        loop {
            let (packet, _) = self.socket.recv_from_full()?;
            for message in messages(&packet) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(refusal(message.body)),
                    _ => each(message.body),
                }
            }
        }
    }

    /// Index and flags of an interface; `None` when there is none of that name.
    pub(super) fn link(&mut self, name: &str) -> io::Result<Option<(u32, LinkFlags)>> {
        let found = self.interface(name)?;
        Ok(found.map(|link| (link.header.index, link.header.flags)))
    }

    /// Removes an interface; one that has gone meanwhile is fine.
    pub(super) fn remove(&mut self, index: u32) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.delete_link(index);
        match self.send(&batch) {
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    /// All about an interface; `None` when there is none of that name.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<Option<LinkMessage>> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.into()));
        self.sequence += 1;
        let bytes = encode(Rt::GetLink(request), NLM_F_REQUEST, self.sequence);
        self.socket.send(&bytes, 0)?;
        let (packet, _) = self.socket.recv_from_full()?;
        for message in messages(&packet) {
            if message.kind == NLMSG_ERROR {
                let error = refusal(message.body);
                return match error.raw_os_error() {
                    Some(libc::ENODEV) => Ok(None),
                    _ => Err(error),
                };
            }
            if let Some(Rt::NewLink(link)) = decode(message.whole) {
                return Ok(Some(link));
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A request of any kind.
fn raw(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

struct Raw<'a> {
    kind: u16,
    whole: &'a [u8],
    body: &'a [u8],
}

/// Splits a datagram of the kernel into its messages.
fn messages(mut packet: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(packet.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(packet.get(4..6)?.try_into().ok()?);
        if length < HEADER {
            return None;
        }
        let whole = packet.get(..length)?;
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Raw {
            kind,
            whole,
            body: &whole[HEADER..],
        })
    })
}

fn refusal(body: &[u8]) -> io::Error {
    match body.first_chunk::<4>() {
        Some(code) => io::Error::from_raw_os_error(i32::from_ne_bytes(*code).wrapping_neg()),
        None => io::ErrorKind::UnexpectedEof.into(),
    }
}

fn decode(whole: &[u8]) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(whole)
        .ok()?
        .payload
    {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    }
}

fn encode(message: Rt, flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Route requests to be sent in one message.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    count: usize,
}

impl Batch {
    fn push(&mut self, message: Rt, flags: u16) -> &mut Self {
        let bytes = encode(
            message,
            NLM_F_REQUEST | NLM_F_ACK | flags,
            self.count as u32,
        );
        self.bytes.extend_from_slice(&bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.count += 1;
        self
    }

    /// Makes an interface.
    pub(super) fn new_link(&mut self, link: LinkMessage) -> &mut Self {
        self.push(Rt::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Changes an interface.
    pub(super) fn set_link(&mut self, link: LinkMessage) -> &mut Self {
        self.push(Rt::SetLink(link), 0)
    }

    /// Changes what an interface is as a port. The kernel heeds that only in this request.
    pub(super) fn change_port(&mut self, link: LinkMessage) -> &mut Self {
        self.push(Rt::NewLink(link), 0)
    }

    /// Sets an interface up.
    pub(super) fn up(&mut self, index: u32) -> &mut Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.set_link(link)
    }

    /// Removes an interface.
    pub(super) fn delete_link(&mut self, index: u32) -> &mut Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        self.push(Rt::DelLink(link), 0)
    }

    /// Gives an interface an address.
    pub(super) fn address(&mut self, index: u32, address: IpAddr, prefix: u8) -> &mut Self {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        match address {
            IpAddr::V4(_) => {
                if let Some(IpAddr::V4(last)) = Cidr::containing(address, prefix)
                    .filter(|_| prefix < 31)
                    .map(|net| net.last())
                {
                    message.attributes.push(AddressAttribute::Broadcast(last));
                }
            }
            IpAddr::V6(_) => message.attributes.push(AddressAttribute::Flags(
                netlink_packet_route::address::AddressFlags::from_bits_retain(NODAD),
            )),
        }
        self.push(Rt::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes the default route, in the place of another one; the unspecified address stands for "by the interface
    /// itself".
    pub(super) fn default_route(&mut self, index: u32, gateway: IpAddr) -> &mut Self {
        self.push(
            Rt::NewRoute(default_route(index, gateway)),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }
}

fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = 254;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Oif(index));
    if gateway.is_unspecified() {
        message.header.scope = RouteScope::Link;
        return message;
    }
    message
        .attributes
        .push(RouteAttribute::Gateway(match gateway {
            IpAddr::V4(a) => RouteAddress::Inet(a),
            IpAddr::V6(a) => RouteAddress::Inet6(a),
        }));
    message
}

/// The address family of an address.
pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

/// Interfaces that have an address.
pub(super) fn addressed(netlink: &mut Netlink) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    netlink.dump(Rt::GetAddress(AddressMessage::default()), |answer| {
        if let Rt::NewAddress(message) = answer {
            found.push(message.header.index);
        }
    })?;
    Ok(found)
}

/// Every subnet that the namespace already uses, with the name of who uses it: addresses of
/// interfaces and routes other than default ones.
pub(super) fn used_subnets(netlink: &mut Netlink) -> io::Result<Vec<(Cidr, u32)>> {
    let mut used = Vec::new();
    netlink.dump(Rt::GetAddress(AddressMessage::default()), |answer| {
        if let Rt::NewAddress(message) = answer {
            let found = message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Local(address) => Some(*address),
                AddressAttribute::Address(address) if address.is_ipv6() => Some(*address),
                _ => None,
            });
            if let Some(net) = found.and_then(|a| Cidr::containing(a, message.header.prefix_len)) {
                used.push((net, message.header.index));
            }
        }
    })?;
    netlink.dump(Rt::GetRoute(RouteMessage::default()), |answer| {
        if let Rt::NewRoute(message) = answer {
            let mut destination = None;
            let mut oif = 0;
            for attribute in &message.attributes {
                match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(a)) => {
                        destination = Some(IpAddr::V4(*a));
                    }
                    RouteAttribute::Destination(RouteAddress::Inet6(a)) => {
                        destination = Some(IpAddr::V6(*a));
                    }
                    RouteAttribute::Oif(index) => oif = *index,
                    _ => {}
                }
            }
            let prefix = message.header.destination_prefix_length;
            // Default routes, and their halves that VPNs set (0.0.0.0/1), cover everything.
            if let Some(net) = destination
                .filter(|_| prefix > 1)
                .and_then(|a| Cidr::containing(a, prefix))
            {
                used.push((net, oif));
            }
        }
    })?;
    Ok(used)
}

/// Interfaces that lead out: those that routes with a gateway use.
pub(super) fn uplinks(netlink: &mut Netlink) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    netlink.dump(Rt::GetRoute(RouteMessage::default()), |answer| {
        if let Rt::NewRoute(message) = answer {
            let oif = message.attributes.iter().find_map(|a| match a {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            let leads_out = message.header.kind == RouteType::Unicast
                && (message.header.destination_prefix_length == 0
                    || message
                        .attributes
                        .iter()
                        .any(|a| matches!(a, RouteAttribute::Gateway(_))));
            if let Some(index) = oif.filter(|i| leads_out && !found.contains(i)) {
                found.push(index);
            }
        }
    })?;
    Ok(found)
}

/// Names of all interfaces by index.
pub(super) fn link_names(netlink: &mut Netlink) -> io::Result<Vec<(u32, String)>> {
    let mut names = Vec::new();
    netlink.dump(Rt::GetLink(LinkMessage::default()), |answer| {
        if let Rt::NewLink(message) = answer {
            for attribute in message.attributes {
                if let LinkAttribute::IfName(name) = attribute {
                    names.push((message.header.index, name));
                }
            }
        }
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_datagram_can_be_split(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                refusal(message.body);
                decode(message.whole);
            }
        }
    }
}

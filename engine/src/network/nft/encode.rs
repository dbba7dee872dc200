//! Bytes of nftables transactions: nfnetlink batches and their nested attributes.
//!
//! Names and numbers are those of the kernel's `linux/netfilter/nf_tables.h`.

use super::Change;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFPROTO_INET: u8 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;

/// Element flag: the key ends an interval.
const INTERVAL_END: u32 = 1;
/// Set flag: keys form intervals.
const SET_INTERVAL: u32 = 4;

/// An interface name as a key: 16 bytes, padded with zeros.
pub(super) fn ifname(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// Attributes under construction.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.put(kind, value);
        self
    }

    fn put(&mut self, kind: u16, value: &[u8]) {
        // Values here are names, keys and nested rules: far below the 64 KiB of a length.
        let length = (value.len() + 4) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number, in the network's byte order as all of nftables' are.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn nested(self, kind: u16, inner: Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    fn value(self, kind: u16, data: &[u8]) -> Self {
        self.nested(kind, Self::default().bytes(1, data))
    }
}

/// A type of key: nft's number for it, so that `nft list` prints it well, and its length.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Ipv4,
    Ipv6,
    Interface,
    InterfacePair,
}

impl Key {
    fn describe(self) -> (u32, u32) {
        match self {
            Self::Ipv4 => (7, 4),
            Self::Ipv6 => (8, 16),
            Self::Interface => (41, 16),
            Self::InterfacePair => ((41 << 6) | 41, 32),
        }
    }

    fn is_interval(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6)
    }
}

/// What a rule does, step by step.
pub(super) enum Step {
    /// Name of the interface the packet came by, into a register.
    InputName(u32),
    /// Name of the interface it leaves by, into a register.
    OutputName(u32),
    /// Goes on for IPv4 (2) or IPv6 (10).
    Family(u8),
    /// Bytes of the network header into register 1.
    NetworkHeader {
        offset: u32,
        length: u32,
    },
    /// Bytes of the transport header into register 1.
    TransportHeader {
        offset: u32,
        length: u32,
    },
    /// The transport's protocol number into register 1.
    Protocol,
    /// Goes on when register 1 begins with these bytes.
    Is(Vec<u8>),
    /// Bytes into a register.
    Load(u32, Vec<u8>),
    /// IPv4 destination from register 1 and port from register 2.
    DestinationNat,
    /// Goes on when a register is in a set.
    In(u32, &'static str),
    /// Goes on when it is not.
    NotIn(u32, &'static str),
    /// Goes on when any bit of conntrack's state is set.
    CtState(u32),
    /// Goes on when any bit of conntrack's status is set.
    CtStatus(u32),
    Accept,
    Drop,
    Masquerade,
}

const REGISTER: u32 = 1;

impl Step {
    fn encode(&self, list: Attributes) -> Attributes {
        let new = Attributes::default;
        let expression = |list: Attributes, name: &str, data: Attributes| {
            list.nested(1, new().text(1, name).nested(2, data))
        };
        let lookup = |register: u32, set: &str| new().text(1, set).number(2, register);
        let verdict = |code: u32| {
            new()
                .number(1, 0)
                .nested(2, new().nested(2, new().number(1, code)))
        };
        let any_bit = |list: Attributes, key: u32, mask: u32| {
            let list = expression(list, "ct", new().number(1, REGISTER).number(2, key));
            // Registers hold conntrack's words in the machine's byte order.
            let bits = new()
                .number(1, REGISTER)
                .number(2, REGISTER)
                .number(3, 4)
                .value(4, &mask.to_ne_bytes())
                .value(5, &[0; 4]);
            let list = expression(list, "bitwise", bits);
            expression(
                list,
                "cmp",
                new().number(1, REGISTER).number(2, 1).value(3, &[0; 4]),
            )
        };
        let payload = |base: u32, offset: u32, length: u32| {
            new()
                .number(1, REGISTER)
                .number(2, base)
                .number(3, offset)
                .number(4, length)
        };
        match *self {
            Self::InputName(register) => {
                expression(list, "meta", new().number(1, register).number(2, 6))
            }
            Self::OutputName(register) => {
                expression(list, "meta", new().number(1, register).number(2, 7))
            }
            Self::Family(family) => {
                let list = expression(list, "meta", new().number(1, REGISTER).number(2, 15));
                expression(
                    list,
                    "cmp",
                    new().number(1, REGISTER).number(2, 0).value(3, &[family]),
                )
            }
            Self::NetworkHeader { offset, length } => {
                expression(list, "payload", payload(1, offset, length))
            }
            Self::TransportHeader { offset, length } => {
                expression(list, "payload", payload(2, offset, length))
            }
            Self::Protocol => expression(list, "meta", new().number(1, REGISTER).number(2, 16)),
            Self::Is(ref bytes) => expression(
                list,
                "cmp",
                new().number(1, REGISTER).number(2, 0).value(3, bytes),
            ),
            Self::Load(register, ref bytes) => {
                expression(list, "immediate", new().number(1, register).value(2, bytes))
            }
            Self::DestinationNat => {
                // NFT_NAT_DNAT, of IPv4, with NF_NAT_RANGE_PROTO_SPECIFIED.
                let nat = new()
                    .number(1, 1)
                    .number(2, 2)
                    .number(3, REGISTER)
                    .number(5, 2)
                    .number(7, 2);
                expression(list, "nat", nat)
            }
            Self::In(register, set) => expression(list, "lookup", lookup(register, set)),
            Self::NotIn(register, set) => {
                expression(list, "lookup", lookup(register, set).number(5, 1))
            }
            Self::CtState(mask) => any_bit(list, 0, mask),
            Self::CtStatus(mask) => any_bit(list, 2, mask),
            Self::Accept => expression(list, "immediate", verdict(1)),
            Self::Drop => expression(list, "immediate", verdict(0)),
            Self::Masquerade => expression(list, "masq", new()),
        }
    }
}

/// One atomic change of a table.
pub(super) struct Transaction {
    table: String,
    bytes: Vec<u8>,
    sequence: u32,
    sets: u32,
    /// Where the last request's header begins.
    last: usize,
}

impl Transaction {
    pub(super) fn new(table: &str) -> Self {
        let mut transaction = Self {
            table: table.to_owned(),
            bytes: Vec::with_capacity(1024),
            sequence: 0,
            sets: 0,
            last: 0,
        };
        transaction.message(BATCH_BEGIN, 0, NLM_F_REQUEST, NFNL_SUBSYS_NFTABLES, &[]);
        transaction
    }

    fn message(&mut self, kind: u16, family: u8, flags: u16, resource: u16, attributes: &[u8]) {
        self.last = self.bytes.len();
        let length = 20 + attributes.len();
        self.bytes.extend_from_slice(&(length as u32).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        self.bytes.extend_from_slice(attributes);
        self.sequence += 1;
    }

    fn request(&mut self, kind: u16, flags: u16, attributes: Attributes) {
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | kind;
        self.message(kind, NFPROTO_INET, NLM_F_REQUEST | flags, 0, &attributes.0);
    }

    fn named(&self) -> Attributes {
        Attributes::default().text(1, &self.table)
    }

    /// Makes the table; the whole transaction fails when it exists.
    pub(super) fn new_table(&mut self) {
        self.request(NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, self.named());
    }

    /// Makes the table, empty, whether there is one or not.
    pub(super) fn replace_table(&mut self) {
        self.request(NEWTABLE, NLM_F_CREATE, self.named());
        self.delete_table();
        self.new_table();
    }

    pub(super) fn delete_table(&mut self) {
        self.request(DELTABLE, 0, self.named());
    }

    /// A base chain with policy accept.
    pub(super) fn chain(&mut self, name: &str, kind: &str, hook: u32, priority: u32) {
        self.chain_with_policy(name, kind, (hook, priority), 1);
    }

    /// A base chain; its policy is 0 (`NF_DROP`) or 1 (`NF_ACCEPT`).
    pub(super) fn chain_with_policy(
        &mut self,
        name: &str,
        kind: &str,
        (hook, priority): (u32, u32),
        policy: u32,
    ) {
        let hook = Attributes::default().number(1, hook).number(2, priority);
        let chain = self
            .named()
            .text(3, name)
            .nested(4, hook)
            .number(5, policy)
            .text(7, kind);
        self.request(NEWCHAIN, NLM_F_CREATE, chain);
    }

    pub(super) fn set(&mut self, name: &str, key: Key) {
        self.sets += 1;
        let (number, length) = key.describe();
        let flags = if key.is_interval() { SET_INTERVAL } else { 0 };
        let set = self
            .named()
            .text(2, name)
            .number(3, flags)
            .number(4, number)
            .number(5, length)
            .number(10, self.sets);
        self.request(NEWSET, NLM_F_CREATE, set);
    }

    pub(super) fn rule(&mut self, chain: &str, steps: &[Step]) {
        let list = steps
            .iter()
            .fold(Attributes::default(), |list, step| step.encode(list));
        let rule = self.named().text(2, chain).nested(4, list);
        self.request(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule);
    }

    pub(super) fn element(&mut self, set: &str, start: &[u8], end: Option<&[u8]>, change: Change) {
        let mut list = Attributes::default().nested(1, Attributes::default().value(1, start));
        if let Some(end) = end {
            list = list.nested(
                1,
                Attributes::default().value(1, end).number(3, INTERVAL_END),
            );
        }
        let elements = self.named().text(2, set).nested(3, list);
        match change {
            Change::Add => self.request(NEWSETELEM, NLM_F_CREATE, elements),
            Change::Delete => self.request(DELSETELEM, 0, elements),
        }
    }

    /// The bytes to send; exactly one acknowledgement comes when all went well.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let at = self.last + 6;
        let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | NLM_F_ACK;
        self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        self.message(BATCH_END, 0, NLM_F_REQUEST, NFNL_SUBSYS_NFTABLES, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let inner = Attributes::default().text(1, "ab");
        let outer = Attributes::default().nested(2, inner).number(3, 1);
        assert_eq!(
            outer.0,
            [
                12, 0, 2, 0x80, 7, 0, 1, 0, b'a', b'b', 0, 0, 8, 0, 3, 0, 0, 0, 0, 1
            ]
        );
    }

    #[test]
    fn a_transaction_is_a_batch_with_one_acknowledgement() {
        let mut transaction = Transaction::new("t");
        transaction.new_table();
        transaction.chain("forward", "filter", 2, 0);
        let bytes = transaction.finish();
        let mut at = 0;
        let mut seen = Vec::new();
        while at < bytes.len() {
            let length = u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let kind = u16::from_ne_bytes(bytes[at + 4..at + 6].try_into().unwrap());
            let flags = u16::from_ne_bytes(bytes[at + 6..at + 8].try_into().unwrap());
            seen.push((kind, flags & NLM_F_ACK != 0));
            at += length;
        }
        assert_eq!(
            seen,
            [(0x10, false), (0xa00, false), (0xa03, true), (0x11, false)]
        );
    }
}

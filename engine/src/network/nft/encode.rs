//! Bytes of nftables transactions: nfnetlink batches and their nested attributes.
//!
//! Names and numbers are those of the kernel's `linux/netfilter/nf_tables.h`.

use super::step::Step;
use super::{Change, Element};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NFPROTO_INET: u8 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
/// `NLA_F_NESTED`: the attribute is a list of others.
pub(in crate::network) const NESTED: u16 = 0x8000;

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
/// Set flag: keys have data.
const SET_MAP: u32 = 8;

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

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
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
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(super) fn value(self, kind: u16, data: &[u8]) -> Self {
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
    /// A transport protocol and a port.
    Port,
    /// An address, a transport protocol, and a port.
    PortOfIpv4,
    PortOfIpv6,
}

impl Key {
    fn describe(self) -> (u32, u32) {
        match self {
            Self::Ipv4 => (7, 4),
            Self::Ipv6 => (8, 16),
            Self::Interface => (41, 16),
            Self::InterfacePair => ((41 << 6) | 41, 32),
            Self::Port => ((12 << 6) | 13, 8),
            Self::PortOfIpv4 => ((7 << 12) | (12 << 6) | 13, 12),
            Self::PortOfIpv6 => ((8 << 12) | (12 << 6) | 13, 24),
        }
    }

    fn is_interval(self) -> bool {
        matches!(self, Self::Ipv4 | Self::Ipv6)
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

    /// Makes the table, with a comment of less than 255 bytes; the whole transaction fails when
    /// it exists.
    pub(super) fn new_table(&mut self, comment: &str) {
        let mut named = self.named();
        if !comment.is_empty() {
            // Kind 0 of a table's own data, as nft writes it.
            let mut data = vec![0, comment.len() as u8 + 1];
            data.extend_from_slice(comment.as_bytes());
            data.push(0);
            named = named.bytes(6, &data);
        }
        self.request(NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, named);
    }

    /// Makes the table, empty, whether there is one or not.
    pub(super) fn replace_table(&mut self) {
        self.request(NEWTABLE, NLM_F_CREATE, self.named());
        self.delete_table();
        self.new_table("");
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
        let flags = if key.is_interval() { SET_INTERVAL } else { 0 };
        self.new_set(name, key, flags, |set| set);
    }

    /// A map to an IPv4 or IPv6 address and a port.
    pub(super) fn map(&mut self, name: &str, key: Key, to: Key) {
        let (number, length) = to.describe();
        let (number, length) = ((number << 6) | 13, length + 4);
        self.new_set(name, key, SET_MAP, |set| {
            set.number(6, number).number(7, length)
        });
    }

    fn new_set(
        &mut self,
        name: &str,
        key: Key,
        flags: u32,
        more: impl FnOnce(Attributes) -> Attributes,
    ) {
        self.sets += 1;
        let (number, length) = key.describe();
        let set = self
            .named()
            .text(2, name)
            .number(3, flags)
            .number(4, number)
            .number(5, length);
        let set = more(set).number(10, self.sets);
        self.request(NEWSET, NLM_F_CREATE, set);
    }

    pub(super) fn rule(&mut self, chain: &str, steps: &[Step]) {
        let list = steps
            .iter()
            .fold(Attributes::default(), |list, step| step.encode(list));
        let rule = self.named().text(2, chain).nested(4, list);
        self.request(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, rule);
    }

    pub(super) fn element(&mut self, element: &Element, change: Change) {
        let mut one = Attributes::default().value(1, &element.start);
        if let Some(data) = &element.data {
            one = one.value(2, data);
        }
        let mut list = Attributes::default().nested(1, one);
        if let Some(end) = &element.end {
            list = list.nested(
                1,
                Attributes::default().value(1, end).number(3, INTERVAL_END),
            );
        }
        let elements = self.named().text(2, element.set).nested(3, list);
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
        transaction.new_table("");
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

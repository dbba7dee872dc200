//! What rules are made of, as nftables' expressions.
//!
//! Registers 1 to 4 hold 16 bytes each; 8 to 23 are their quarters, of which keys of several
//! fields are put together.

use super::encode::Attributes;

/// What a rule does, step by step.
pub(super) enum Step {
    /// Name of the interface the packet came by, into a register.
    InputName(u32),
    /// Name of the interface it leaves by, into a register.
    OutputName(u32),
    /// Goes on for IPv4 (2) or IPv6 (10).
    Family(u8),
    /// Bytes of the network header into a register.
    NetworkHeader {
        register: u32,
        offset: u32,
        length: u32,
    },
    /// The transport's port of destination into a register.
    Port(u32),
    /// The transport's protocol number into a register.
    Protocol(u32),
    /// Goes on when register 1 begins with these bytes.
    Is(Vec<u8>),
    /// Goes on when it does not.
    IsNot(Vec<u8>),
    /// Goes on when the destination is an address of the machine.
    Local,
    /// Bytes into a register.
    Load(u32, Vec<u8>),
    /// What a map has for the key from a register on, into register 1 and those after it.
    Find(u32, &'static str),
    /// Destination of a family from register 1 on, and port from another register.
    DestinationNat {
        family: u32,
        port: u32,
    },
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
    pub(super) fn encode(&self, list: Attributes) -> Attributes {
        let new = Attributes::default;
        let expression = |list: Attributes, name: &str, data: Attributes| {
            list.nested(1, new().text(1, name).nested(2, data))
        };
        let compare = |list: Attributes, operation: u32, bytes: &[u8]| {
            let data = new().number(1, REGISTER).number(2, operation);
            expression(list, "cmp", data.value(3, bytes))
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
        let payload = |register: u32, base: u32, offset: u32, length: u32| {
            new()
                .number(1, register)
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
            Self::NetworkHeader {
                register,
                offset,
                length,
            } => expression(list, "payload", payload(register, 1, offset, length)),
            Self::Port(register) => expression(list, "payload", payload(register, 2, 2, 2)),
            Self::Protocol(register) => {
                expression(list, "meta", new().number(1, register).number(2, 16))
            }
            Self::Is(ref bytes) => compare(list, 0, bytes),
            Self::IsNot(ref bytes) => compare(list, 1, bytes),
            Self::Local => {
                // NFT_FIB_RESULT_ADDRTYPE of the destination; RTN_LOCAL is 2.
                let kind = new().number(1, REGISTER).number(2, 3).number(3, 2);
                compare(expression(list, "fib", kind), 0, &2u32.to_ne_bytes())
            }
            Self::Load(register, ref bytes) => {
                expression(list, "immediate", new().number(1, register).value(2, bytes))
            }
            Self::Find(register, map) => {
                expression(list, "lookup", lookup(register, map).number(3, REGISTER))
            }
            Self::DestinationNat { family, port } => {
                // NFT_NAT_DNAT, with NF_NAT_RANGE_PROTO_SPECIFIED.
                let nat = new()
                    .number(1, 1)
                    .number(2, family)
                    .number(3, REGISTER)
                    .number(5, port)
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

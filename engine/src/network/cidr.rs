//! Subnets in CIDR notation, both families, with the arithmetic that pools and leases need.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A subnet: an address with its host bits cleared, and the length of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    base: IpAddr,
    prefix: u8,
}

/// Why a text is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subnet in CIDR notation, such as `10.5.0.0/24` or `fd00:5::/64`")]
pub struct CidrError(pub String);

/// An address as a number; IPv4 in the low 32 bits.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The address of a number in the family of `like`.
fn address(number: u128, like: IpAddr) -> IpAddr {
    match like {
        // Numbers come from this family's own range, so the upper bits are clear.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Cidr {
    /// The subnet of `prefix` bits that holds `address`; `None` for an impossible prefix.
    pub fn containing(address: IpAddr, prefix: u8) -> Option<Self> {
        let width = width(address);
        if prefix > width {
            return None;
        }
        let host = width - prefix;
        let number = number(address);
        let base = if host >= 128 {
            0
        } else {
            (number >> host) << host
        };
        Some(Self {
            base: self::address(base, address),
            prefix,
        })
    }

    /// The subnet's own address, all host bits clear.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// Length of the prefix.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is an IPv4 subnet.
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    /// The last address: IPv4's broadcast.
    pub fn last(&self) -> IpAddr {
        let host = width(self.base) - self.prefix;
        let mask = if host >= 128 {
            u128::MAX
        } else {
            (1 << host) - 1
        };
        address(number(self.base) | mask, self.base)
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4()
            && (number(self.base)..=number(self.last())).contains(&number(address))
    }

    /// Whether `other` lies in it wholly.
    pub fn covers(&self, other: &Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.base)
    }

    /// Whether any address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `offset` places after the base; `None` past the end.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        let number = number(self.base).checked_add(offset)?;
        (number <= self::number(self.last())).then(|| address(number, self.base))
    }

    /// How far `address` lies after the base.
    pub(crate) fn offset(&self, address: IpAddr) -> Option<u128> {
        self.contains(address)
            .then(|| number(address) - number(self.base))
    }

    /// First and last offset that a host can have: an IPv4 subnet's own address and its
    /// broadcast are taken out, except in /31 and /32 (RFC 3021); of an IPv6 subnet only the
    /// subnet-router anycast address, its first.
    pub(crate) fn hosts(&self) -> (u128, u128) {
        let last = number(self.last()) - number(self.base);
        match (self.is_ipv4(), last) {
            (_, 0 | 1) => (0, last),
            (true, _) => (1, last - 1),
            (false, _) => (1, last),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Host bits that are set are cleared, as Docker does.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let error = || CidrError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let address: IpAddr = address.parse().map_err(|_| error())?;
        Self::containing(address, prefix.parse().map_err(|_| error())?).ok_or_else(error)
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn parses_and_prints() {
        for (text, printed) in [
            ("10.5.0.0/24", "10.5.0.0/24"),
            ("10.5.0.77/24", "10.5.0.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("1.2.3.4/32", "1.2.3.4/32"),
            ("fd00:5::1/64", "fd00:5::/64"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(cidr(text).to_string(), printed);
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "1.2.3.4/+8",
            "a/8",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(CidrError(text.to_owned())));
        }
    }

    #[test]
    fn knows_what_lies_inside() {
        let net = cidr("10.5.0.0/24");
        assert!(net.contains("10.5.0.255".parse().unwrap()));
        assert!(!net.contains("10.5.1.0".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        assert!(net.overlaps(&cidr("10.0.0.0/8")));
        assert!(cidr("0.0.0.0/0").overlaps(&net));
        assert!(!net.overlaps(&cidr("10.5.1.0/24")));
        assert!(!cidr("::/0").overlaps(&net));
        assert_eq!(net.nth(1), Some("10.5.0.1".parse().unwrap()));
        assert_eq!(net.nth(256), None);
        assert_eq!(net.hosts(), (1, 254));
        assert_eq!(cidr("10.0.0.0/31").hosts(), (0, 1));
        assert_eq!(cidr("fd00::/64").hosts(), (1, u128::from(u64::MAX)));
        assert_eq!(cidr("::/0").last(), IpAddr::V6(Ipv6Addr::from(u128::MAX)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_subnet_or_an_error(text in "\\PC{0,40}", address: u128, prefix: u8) {
            let _ = text.parse::<Cidr>();
            let six = IpAddr::V6(Ipv6Addr::from(address));
            let four = IpAddr::V4(Ipv4Addr::from(address as u32));
            for address in [six, four] {
                if let Some(net) = Cidr::containing(address, prefix) {
                    proptest::prop_assert!(net.contains(address));
                    proptest::prop_assert_eq!(net.to_string().parse::<Cidr>(), Ok(net));
                    let offset = net.offset(address).unwrap();
                    proptest::prop_assert_eq!(net.nth(offset), Some(address));
                }
            }
        }
    }
}

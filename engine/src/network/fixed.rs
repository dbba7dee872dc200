//! The networks that nobody makes: the machine's own, and none. They have names and ids as the others, so that lists are
//! what users of Docker know; a container is on one of them from its beginning to its end.

use sha2::{Digest as _, Sha256};

/// A network without a link, chosen when a container is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedNetwork {
    /// The machine's own.
    Host,
    /// None: only the loopback interface.
    None,
}

impl FixedNetwork {
    /// All, by name.
    pub const ALL: [Self; 2] = [Self::Host, Self::None];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
        }
    }

    /// The driver, as Docker calls it.
    #[must_use]
    pub const fn driver(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "null",
        }
    }

    /// 64 hexadecimal digits; the same on every machine.
    #[must_use]
    pub fn id(self) -> String {
        let digest = Sha256::digest(format!("gantry network {}", self.name()));
        base16ct::lower::encode_string(&digest)
    }

    /// The one of this name, or whose id begins so with twelve digits or more.
    #[must_use]
    pub fn find(reference: &str) -> Option<Self> {
        let is_it = |network: &Self| {
            reference == network.name()
                || (reference.len() >= 12 && network.id().starts_with(reference))
        };
        Self::ALL.into_iter().find(is_it)
    }
}

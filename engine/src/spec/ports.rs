//! Published ports.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One container port published on the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortSpec {
    /// Port in the container.
    pub container_port: u16,
    /// First and last host port to try; `None` takes an ephemeral one.
    pub host_ports: Option<(u16, u16)>,
    /// Host address; `None` is every IPv4 and IPv6 address.
    pub host_ip: Option<IpAddr>,
    /// Transport.
    pub protocol: Protocol,
}

/// Transport protocols that can be published.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the protocols' own names")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

//! Networks, a service's place in them, and published ports.

use super::record::{Always, record};
use super::service::StringMap;

record! {
    /// A service's place in a network.
    Attachment {
        /// More names.
        aliases: Vec<String>,
        /// Driver options.
        driver_opts: StringMap,
        /// Priority for the default gateway.
        gw_priority: i64,
        /// Name of the interface.
        interface_name: String,
        /// Fixed IPv4 address.
        ipv4_address: String,
        /// Fixed IPv6 address.
        ipv6_address: String,
        /// Link-local addresses.
        link_local_ips: Vec<String>,
        /// Fixed MAC address.
        mac_address: String,
        /// Order of attachment, highest first.
        priority: i64,
    }
}

record! {
    /// A published port.
    Port {
        /// Name.
        name: String,
        /// `ingress` or `host`.
        mode: String,
        /// Host address; empty: all.
        host_ip: String,
        /// Port in the container.
        target: u32,
        /// Host port, or a range to choose from (`8000-8010`); empty or `0`: any.
        published: String,
        /// `tcp`, `udp` or `sctp`.
        protocol: String,
        /// Protocol spoken (`http`), informative.
        app_protocol: String,
    }
}

impl Port {
    /// First and last host port to try; `None` takes any free one.
    pub fn host_ports(&self) -> Option<(u16, u16)> {
        let (first, last) = match self.published.split_once('-') {
            Some((a, b)) => (a.trim().parse().ok()?, b.trim().parse().ok()?),
            None => {
                let port = self.published.parse().ok()?;
                (port, port)
            }
        };
        (first != 0).then_some((first, last))
    }
}

record! {
    /// A network of the project.
    Network {
        /// Name in the engine.
        name: String,
        /// Driver; empty: bridge.
        driver: String,
        /// Driver options.
        driver_opts: StringMap,
        /// Address management.
        ipam: Always<Ipam>,
        /// Whether it exists already and is left alone.
        external: bool,
        /// Whether it has no way out.
        internal: bool,
        /// Whether containers outside the project may join.
        attachable: bool,
        /// Labels.
        labels: StringMap,
        /// Whether it has IPv4; unset: yes.
        enable_ipv4: Option<bool>,
        /// Whether it has IPv6; unset: no.
        enable_ipv6: Option<bool>,
    }
}

record! {
    /// Address management.
    Ipam {
        /// Driver.
        driver: String,
        /// Pools.
        config: Vec<IpamPool>,
    }
}

record! {
    /// A pool of addresses.
    IpamPool {
        /// Subnet.
        subnet: String,
        /// Gateway.
        gateway: String,
        /// Part of the subnet that containers get.
        ip_range: String,
        /// Reserved addresses, by name.
        aux_addresses: StringMap,
    }
}

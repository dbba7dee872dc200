//! Networks of containers: bridges, macvlan and ipvlan, leases, veth pairs, nftables, names,
//! DNS, published ports.
//!
//! A [`NetworkStore`] holds the records. [`connect`] gives one container its network
//! namespace with an interface on each of its networks and returns a [`Sandbox`];
//! [`disconnect`] gives the addresses and names back. Both are synchronous and are called by
//! a single-threaded supervisor before its loop begins. In the loop two futures run: a
//! [`dns::Responder`] and a [`publish::Forwarder`]. [`resolv`] renders the container's
//! `resolv.conf` and `hosts`.
//!
//! What a network namespace needs is done by rtnetlink and nftables messages on sockets of
//! our own; no `ip`, `nft` or `iptables` program is run. Refused by name: drivers other than
//! `bridge`, `macvlan` and `ipvlan`, SCTP publishing, driver options nobody knows.
//!
//! Files: `<root>/networks/<id>/network.json` and `<root>/networks/names/<name>` (a link to the
//! id, made exclusively) survive a reboot; `<run>/networks/<id>/{lock,members.json}` do not.

pub mod dns;
pub mod publish;
pub mod resolv;

mod bridge;
mod cidr;
mod conntrack;
mod error;
mod firewall;
mod fixed;
mod forwarding;
mod home;
mod mark;
mod members;
mod netlink;
mod netns;
mod nft;
mod options;
mod parent;
mod pool;
mod probe;
mod record;
mod sandbox;
mod status;
mod store;
mod sublink;
mod sweep;
#[cfg(test)]
mod tests;
mod veth;

pub use cidr::Cidr;
pub use error::NetworkError;
pub use fixed::FixedNetwork;
pub(crate) use home::set_home;
pub use members::{Member, Members, parse_mac};
pub use netns::NetNs;
pub use options::{add_link_local, check_options, set_endpoint_option};
pub use probe::{has_way_out, probe};
pub use record::{Network, Pool, Publish};
pub use sandbox::{
    Endpoint, Request, Sandbox, connect, connect_running, disconnect, disconnect_running, loopback,
    release, rename,
};
pub use status::BridgeStatus;
pub use store::NetworkStore;
pub use sweep::Leftover;

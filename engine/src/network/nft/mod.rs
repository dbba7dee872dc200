//! The packet filter of a state root: one nftables table, spoken to by netlink, and where ports
//! are translated a second one ([`ports`]).
//!
//! The table `gantry-<root hash>` has constant rules over sets, so a network costs a few set
//! elements and never a rule of its own:
//! ```text
//! chain forward (filter):
//!   iifname . oifname @same                        accept   # within one bridge
//!   iifname @internal / oifname @internal          drop     # no way out, no way in
//!   ct state established,related                   accept
//!   ct status dnat                                 accept   # what was published by address translation
//!   oifname @bridges                               drop     # nobody routes in: other bridges, neighbours
//!   iifname @uplinks oifname @uplinks              drop     # see `forwarding`
//! chain postrouting (nat):
//!   ip saddr @masquerade4 oifname != @bridges      masquerade
//!   ip6 saddr @masquerade6 oifname != @bridges     masquerade
//! ```
//! An `accept` here does not overrule a `drop` of other tables, so a firewall of the machine
//! keeps its say; [`blockers`] tells when one (Docker's, ufw's) drops everything forwarded.

mod encode;
pub(super) mod ports;
mod step;
mod table;

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::cidr::Cidr;
use super::error::NetworkError;
use super::mark;
use super::netlink::Netlink;
use super::record::Network;
use crate::state::Paths;
pub(super) use encode::NESTED;
use encode::{Transaction, ifname};
pub(super) use table::attributes_of;
pub use table::{Hook, blockers};

/// A table that is made when something is put into it.
struct Table {
    name: String,
    /// Shown by `nft list`, and read by [`marks`].
    comment: String,
    define: fn(&mut Transaction),
}

/// A root's table.
fn table(root: &Paths) -> Table {
    Table {
        name: format!("{BEFORE}{}", root.root_hash()),
        comment: mark::text(root),
        define: table::define,
    }
}

/// What our tables' names begin with.
const BEFORE: &str = "gantry-";

/// Lets a network's traffic through as its record says. Repeating it changes nothing.
pub(super) fn add(root: &Paths, network: &Network) -> Result<(), NetworkError> {
    change(&table(root), &elements(network), Change::Add).map_err(NetworkError::Nftables)
}

/// Marks interfaces that were opened for forwarding.
pub(super) fn add_uplinks(root: &Paths, names: &[String]) -> Result<(), NetworkError> {
    let elements: Vec<_> = names
        .iter()
        .map(|n| Element::key("uplinks", ifname(n)))
        .collect();
    change(&table(root), &elements, Change::Add).map_err(NetworkError::Nftables)
}

/// Forgets a network. A table or element that is not there is fine.
pub(super) fn remove(root: &Paths, network: &Network) -> Result<(), NetworkError> {
    forget(&table(root), &elements(network)).map_err(NetworkError::Nftables)
}

/// Removes elements that may not be there.
fn forget(table: &Table, elements: &[Element]) -> io::Result<()> {
    let missing = |r: &io::Result<()>| matches!(r, Err(e) if e.kind() == io::ErrorKind::NotFound);
    let whole = change(table, elements, Change::Delete);
    if !missing(&whole) {
        return whole;
    }
    // One transaction an element: one that is missing would undo the others'.
    for element in elements {
        let one = change(table, std::slice::from_ref(element), Change::Delete);
        if !missing(&one) {
            one?;
        }
    }
    Ok(())
}

/// Removes the tables of a root, for a root that is given up. None is fine.
pub fn remove_tables(root: &Paths) -> Result<(), NetworkError> {
    for table in [table(root), ports::table(root)] {
        let mut transaction = Transaction::new(&table.name);
        transaction.delete_table();
        match run(transaction) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(NetworkError::Nftables)?,
        }
    }
    Ok(())
}

/// The marks on tables of all roots in the calling thread's namespace.
pub(super) fn marks() -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    table::comments(|name, comment| {
        if name.starts_with(BEFORE) && !found.contains(&comment) {
            found.push(comment);
        }
    })?;
    Ok(found)
}

/// In the namespace of the calling thread: what is asked of `address`, port 53, goes to these ports
/// of it. Said again, it replaces what was said before.
pub(super) fn redirect_names(address: Ipv4Addr, udp: u16, tcp: u16) -> io::Result<()> {
    let mut transaction = Transaction::new("gantry-names");
    table::define_redirection(&mut transaction, address, udp, tcp);
    run(transaction)
}

/// Makes a table as a firewall might: everything is dropped at a hook.
#[cfg(test)]
pub(super) fn drop_everything(table: &str, hook: Hook) -> io::Result<()> {
    let chain = match hook {
        Hook::Input => "INPUT",
        Hook::Forward => "FORWARD",
    };
    let mut transaction = Transaction::new(table);
    transaction.new_table("");
    transaction.chain_with_policy(chain, "filter", (hook as u32, 0), 0);
    run(transaction)
}

#[derive(Clone, Copy)]
enum Change {
    Add,
    Delete,
}

/// An element of a set: a key, or the interval from `start` to before `end`. One of a map has data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    set: &'static str,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
}

impl Element {
    fn key(set: &'static str, start: Vec<u8>) -> Self {
        Self {
            set,
            start,
            end: None,
            data: None,
        }
    }
}

fn elements(network: &Network) -> Vec<Element> {
    let bridge = ifname(&network.link);
    let key = Element::key;
    let mut all = vec![
        key("same", [bridge.as_slice(), &bridge].concat()),
        key("bridges", bridge.clone()),
    ];
    if network.internal {
        all.push(key("internal", bridge));
    } else if network.masquerade {
        all.extend(network.pools.iter().map(|pool| interval(&pool.subnet)));
    }
    all
}

fn interval(subnet: &Cidr) -> Element {
    let bytes = |address| match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let mut end = bytes(subnet.last());
    // One past the last; nothing is past the end of the family.
    let mut over = true;
    for byte in end.iter_mut().rev() {
        (*byte, over) = byte.overflowing_add(u8::from(over));
    }
    Element {
        set: if subnet.is_ipv4() {
            "masquerade4"
        } else {
            "masquerade6"
        },
        start: bytes(subnet.base()),
        end: (!over).then_some(end),
        data: None,
    }
}

/// Changes elements; makes the table first when it is not there.
fn change(table: &Table, elements: &[Element], change: Change) -> io::Result<()> {
    let fill = |transaction: &mut Transaction| {
        for element in elements {
            transaction.element(element, change);
        }
    };
    for _ in 0..3 {
        let mut quick = Transaction::new(&table.name);
        fill(&mut quick);
        let result = run(quick);
        if !matches!((&result, change), (Err(e), Change::Add) if e.kind() == io::ErrorKind::NotFound)
        {
            return result;
        }
        let mut full = Transaction::new(&table.name);
        full.new_table(&table.comment);
        (table.define)(&mut full);
        fill(&mut full);
        match run(full) {
            // Somebody else made it in between: the transaction had no effect; try again.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

fn run(transaction: Transaction) -> io::Result<()> {
    let mut netlink = Netlink::netfilter()?;
    // Only the last request asks for an answer; an error comes before it.
    netlink.transact(&transaction.finish(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_end_after_the_last_address() {
        let of = |text: &str| interval(&text.parse().unwrap());
        assert_eq!(of("10.1.2.0/24").start, [10, 1, 2, 0]);
        assert_eq!(of("10.1.2.0/24").end.unwrap(), [10, 1, 3, 0]);
        assert_eq!(of("10.255.0.0/16").end.unwrap(), [11, 0, 0, 0]);
        assert_eq!(of("255.0.0.0/8").end, None);
        assert_eq!(of("fd00::/64").end.unwrap()[7], 1);
    }

    #[test]
    fn an_internal_network_is_never_masqueraded() {
        let mut network = super::super::store::tests::network("10.9.0.0/24", None);
        let sets = |n: &Network| elements(n).iter().map(|e| e.set).collect::<Vec<_>>();
        assert_eq!(sets(&network), ["same", "bridges", "masquerade4"]);
        network.internal = true;
        assert_eq!(sets(&network), ["same", "bridges", "internal"]);
    }
}

//! Whose a link of the machine is: every bridge and parent that we make carries its root's path
//! as its alias (`ip link` shows it), so that it is told from others' and can outlive its root
//! without being forgotten.

use std::path::Path;

use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::store::NetworkStore;

const BEFORE: &str = "gantry ";
/// `IFALIASZ`, with the end of the string.
const LONGEST: usize = 256;

/// The mark of a root: its path, or what stands for one that an alias cannot hold.
fn text(root: &Path, hash: &str) -> String {
    let whole = root.to_str().map(|root| format!("{BEFORE}{root}"));
    let fitting = whole.filter(|text| text.len() < LONGEST);
    fitting.unwrap_or_else(|| format!("{BEFORE}{hash}"))
}

/// What makes a link one of this root's. The kernel heeds it only for a link that is there.
pub(super) fn attribute(store: &NetworkStore) -> LinkAttribute {
    LinkAttribute::IfAlias(text(store.root(), store.root_hash()))
}

/// Whether a link is one of this root's.
pub(super) fn is_on(store: &NetworkStore, link: &LinkMessage) -> bool {
    link.attributes.contains(&attribute(store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_an_alias_is_not_cut() {
        let of = |root: &str| text(root.as_ref(), "0123abcd");
        assert_eq!(of("/var/lib/gantry"), "gantry /var/lib/gantry");
        assert_eq!(of(&format!("/{}", "a".repeat(300))), "gantry 0123abcd");
    }
}

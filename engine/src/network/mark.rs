//! Whose a link or a table of the machine is. Every bridge and parent that we make carries its
//! root's path as its alias (`ip link` shows it), every table as its comment: so it is told from
//! others', and found when its root is gone.

use std::path::{Path, PathBuf};

use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use crate::state::Paths;

const BEFORE: &str = "gantry ";
/// What an alias can hold, with the end of the string; a comment holds little less.
const LONGEST: usize = 254;

/// The mark of a root: its path, or what stands for one that an alias cannot hold.
pub(super) fn text(root: &Paths) -> String {
    let whole = root.root().to_str().map(|root| format!("{BEFORE}{root}"));
    let fitting = whole.filter(|text| text.len() < LONGEST);
    fitting.unwrap_or_else(|| format!("{BEFORE}{}", root.root_hash()))
}

/// What makes a link one of this root's. The kernel heeds it only for a link that is there.
pub(super) fn attribute(root: &Paths) -> LinkAttribute {
    LinkAttribute::IfAlias(text(root))
}

/// Whether a link is one of this root's.
pub(super) fn is_on(root: &Paths, link: &LinkMessage) -> bool {
    link.attributes.contains(&attribute(root))
}

/// The mark of a link, if it is one of ours.
pub(super) fn of(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfAlias(text) => text.starts_with(BEFORE).then_some(text.as_str()),
            _ => None,
        })
}

/// The root that a mark names; `None` for one that stands for a longer path.
pub(super) fn root(mark: &str) -> Option<PathBuf> {
    let path = Path::new(mark.strip_prefix(BEFORE)?);
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_an_alias_is_not_cut() {
        let of = |root: &str| text(&Paths::below(root.as_ref()));
        assert_eq!(of("/var/lib/gantry"), "gantry /var/lib/gantry");
        assert_eq!(root(&of("/a b")), Some("/a b".into()));
        let long = of(&format!("/{}", "a".repeat(300)));
        assert_eq!((long.len(), root(&long)), (BEFORE.len() + 8, None));
        assert_eq!(root("someone's"), None);
    }
}

//! What is left of roots that were deleted, and what is nobody else's business.

use super::super::netlink::{Batch, Netlink};
use super::super::nft::marks;
use super::super::*;
use super::machine::*;
use crate::spec::NetworkDriver;
use crate::state::Paths;

fn has_link(name: &str) -> bool {
    Netlink::route().unwrap().link(name).unwrap().is_some()
}

/// A store of another root, with a network that a container was on.
fn other_root(root: &std::path::Path) -> (NetworkStore, Network, Sandbox) {
    let store = NetworkStore::open(&Paths::below(root));
    let spec = store::tests::spec("net");
    let network = store.create(&spec).unwrap();
    let owner = id("a");
    let request = Request {
        userns: None,
        owner: &owner,
        process: None,
        name: "a",
        hostname: "a",
        mac_address: None,
        endpoints: &[on("net")],
        alive: &|_| true,
    };
    let sandbox = connect(&store, &request).unwrap();
    (store, network, sandbox)
}

#[test]
fn what_a_deleted_root_has_left_goes() {
    on_a_machine(|m| {
        let mine = m.network("mine");
        m.container("a", &[on("mine")]);
        let dir = tempfile::tempdir().unwrap();
        let (store, theirs, sandbox) = other_root(dir.path());
        let mark = format!("gantry {}", dir.path().display());
        assert!(marks().unwrap().contains(&mark));
        // The other root lives.
        assert_eq!(m.store.sweep().unwrap(), []);
        dir.close().unwrap();
        // Its container does.
        assert_eq!(m.store.sweep().unwrap(), []);
        drop(sandbox);
        let begin = std::time::Instant::now();
        let swept = loop {
            let swept = m.store.sweep().unwrap();
            if !swept.is_empty() || begin.elapsed() > PATIENCE {
                break swept;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let root = store.paths().root().to_owned();
        let links = vec![theirs.link.clone()];
        let whole = true;
        assert_eq!(swept, [Leftover { root, links, whole }]);
        assert!(!has_link(&theirs.link) && has_link(&mine.link));
        let left = marks().unwrap();
        assert!(!left.contains(&mark) && left.len() == 1, "{left:?}");
        assert_eq!(m.store.leftovers().unwrap(), []);
    });
}

#[test]
fn a_link_whose_network_is_not_in_its_root_any_more_goes() {
    on_a_machine(|m| {
        let kept = m.network("kept");
        let lost = m.network("lost");
        let own = m.network_with("own", |spec| spec.driver = NetworkDriver::Macvlan);
        for (name, network) in [("a", "kept"), ("b", "lost"), ("c", "own")] {
            drop(m.container(name, &[on(network)]));
        }
        let networks = m.store.paths().at("networks");
        for network in [&lost, &own] {
            std::fs::remove_file(networks.join("names").join(&network.name)).unwrap();
        }
        let begin = std::time::Instant::now();
        while has_link(&lost.link) && begin.elapsed() < PATIENCE {
            m.store.sweep().unwrap();
        }
        assert!(!has_link(&lost.link) && !has_link(&own.link));
        assert!(has_link(&kept.link));
        assert_eq!(marks().unwrap().len(), 1);
    });
}

#[test]
fn links_of_others_are_not_looked_at() {
    on_a_machine(|m| {
        let dir = tempfile::tempdir().unwrap();
        let (store, theirs, sandbox) = other_root(dir.path());
        drop(sandbox);
        store.remove("net", &|_| false).unwrap();
        assert!(!has_link(&theirs.link));
        // A bridge of an administrator's, with an alias of their own.
        use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName("gt-theirs".into()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        let mut alias = LinkMessage::default();
        alias.attributes = vec![
            LinkAttribute::IfName("gt-theirs".into()),
            LinkAttribute::IfAlias("/nowhere".into()),
        ];
        let mut batch = Batch::default();
        batch.new_link(link).set_link(alias);
        Netlink::route().unwrap().send(&batch).unwrap();
        dir.close().unwrap();
        m.store.sweep().unwrap();
        assert!(has_link("gt-theirs"));
    });
}

//! Adding, naming, removing, saving and loading.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::content::Digest;
use crate::layer::{ChainId, Kin};
use crate::snapshot::View;

/// A store; says why there is none.
fn store() -> Option<(tempfile::TempDir, ImageStore)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let root = tempfile::Builder::new()
        .prefix("gantry-image-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    Some((root, store))
}

fn layer(
    store: &ImageStore,
    parent: Option<&ChainId>,
    path: &str,
    text: &str,
) -> crate::layer::Layer {
    let upper = store
        .root()
        .join(format!("upper-{:x}", crate::content::random()));
    let file = upper.join(path);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
    fs::write(file, text).unwrap();
    store
        .layers()
        .commit(&upper, parent, &[], Kin::None, &|_| Ok(()))
        .unwrap()
}

fn image(store: &ImageStore, layers: &[&crate::layer::Layer], note: &str) -> Image {
    let config = ImageConfig {
        os: "linux".to_owned(),
        author: note.to_owned(),
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
            ..RootFs::default()
        },
        ..ImageConfig::default()
    };
    let chains: Vec<ChainId> = layers.iter().map(|layer| layer.chain_id).collect();
    store.add(&config, &chains).unwrap()
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[test]
fn names_ids_and_beginnings_of_ids_resolve() {
    let Some((_root, store)) = store() else {
        return;
    };
    let bottom = layer(&store, None, "a", "1");
    let made = image(&store, &[&bottom], "x");
    store.tag(&made.id, &name("app:1")).unwrap();
    for text in [
        "app:1",
        "docker.io/library/app:1",
        &made.id.to_string(),
        &made.id.hex(),
        &made.id.short(),
        &made.id.hex()[..4],
    ] {
        assert_eq!(store.resolve(text).unwrap().id, made.id, "{text}");
    }
    assert!(matches!(store.resolve("app"), Err(ImageError::NotFound(_))));
    assert!(matches!(
        store.resolve(&Digest::of(b"none").hex()),
        Err(ImageError::NotFound(_))
    ));
    assert!(store.add(&made.config, &[]).is_err());
    let other = layer(&store, None, "b", "2");
    assert!(store.add(&made.config, &[other.chain_id]).is_err());
}

#[test]
fn removal_keeps_what_is_used() {
    let Some((_root, store)) = store() else {
        return;
    };
    let bottom = layer(&store, None, "a", "1");
    let top = layer(&store, Some(&bottom.chain_id), "b", "2");
    let (one, two) = (
        image(&store, &[&bottom], "1"),
        image(&store, &[&bottom, &top], "2"),
    );
    for (image, tag) in [(&one, "one:1"), (&two, "two:1"), (&two, "two:2")] {
        store.tag(&image.id, &name(tag)).unwrap();
    }
    let used = Roots {
        images: [(two.id, vec!["web".to_owned()])].into(),
        ..Roots::default()
    };
    assert_eq!(
        store.remove("two:2", false, &used).unwrap(),
        [Removed::Untagged(name("two:2"))]
    );
    assert!(matches!(
        store.remove("two:1", false, &used),
        Err(ImageError::InUse { .. })
    ));
    assert_eq!(
        store.remove("two:1", true, &used).unwrap(),
        [Removed::Untagged(name("two:1"))]
    );
    // The container keeps it, nameless.
    store.prune(true, &used, &|_| false).unwrap();
    assert!(store.get(&two.id).is_ok() && store.get(&one.id).is_err());
    assert!(store.layers().contains(&bottom.chain_id));
    // A lease keeps a layer, too.
    let lease = store.lease().unwrap();
    lease.protect(&top.chain_id).unwrap();
    store.prune(true, &Roots::default(), &|_| false).unwrap();
    assert!(
        store.get(&two.id).is_err()
            && store.layers().contains(&top.chain_id)
            && store.layers().contains(&bottom.chain_id)
    );
    drop(lease);
    store.collect(&Roots::default()).unwrap();
    assert!(
        store.layers().list().unwrap().is_empty() && store.content().list().unwrap().is_empty()
    );
}

#[test]
fn the_builders_cache_counts_as_used() {
    let Some((root, store)) = store() else { return };
    let kept = layer(&store, None, "a", "1");
    fs::create_dir_all(root.path().join("build/cache")).unwrap();
    fs::write(
        root.path().join("build/cache/k.json"),
        format!(r#"{{"layer":"{}"}}"#, kept.chain_id),
    )
    .unwrap();
    fs::write(root.path().join("build/cache/broken.json"), "{").unwrap();
    store.collect(&Roots::default()).unwrap();
    assert!(store.layers().contains(&kept.chain_id));
    // Of another layer nothing is known; of this one, or all, nothing any more.
    let other = layer(&store, None, "b", "2");
    let record = root.path().join("build/cache/k.json");
    store.forget_cached(&other.chain_id).unwrap();
    assert!(record.exists());
    let top = layer(&store, Some(&kept.chain_id), "c", "3");
    fs::write(&record, format!(r#"{{"layer":"{}"}}"#, top.chain_id)).unwrap();
    store.forget_cached(&kept.chain_id).unwrap();
    assert!(!record.exists(), "what is over it goes too");
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    store.empty_cache(Some(hour_ago)).unwrap();
    assert!(root.path().join("build/cache/broken.json").exists());
    store.empty_cache(None).unwrap();
    assert_eq!(
        fs::read_dir(root.path().join("build/cache"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn what_is_saved_loads_the_same() {
    let (Some((_a, from)), Some((_b, to))) = (store(), store()) else {
        return;
    };
    let bottom = layer(&from, None, "bin/x", "1");
    let top = layer(&from, Some(&bottom.chain_id), "etc/y", "2");
    let made = image(&from, &[&bottom, &top], "n");
    for tag in ["app:1", "app:2"] {
        from.tag(&made.id, &name(tag)).unwrap();
    }
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    from.save(&["app".to_owned()], None, &mut bytes).unwrap();
    from.save(&["app".to_owned()], None, &mut again).unwrap();
    assert_eq!(bytes, again);
    let told = AtomicUsize::new(0);
    let loaded = to
        .load(bytes.as_slice(), &|_| {
            told.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    assert_eq!(
        loaded,
        [LoadedImage {
            id: made.id,
            tags: vec![name("app:1"), name("app:2")]
        }]
    );
    assert!(told.load(Ordering::Relaxed) > 0);
    let there = to.resolve("app:2").unwrap();
    assert_eq!(there.chain(), made.chain());
    let view = View::open(&there.lower()).unwrap();
    assert_eq!(
        (
            view.read("/bin/x", 9).unwrap(),
            view.read("/etc/y", 9).unwrap()
        ),
        (b"1".to_vec(), b"2".to_vec())
    );
    // What was loaded saves to the same bytes, and compressed archives load too.
    let mut third = Vec::new();
    to.save(&["app".to_owned()], None, &mut third).unwrap();
    assert_eq!(bytes, third);
    let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    assert_eq!(to.load(packed.as_slice(), &quiet).unwrap()[0].id, made.id);
    let left: Vec<_> = fs::read_dir(to.root().join("ingest")).unwrap().collect();
    assert!(left.is_empty());
}

#[test]
fn old_archives_with_links_between_layers_load() {
    let Some((_root, store)) = store() else {
        return;
    };
    let files = layer(&store, None, "a", "1");
    let mut tar = Vec::new();
    crate::layer::write_tar(&files.dir, &mut tar, &Default::default()).unwrap();
    store.collect(&Roots::default()).unwrap();
    let config = format!(
        r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{0}","{0}"]}}}}"#,
        files.diff_id
    );
    let mut writer = crate::layer::TarWriter::new(Vec::new());
    writer.member("one/layer.tar", 0o644, 0, &tar).unwrap();
    writer
        .header(&crate::layer::plain(
            "two/layer.tar",
            crate::layer::Kind::Symlink(b"../one/layer.tar".to_vec()),
            0o777,
            0,
            0,
        ))
        .unwrap();
    writer
        .member("c.json", 0o644, 0, config.as_bytes())
        .unwrap();
    writer.member("manifest.json", 0o644, 0, br#"[{"Config":"c.json","RepoTags":["old:1"],"Layers":["one/layer.tar","two/layer.tar"]}]"#).unwrap();
    let bytes = writer.finish().unwrap();
    store.load(bytes.as_slice(), &quiet).unwrap();
    assert_eq!(store.resolve("old:1").unwrap().layers.len(), 2);
}

#[test]
fn damaged_archives_leave_nothing() {
    let Some((_root, store)) = store() else {
        return;
    };
    let bottom = layer(&store, None, "a", &"x".repeat(5000));
    let made = image(&store, &[&bottom], "n");
    store.tag(&made.id, &name("app:1")).unwrap();
    let mut bytes = Vec::new();
    store.save(&["app:1".to_owned()], None, &mut bytes).unwrap();
    store.remove("app:1", false, &Roots::default()).unwrap();
    for at in (600..bytes.len()).step_by(1777) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        damaged.truncate(bytes.len() - at % 3 * 700);
        if store.load(damaged.as_slice(), &quiet).is_ok() {
            // A flipped bit in padding or in a field that means nothing.
            store.prune(true, &Roots::default(), &|_| false).unwrap();
        }
        store.collect(&Roots::default()).unwrap();
        assert!(
            store.ids().unwrap().is_empty()
                && store.content().list().unwrap().is_empty()
                && store.layers().list().unwrap().is_empty(),
            "at {at}"
        );
    }
}

#[test]
fn images_over_the_host_run_but_do_not_leave() {
    let Some((_root, store)) = store() else {
        return;
    };
    let host = store.host().unwrap();
    let upper = store.root().join("upper");
    fs::create_dir_all(upper.join("srv")).unwrap();
    fs::write(upper.join("srv/app"), "app").unwrap();
    let top = store
        .layers()
        .commit(&upper, None, &host.base.lower(), Kin::None, &|_| Ok(()))
        .unwrap();
    let config = ImageConfig {
        rootfs: RootFs {
            diff_ids: vec![top.diff_id],
            ..RootFs::default()
        },
        ..host.config.clone()
    };
    let made = store.add(&config, &[top.chain_id]).unwrap();
    store.tag(&made.id, &name("mine")).unwrap();
    assert_eq!(
        made.lower().last().map(|path| path.as_path()),
        Some(Path::new("/"))
    );
    let view = View::open(&store.resolve("mine").unwrap().lower()).unwrap();
    assert_eq!(view.read("/srv/app", 9).unwrap(), b"app");
    assert!(view.open_file("/bin/sh").is_ok() && view.open_file("/etc/shadow").is_err());
    for name in ["mine", "host"] {
        let error = store
            .save(&[name.to_owned()], None, Vec::new())
            .unwrap_err();
        assert!(matches!(error, ImageError::HostBound(..)), "{error}");
    }
}

//! Against a real registry on loopback, and against one that lies.

mod liar;
mod lies;
pub(crate) mod real;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::RegistryOptions;
use crate::content::Digest;
use crate::image::{History, Image, ImageConfig, ImageStore, RootFs, RunConfig};

/// A store of its own on a file system that can hold layers; says why there is none.
pub(super) fn store() -> Option<(tempfile::TempDir, ImageStore)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let root = tempfile::Builder::new()
        .prefix("gantry-registry-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let store = ImageStore::open(root.path()).unwrap();
    Some((root, store))
}

/// An image of some layers, each a list of files.
pub(super) fn image(store: &ImageStore, layers: &[&[(&str, &[u8])]]) -> Image {
    let mut chains = Vec::new();
    let mut diff_ids: Vec<Digest> = Vec::new();
    for (index, files) in layers.iter().enumerate() {
        let upper = store
            .root()
            .join(format!("upper{index}-{:x}", crate::content::random()));
        fs::create_dir(&upper).unwrap();
        for (path, bytes) in *files {
            let path = upper.join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let layer = store
            .layers()
            .commit(&upper, chains.last(), &[], crate::layer::Kin::None, &|_| {
                Ok(())
            })
            .unwrap();
        chains.push(layer.chain_id);
        diff_ids.push(layer.diff_id);
    }
    let config = ImageConfig {
        architecture: crate::image::architecture().to_owned(),
        os: "linux".to_owned(),
        config: RunConfig {
            cmd: Some(vec!["/bin/busybox".to_owned()]),
            ..RunConfig::default()
        },
        rootfs: RootFs {
            diff_ids,
            ..RootFs::default()
        },
        history: vec![History {
            created_by: "test".to_owned(),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    store.add(&config, &chains).unwrap()
}

/// Options that wait for nothing and read nobody's configuration.
pub(crate) fn options(store: &ImageStore) -> RegistryOptions {
    RegistryOptions {
        first_pause: Duration::from_millis(1),
        docker_config: Some(store.root().join("no-docker")),
        ..RegistryOptions::default()
    }
}

pub(crate) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

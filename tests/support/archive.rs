//! Image archives made by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::find_program;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A Docker archive of one layer: a static busybox as /bin/sh, and a file of so many bytes.
pub fn docker_archive(dir: &Path, name: &str, ballast: usize) -> PathBuf {
    let layer = dir.join("layer");
    fs::create_dir_all(layer.join("bin")).expect("folder");
    fs::copy(
        find_program("busybox").expect("busybox"),
        layer.join("bin/sh"),
    )
    .expect("busybox");
    // Not compressible, so that the archive is as large as it says.
    let mut state = 1_u32;
    let bytes: Vec<u8> = (0..ballast)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    fs::write(layer.join("ballast"), bytes).expect("ballast");
    let image = dir.join("image");
    fs::create_dir_all(&image).expect("folder");
    tar(&layer, &image.join("layer.tar"));
    let diff_id = sha256(&fs::read(image.join("layer.tar")).expect("layer"));
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"], "Env": ["FROM_IMAGE=yes"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    fs::write(image.join("config.json"), config.to_string()).expect("config");
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    fs::write(image.join("manifest.json"), manifest.to_string()).expect("manifest");
    let archive = dir.join("image.tar");
    tar(&image, &archive);
    archive
}

fn tar(dir: &Path, archive: &Path) {
    // The same bytes whenever and wherever it is made: two machines have the same base.
    let status = Command::new("tar")
        .args(["--sort=name", "--mtime=@1", "-C"])
        .arg(dir)
        .arg("-cf")
        .arg(archive)
        .arg(".")
        .status()
        .expect("tar");
    assert!(status.success());
}

//! Configuration hashes: what decides that a container, network or volume must be made anew.
//!
//! The text hashed is the one docker compose hashes (compact JSON in its field order, `<`, `>`
//! and `&` escaped), so containers made by either are recognised by the other.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::network::Network;
use super::project::Volume;
use super::service::Service;
use super::{EXTENSIONS, canonical};

/// The hash of a service: everything except what does not shape its containers (build, pull
/// policy, scale, dependencies, profiles).
pub fn config_hash(service: &Service) -> String {
    let mut value = canonical::plain(service);
    if let Some(map) = value.as_object_mut() {
        for key in ["build", "pull_policy", "scale", "depends_on", "profiles"] {
            map.shift_remove(key);
        }
        let files = map.get_mut("env_file").and_then(Value::as_array_mut);
        for file in files.into_iter().flatten() {
            // A file that must exist is its path alone.
            if file.get("required") == Some(&Value::Bool(true)) {
                *file = match file["path"].take() {
                    Value::Null => "".into(),
                    path => path,
                };
            }
        }
        if let Some(deploy) = map.get_mut("deploy").and_then(|d| d.as_object_mut()) {
            deploy.shift_remove("replicas");
        }
    }
    digest(value)
}

/// The hash of a network.
pub fn network_hash(network: &Network) -> String {
    digest(canonical::plain(network))
}

/// The hash of a volume.
pub fn volume_hash(volume: &Volume) -> String {
    digest(canonical::plain(volume))
}

fn digest(mut value: Value) -> String {
    canonical::drop_key(&mut value, EXTENSIONS);
    let text = canonical::escape_as_go(&value.to_string());
    base16ct::lower::encode_string(&Sha256::digest(text.as_bytes()))
}

//! What this machine says about registries: mirrors of Docker Hub, and hosts without proper certificates.
//!
//! `GANTRY_REGISTRY_MIRRORS` and `GANTRY_INSECURE_REGISTRIES` are lists with commas. `registry-mirrors` and
//! `insecure-registries` of `/etc/docker/daemon.json` hold as well, after them: who has set them for
//! Docker means every engine of the machine.

use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::RegistryOptions;

const DAEMON: &str = "/etc/docker/daemon.json";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Daemon {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

impl RegistryOptions {
    /// The options that this machine and its environment ask for.
    pub fn of_machine() -> Self {
        let list = |name: &str| list(&std::env::var(name).unwrap_or_default());
        let daemon = daemon(Path::new(DAEMON));
        let mut mirrors = list("GANTRY_REGISTRY_MIRRORS");
        let mut insecure = list("GANTRY_INSECURE_REGISTRIES");
        mirrors.extend(daemon.registry_mirrors);
        insecure.extend(daemon.insecure_registries);
        Self {
            mirrors,
            insecure,
            ..Self::default()
        }
    }

    /// Whether a host may be spoken to in plain http, or with a certificate nobody vouches for: it is named, with or
    /// without its port, or its address lies in a network that is.
    pub(super) fn allows_insecure(&self, host: &str) -> bool {
        let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split(':').next().unwrap_or(host),
        };
        let address: Option<IpAddr> = bare.parse().ok();
        self.insecure.iter().any(|named| {
            named == host || named == bare || address.is_some_and(|address| within(address, named))
        })
    }
}

fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A file that cannot be read says nothing; what it would have allowed is then refused by name.
fn daemon(path: &Path) -> Daemon {
    let Ok(text) = std::fs::read(path) else {
        return Daemon::default();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, path = %path.display(), "cannot be read; its registries are not known");
        Daemon::default()
    })
}

/// Whether an address lies in a network, `10.0.0.0/8`.
fn within(address: IpAddr, network: &str) -> bool {
    let Some((base, length)) = network.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) if length <= 32 => {
            let shift = 32 - length;
            let network = |address: u32| u64::from(address) >> shift;
            network(address.to_bits()) == network(base.to_bits())
        }
        (IpAddr::V6(address), IpAddr::V6(base)) if length <= 128 => {
            let network = |address: u128| address.checked_shr(128 - length).unwrap_or(0);
            network(address.to_bits()) == network(base.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_insecure_by_name_port_or_network() {
        let options = RegistryOptions {
            insecure: list("r.example, p.example:5000,10.1.0.0/16,fd00::/8,,0.0.0.0/x"),
            ..RegistryOptions::default()
        };
        for (host, allowed) in [
            ("r.example", true),
            ("r.example:5000", true),
            ("p.example:5000", true),
            ("p.example:5001", false),
            ("10.1.2.3:80", true),
            ("10.2.2.3:80", false),
            ("[fd12::1]:5000", true),
            ("[fe12::1]:5000", false),
            ("docker.io", false),
        ] {
            assert_eq!(options.allows_insecure(host), allowed, "{host}");
        }
    }

    #[test]
    fn the_daemons_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.json");
        assert!(daemon(&path).registry_mirrors.is_empty());
        let text = r#"{"debug":true,"registry-mirrors":["https://m.example"],"insecure-registries":["x:1"]}"#;
        std::fs::write(&path, text).unwrap();
        let read = daemon(&path);
        assert_eq!(read.registry_mirrors, ["https://m.example"]);
        assert_eq!(read.insecure_registries, ["x:1"]);
        std::fs::write(&path, "{").unwrap();
        assert!(daemon(&path).insecure_registries.is_empty());
    }
}

//! What this runtime can do, as the specification's features document.

use serde_json::{Value, json};

use crate::cgroup::{Layout, Version};
use crate::mount::option_names;
use crate::runtime::defaults::all_capabilities;
use crate::runtime::hook::HookPoint;
use crate::runtime::seccomp::{ACTIONS, FLAGS, OPERATORS};

/// The newest version of the specification that this runtime knows.
pub const SPEC_VERSION: &str = "1.3.0";

/// Architectures whose system calls a filter of this machine can name.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[&str] = &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[&str] = &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURES: &[&str] = &[];

/// The document, for this machine.
pub fn features() -> Value {
    let layout = Layout::detect().ok();
    let has = |version| {
        let found = layout.iter().flat_map(Layout::hierarchies);
        found.into_iter().any(|h| h.version() == version)
    };
    let mut capabilities: Vec<String> = all_capabilities()
        .into_iter()
        .filter_map(|one| serde_json::to_value(one).ok()?.as_str().map(str::to_owned))
        .collect();
    capabilities.sort();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": HookPoint::ALL.map(HookPoint::name),
        "mountOptions": option_names(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {
                "v1": has(Version::V1),
                "v2": has(Version::V2),
                "systemd": false,
                "systemdUser": false,
                "rdma": false,
            },
            "seccomp": {
                "enabled": !ARCHITECTURES.is_empty(),
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": ARCHITECTURES,
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "memoryPolicy": {},
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": false },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_of_its_format() {
        let document: oci_spec::runtime::Features =
            serde_json::from_value(features()).expect("the specification's members");
        assert_eq!(document.oci_version_max(), SPEC_VERSION);
        let linux = document.linux().as_ref().expect("present");
        let named = linux.capabilities().as_ref().expect("present");
        assert_eq!(named.len(), 41);
        assert!(named.contains(&"CAP_SYS_ADMIN".to_owned()));
    }
}

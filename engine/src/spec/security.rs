//! Privileges.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a container may do beyond, or less than, Docker's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecuritySpec {
    /// All capabilities, all devices, no seccomp, nothing masked.
    pub privileged: bool,
    /// Capabilities added, with or without `CAP_`; `ALL` is every one.
    pub cap_add: Vec<String>,
    /// Capabilities dropped; `ALL` is every one.
    pub cap_drop: Vec<String>,
    /// Set no_new_privs (prctl(2)).
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: SeccompSpec,
    /// AppArmor profile; `None` is the engine's default where AppArmor is enabled.
    pub apparmor: Option<String>,
    /// SELinux options as written.
    pub labels: Vec<String>,
    /// Neither mask nor protect paths of /proc and /sys.
    pub unmasked: bool,
    /// Mount the root read-only.
    pub read_only_rootfs: bool,
}

/// System call filters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompSpec {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's JSON format.
    File(PathBuf),
}

//! A `config.json` to begin with, as `runc spec` writes one: a shell on a read-only root `rootfs`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::runtime::defaults::{self, SysAccess};

use super::{OciError, SPEC_VERSION};

/// For whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Root.
    Root,
    /// An ordinary user: on the machine's network, with the machine's /sys, without limits. Its namespace of users is the one in
    /// which all of their containers are.
    User,
}

/// Writes it into a directory that has none.
pub fn write_example(directory: &Path, whom: For) -> Result<(), OciError> {
    let path = directory.join("config.json");
    let failed = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            let shown = path.display();
            return OciError::Invalid(format!("`{shown}` exists; remove it first"));
        }
        OciError::File {
            action: "write",
            path: path.clone(),
            source,
        }
    };
    let mut text = serde_json::to_string_pretty(&example(whom))
        .map_err(|error| OciError::Invalid(error.to_string()))?;
    text.push('\n');
    let mut file = File::create_new(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

fn example(whom: For) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut namespaces = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    let mut mounts = json!(defaults::mounts(defaults::SHM_SIZE, SysAccess::ReadOnly));
    let mut resources = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    match whom {
        For::Root => namespaces.insert(1, "network"),
        For::User => {
            resources = Value::Null;
            let own = mounts.as_array_mut();
            if let Some(own) = own {
                own.retain(|mount| {
                    let destination = mount["destination"].as_str().unwrap_or_default();
                    !destination.starts_with("/sys")
                });
                own.push(json!({
                    "destination": "/sys",
                    "type": "none",
                    "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                }));
            }
        }
    }
    let namespaces: Vec<Value> = namespaces
        .iter()
        .map(|name| json!({ "type": name }))
        .collect();
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": defaults::masked_paths(),
        "readonlyPaths": defaults::readonly_paths(),
    });
    if !resources.is_null() {
        linux["resources"] = resources;
    }
    json!({
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": [format!("PATH={}", defaults::PATH), "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "gantry",
        "mounts": mounts,
        "linux": linux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_specifications() {
        for whom in [For::Root, For::User] {
            serde_json::from_value::<oci_spec::runtime::Spec>(example(whom))
                .expect("of the format");
        }
    }

    #[test]
    fn one_that_is_there_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        write_example(dir.path(), For::Root).expect("written");
        let error = write_example(dir.path(), For::User).expect_err("there already");
        assert!(error.to_string().contains("remove it first"), "{error}");
    }
}

//! The text of a description.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The newest major version that we read; before the first there were minor ones.
const NEWEST_MAJOR: u32 = 1;

/// A file: one kind of devices.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    cdi_version: String,
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    /// What each of them needs.
    #[serde(default, rename = "containerEdits")]
    pub edits: ContainerEdits,
}

/// A device.
#[derive(Debug, Deserialize)]
pub struct Device {
    name: String,
    /// What it needs.
    #[serde(default, rename = "containerEdits")]
    pub edits: ContainerEdits,
}

/// What is changed in a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ContainerEdits {
    pub env: Vec<String>,
    pub device_nodes: Vec<DeviceNode>,
    pub mounts: Vec<Mount>,
    pub hooks: Vec<Hook>,
    #[serde(alias = "additionalGIDs")]
    pub additional_gids: Vec<u32>,
    pub intel_rdt: Option<serde_yaml::Value>,
    pub net_devices: Option<serde_yaml::Value>,
}

/// A device node. What is not said of it is as with the node on the machine.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeviceNode {
    pub path: PathBuf,
    pub host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    pub typ: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub file_mode: Option<u32>,
    pub permissions: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// A mount, a bind unless a type is given.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    #[serde(default)]
    pub options: Vec<String>,
    #[serde(default, rename = "type")]
    pub typ: String,
}

/// A program to run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    pub hook_name: String,
    pub path: PathBuf,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    pub timeout: Option<i64>,
}

impl File {
    /// Reads a file in YAML, of which JSON is a part.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    /// As [`File::read`], of its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let major = file.cdi_version.split('.').next().unwrap_or_default();
        match major.parse::<u32>() {
            Ok(number) if number <= NEWEST_MAJOR => Ok(file),
            _ => Err(format!(
                "the version `{}` is not supported; 0.3.0 to {NEWEST_MAJOR}.x are",
                file.cdi_version
            )),
        }
    }

    /// A device of this file.
    pub fn device(&self, kind: &str, name: &str) -> Option<&Device> {
        let devices = (self.kind == kind).then_some(&self.devices)?;
        devices.iter().find(|device| device.name == name)
    }
}

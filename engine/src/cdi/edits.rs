//! From descriptions to a specification.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    Hook, HookBuilder, Hooks, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, Mount, MountBuilder, Spec,
};

use super::CdiError;
use super::file::{self, ContainerEdits};

/// What devices add to a container.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    env: Vec<String>,
    /// Nodes, and what may be done with each.
    nodes: Vec<(LinuxDevice, String)>,
    mounts: Vec<Mount>,
    hooks: Vec<(Point, Hook)>,
    groups: Vec<u32>,
}

/// Points of a container's life at which a description may have a program run. Those that come after its start would have to
/// be run by whoever is there then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
}

impl Edits {
    /// Adds what a description says of the device `name`.
    pub(super) fn add(&mut self, name: &str, given: &ContainerEdits) -> Result<(), CdiError> {
        let refuse = |what: &str| CdiError::Unsupported {
            name: name.to_owned(),
            what: what.to_owned(),
        };
        for (present, what) in [
            (given.intel_rdt.is_some(), "`intelRdt`"),
            (given.net_devices.is_some(), "`netDevices`"),
        ] {
            if present {
                return Err(refuse(what));
            }
        }
        self.env.extend(given.env.iter().cloned());
        for asked in &given.device_nodes {
            self.nodes.push(node(name, asked)?);
        }
        for asked in &given.mounts {
            let typ = match asked.typ.as_str() {
                "" => "bind",
                typ => typ,
            };
            let mount = MountBuilder::default()
                .source(asked.host_path.clone())
                .destination(asked.container_path.clone())
                .typ(typ)
                .options(asked.options.clone());
            self.mounts
                .push(mount.build().map_err(|error| refuse(&error.to_string()))?);
        }
        for asked in &given.hooks {
            let point = match asked.hook_name.as_str() {
                "prestart" => Point::Prestart,
                "createRuntime" => Point::CreateRuntime,
                "createContainer" => Point::CreateContainer,
                "startContainer" => Point::StartContainer,
                other => return Err(refuse(&format!("a hook at `{other}`"))),
            };
            let mut hook = HookBuilder::default()
                .path(asked.path.clone())
                .env(asked.env.clone());
            if !asked.args.is_empty() {
                hook = hook.args(asked.args.clone());
            }
            if let Some(seconds) = asked.timeout {
                hook = hook.timeout(seconds);
            }
            let hook = hook.build().map_err(|error| refuse(&error.to_string()))?;
            self.hooks.push((point, hook));
        }
        self.groups
            .extend(given.additional_gids.iter().filter(|group| **group != 0));
        Ok(())
    }

    /// The rules with which the device cgroup lets the nodes be used.
    pub fn rules(&self) -> impl Iterator<Item = LinuxDeviceCgroup> {
        self.nodes.iter().filter_map(|(node, access)| {
            LinuxDeviceCgroupBuilder::default()
                .allow(true)
                .typ(node.typ())
                .major(node.major())
                .minor(node.minor())
                .access(access.clone())
                .build()
                .ok()
        })
    }

    /// Adds everything to a specification. A variable, a node or a mount takes the place of one that is there.
    pub fn apply(self, spec: &mut Spec) {
        if let Some(process) = spec.process_mut() {
            let mut env = process.env().clone().unwrap_or_default();
            for entry in self.env {
                let name = entry.split('=').next().unwrap_or_default().to_owned();
                env.retain(|old| old.split('=').next() != Some(name.as_str()));
                env.push(entry);
            }
            process.set_env(Some(env));
            let user = process.user_mut();
            let mut groups = user.additional_gids().clone().unwrap_or_default();
            groups.extend(self.groups);
            user.set_additional_gids(Some(groups));
        }
        if let Some(linux) = spec.linux_mut() {
            let mut devices = linux.devices().clone().unwrap_or_default();
            for (node, _) in self.nodes {
                devices.retain(|old| old.path() != node.path());
                devices.push(node);
            }
            linux.set_devices(Some(devices));
        }
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for mount in self.mounts {
            mounts.retain(|old| old.destination() != mount.destination());
            mounts.push(mount);
        }
        spec.set_mounts(Some(mounts));
        if self.hooks.is_empty() {
            return;
        }
        let at = |point| -> Option<Vec<Hook>> {
            let hooks = self.hooks.iter().filter(|(when, _)| *when == point);
            let hooks: Vec<Hook> = hooks.map(|(_, hook)| hook.clone()).collect();
            (!hooks.is_empty()).then_some(hooks)
        };
        let mut hooks = Hooks::default();
        hooks
            .set_prestart(at(Point::Prestart))
            .set_create_runtime(at(Point::CreateRuntime))
            .set_create_container(at(Point::CreateContainer))
            .set_start_container(at(Point::StartContainer));
        spec.set_hooks(Some(hooks));
    }
}

/// A node as described; what is left open is as on the machine.
fn node(name: &str, asked: &file::DeviceNode) -> Result<(LinuxDevice, String), CdiError> {
    let path = asked.host_path.as_deref().unwrap_or(&asked.path);
    let failed = |source| CdiError::Node {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    };
    let mut device = LinuxDeviceBuilder::default().path(asked.path.clone());
    let typ = match (asked.typ.as_deref(), asked.major, asked.minor) {
        (Some(typ), Some(major), Some(minor)) => {
            device = device.major(major).minor(minor);
            match typ {
                "b" => LinuxDeviceType::B,
                "p" => LinuxDeviceType::P,
                _ => LinuxDeviceType::C,
            }
        }
        _ => {
            let found = look(path).map_err(failed)?;
            device = device
                .major(asked.major.unwrap_or(found.major))
                .minor(asked.minor.unwrap_or(found.minor))
                .file_mode(found.mode);
            found.typ
        }
    };
    device = device
        .typ(typ)
        .uid(asked.uid.unwrap_or(0))
        .gid(asked.gid.unwrap_or(0));
    if let Some(mode) = asked.file_mode {
        device = device.file_mode(mode & 0o7777);
    }
    let access = asked
        .permissions
        .clone()
        .unwrap_or_else(|| "rwm".to_owned());
    let device = device
        .build()
        .map_err(|error| failed(io::Error::other(error)))?;
    Ok((device, access))
}

struct Found {
    typ: LinuxDeviceType,
    major: i64,
    minor: i64,
    mode: u32,
}

fn look(path: &Path) -> io::Result<Found> {
    let metadata = fs::metadata(path)?;
    let kind = metadata.file_type();
    let typ = if kind.is_char_device() {
        LinuxDeviceType::C
    } else if kind.is_block_device() {
        LinuxDeviceType::B
    } else {
        return Err(io::Error::other("it is not a device"));
    };
    Ok(Found {
        typ,
        major: i64::from(rustix::fs::major(metadata.rdev())),
        minor: i64::from(rustix::fs::minor(metadata.rdev())),
        mode: metadata.mode() & 0o7777,
    })
}

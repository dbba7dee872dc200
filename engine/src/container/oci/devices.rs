//! Device nodes and the rules of the device cgroup.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use crate::container::ContainerError;
use crate::runtime::defaults;
use crate::spec::{ContainerSpec, DeviceSpec};

/// Nodes beyond those that every container has.
pub fn nodes(asked: &ContainerSpec) -> Result<Vec<LinuxDevice>, ContainerError> {
    let mut result = Vec::new();
    for device in &asked.devices {
        add(device, &mut result)?;
    }
    if asked.security.privileged {
        let mut all = Vec::new();
        walk(Path::new("/dev"), Path::new("/dev"), &mut all);
        // One that was asked for takes the place of the machine's.
        all.retain(|node| result.iter().all(|asked| asked.path() != node.path()));
        result.extend(all);
    }
    Ok(result)
}

/// Docker's rules, those of the devices given, and the ones written by hand.
pub fn rules(asked: &ContainerSpec) -> Result<Vec<LinuxDeviceCgroup>, ContainerError> {
    if asked.security.privileged {
        return Ok(vec![defaults::all_devices_rule()]);
    }
    let mut rules = defaults::device_rules();
    for device in &asked.devices {
        let access = access(&device.permissions, &device.source.display().to_string())?;
        let mut found = Vec::new();
        add(device, &mut found)?;
        for node in found {
            rules.extend(
                LinuxDeviceCgroupBuilder::default()
                    .allow(true)
                    .typ(node.typ())
                    .major(node.major())
                    .minor(node.minor())
                    .access(access.clone())
                    .build(),
            );
        }
    }
    for rule in &asked.device_cgroup_rules {
        rules.push(parse_rule(rule)?);
    }
    Ok(rules)
}

fn access(letters: &str, of: &str) -> Result<String, ContainerError> {
    if letters.chars().all(|letter| "rwm".contains(letter)) {
        Ok(if letters.is_empty() { "rwm" } else { letters }.to_owned())
    } else {
        Err(ContainerError::Invalid(format!(
            "device permissions `{letters}` of `{of}` are not letters of `rwm`"
        )))
    }
}

fn add(device: &DeviceSpec, result: &mut Vec<LinuxDevice>) -> Result<(), ContainerError> {
    let path = &device.source;
    let metadata = fs::metadata(path).map_err(|source| ContainerError::Host {
        action: "use the device",
        path: path.display().to_string(),
        source,
    })?;
    let target = Path::new(&device.target);
    if metadata.is_dir() {
        walk(path, target, result);
        return Ok(());
    }
    match node(&metadata, target.to_owned()) {
        Some(node) => {
            result.push(node);
            Ok(())
        }
        None => Err(ContainerError::Invalid(format!(
            "`{}` is not a device",
            path.display()
        ))),
    }
}

/// All devices below a directory. What containers get of their own is left out: terminals, shared
/// memory, queues; links as well, which would lead anywhere.
fn walk(dir: &Path, target: &Path, result: &mut Vec<LinuxDevice>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name();
        if kind.is_dir() {
            let own = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];
            if !own.iter().any(|skip| name == *skip) {
                walk(&entry.path(), &target.join(&name), result);
            }
        } else if (kind.is_char_device() || kind.is_block_device())
            && name != "console"
            && let Ok(metadata) = entry.metadata()
        {
            result.extend(node(&metadata, target.join(&name)));
        }
    }
}

fn node(metadata: &fs::Metadata, path: PathBuf) -> Option<LinuxDevice> {
    let kind = metadata.file_type();
    let typ = if kind.is_char_device() {
        LinuxDeviceType::C
    } else if kind.is_block_device() {
        LinuxDeviceType::B
    } else {
        return None;
    };
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(typ)
        .major(i64::from(rustix::fs::major(metadata.rdev())))
        .minor(i64::from(rustix::fs::minor(metadata.rdev())))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

/// `c 42:* rmw`.
pub fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, ContainerError> {
    let wrong = || {
        ContainerError::Invalid(format!(
            "device cgroup rule `{text}` is not of the form `c 42:* rmw`"
        ))
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [typ, numbers, letters] = words[..] else {
        return Err(wrong());
    };
    let typ = match typ {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(wrong()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(Some).map_err(|_| wrong()),
    };
    let mut builder = LinuxDeviceCgroupBuilder::default()
        .allow(true)
        .typ(typ)
        .access(access(letters, text)?);
    if let Some(major) = number(major)? {
        builder = builder.major(major);
    }
    if let Some(minor) = number(minor)? {
        builder = builder.minor(minor);
    }
    builder.build().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_dockers() {
        let rule = parse_rule("c 42:* rmw").unwrap();
        assert_eq!((rule.major(), rule.minor()), (Some(42), None));
        for bad in ["", "c 42 rwm", "x 1:1 r", "c 1:1 z", "c a:1 r", "c 1:1 r w"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_rule_text_is_parsed_or_refused(text in ".*") {
            let _ = parse_rule(&text);
        }
    }
}

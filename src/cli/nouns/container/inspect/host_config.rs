//! `HostConfig`: what was asked of the machine for a container.

use std::collections::BTreeSet;

use gantry_engine::container::{Container, MountPoint, MountType};
use gantry_engine::runtime::defaults;
use gantry_engine::spec::{
    BlockIoDevice, ContainerSpec, LogDriver, NamespaceMode, NetworkMode, RestartPolicy,
    SeccompSpec, UserNamespace,
};
use serde_json::{Map, Value, json};

/// The object.
pub fn host_config(container: &Container) -> Value {
    let spec = &container.spec;
    let (restart, retries) = match spec.restart {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { max_retries } => ("on-failure", max_retries.unwrap_or(0)),
    };
    let driver = match spec.log.driver {
        LogDriver::JsonFile => "json-file",
        LogDriver::Local => "local",
        LogDriver::None => "none",
    };
    let mut value = json!({
        "Binds": binds(&container.mounts),
        "ContainerIDFile": "",
        "LogConfig": { "Type": driver, "Config": spec.log.options },
        "NetworkMode": network_mode(&spec.network),
        "PortBindings": port_bindings(spec),
        "RestartPolicy": { "Name": restart, "MaximumRetryCount": retries },
        "AutoRemove": spec.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": listed(&spec.volumes_from),
        "ConsoleSize": [0, 0],
        "Annotations": spec.annotations,
        "CapAdd": capabilities(&spec.security.cap_add),
        "CapDrop": capabilities(&spec.security.cap_drop),
        "CgroupnsMode": match namespace(&spec.cgroup) {
            mode if mode.is_empty() => "private".to_owned(),
            mode => mode,
        },
        "Dns": spec.dns.servers,
        "DnsOptions": spec.dns.options,
        "DnsSearch": spec.dns.search,
        "ExtraHosts": extra_hosts(spec),
        "GroupAdd": listed(&spec.group_add),
        "IpcMode": match namespace(&spec.ipc) {
            mode if mode.is_empty() && spec.no_shm => "none".to_owned(),
            mode if mode.is_empty() => "private".to_owned(),
            mode => mode,
        },
        "Cgroup": container.cgroup,
        "Links": null,
        "OomScoreAdj": spec.resources.oom_score_adj.unwrap_or(0),
        "PidMode": namespace(&spec.pid),
        "Privileged": spec.security.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.security.read_only_rootfs,
        "MaskedPaths": system_paths(spec, defaults::masked_paths),
        "ReadonlyPaths": system_paths(spec, defaults::readonly_paths),
        "SecurityOpt": security_options(spec),
        "Sysctls": spec.sysctls,
        "Tmpfs": tmpfs(&container.mounts),
        "UTSMode": namespace(&spec.uts),
        "UsernsMode": user_namespace(&spec.user_namespace),
        "ShmSize": spec.shm_size.unwrap_or(64 << 20),
        "Runtime": spec.runtime.as_deref().unwrap_or("gantry"),
        "Isolation": "",
        "Mounts": mounts(&container.mounts),
        "Init": spec.init,
    });
    if let (Value::Object(fields), Value::Object(limits)) = (&mut value, limits(spec)) {
        fields.extend(limits);
        fields.retain(|name, value| !(OPTIONAL.contains(&name.as_str()) && is_empty(value)));
    }
    value
}

/// Fields that Docker leaves out when there is nothing in them; the others it shows as null or empty.
const OPTIONAL: &[&str] = &["Annotations", "Init", "Mounts", "Sysctls", "Tmpfs"];

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

fn limits(spec: &ContainerSpec) -> Value {
    let resources = &spec.resources;
    let io = &resources.block_io;
    let rates = |list: &[BlockIoDevice], key: &str| -> Vec<Value> {
        list.iter()
            .map(|device| json!({ "Path": device.path, key: device.value }))
            .collect()
    };
    let devices: Vec<Value> = spec
        .devices
        .iter()
        .map(|device| {
            json!({
                "PathOnHost": device.source,
                "PathInContainer": device.target,
                "CgroupPermissions": device.permissions,
            })
        })
        .collect();
    let ulimits: Vec<Value> = spec
        .ulimits
        .iter()
        .map(|(name, limit)| json!({ "Name": name, "Hard": limit.hard, "Soft": limit.soft }))
        .collect();
    json!({
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "Memory": resources.memory.unwrap_or(0),
        "NanoCpus": resources.cpus.map_or(0, |cpus| (cpus * 1e9).round() as i64),
        "CgroupParent": spec.cgroup_parent.clone().unwrap_or_default(),
        "BlkioWeight": io.weight.unwrap_or(0),
        "BlkioWeightDevice": rates(&io.weight_device, "Weight"),
        "BlkioDeviceReadBps": rates(&io.read_bps, "Rate"),
        "BlkioDeviceWriteBps": rates(&io.write_bps, "Rate"),
        "BlkioDeviceReadIOps": rates(&io.read_iops, "Rate"),
        "BlkioDeviceWriteIOps": rates(&io.write_iops, "Rate"),
        "CpuPeriod": resources.cpu_period.unwrap_or(0),
        "CpuQuota": resources.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": resources.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": resources.cpu_rt_runtime.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "Devices": devices,
        "DeviceCgroupRules": listed(&spec.device_cgroup_rules),
        "DeviceRequests": (!spec.cdi_devices.is_empty())
            .then(|| json!([{ "Driver": "cdi", "Count": 0, "DeviceIDs": spec.cdi_devices }])),
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "MemorySwap": swap(spec),
        "MemorySwappiness": resources.memory_swappiness,
        "OomKillDisable": resources.oom_kill_disable,
        "PidsLimit": resources.pids,
        "Ulimits": ulimits,
    })
}

/// With a memory limit alone, as much swap again: Docker shows the sum.
fn swap(spec: &ContainerSpec) -> i64 {
    let default = spec.resources.memory.map(|memory| memory.saturating_mul(2));
    let default = default.and_then(|sum| i64::try_from(sum).ok());
    spec.resources.memory_swap.or(default).unwrap_or(0)
}

/// Docker's null for an empty list.
fn listed(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

/// In the kernel's words, each once and in order, as Docker keeps them.
fn capabilities(list: &[String]) -> Option<BTreeSet<String>> {
    let name = |text: &String| match text.to_uppercase() {
        name if name == "ALL" || name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    };
    (!list.is_empty()).then(|| list.iter().map(name).collect())
}

fn namespace(mode: &NamespaceMode) -> String {
    match mode {
        NamespaceMode::Private => String::new(),
        NamespaceMode::Host => "host".to_owned(),
        NamespaceMode::Container(name) => format!("container:{name}"),
    }
}

/// Docker's empty text is the daemon's choice, which is the machine's here.
fn user_namespace(namespace: &UserNamespace) -> String {
    match namespace {
        UserNamespace::Host => String::new(),
        UserNamespace::Private => "private".to_owned(),
        UserNamespace::Container(name) => format!("container:{name}"),
    }
}

fn network_mode(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Container(name) => format!("container:{name}"),
        NetworkMode::Networks(list) => list
            .first()
            .map_or_else(|| "bridge".to_owned(), |endpoint| endpoint.network.clone()),
    }
}

fn port_bindings(spec: &ContainerSpec) -> Map<String, Value> {
    let mut map = Map::new();
    for port in &spec.ports {
        let host_port = match port.host_ports {
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
            None => String::new(),
        };
        let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let entry = map
            .entry(format!("{}/{}", port.container_port, port.protocol))
            .or_insert_with(|| json!([]));
        if let Value::Array(list) = entry {
            list.push(json!({ "HostIp": host_ip, "HostPort": host_port }));
        }
    }
    map
}

fn binds(mounts: &[MountPoint]) -> Option<Vec<String>> {
    let bind = |mount: &MountPoint| {
        let source = match &mount.kind {
            MountType::Bind { .. } => mount.source.display().to_string(),
            MountType::Volume {
                name,
                anonymous: false,
                subpath: None,
                ..
            } => name.clone(),
            MountType::Volume { .. } | MountType::Tmpfs(_) | MountType::Image { .. } => {
                return None;
            }
        };
        let mode = if mount.read_only { ":ro" } else { "" };
        Some(format!("{source}:{}{mode}", mount.target))
    };
    let binds: Vec<String> = mounts.iter().filter_map(bind).collect();
    (!binds.is_empty()).then_some(binds)
}

/// The mounts that only `--mount` can ask for; how others were written is not kept, and they are told as `--volume` and
/// `--tmpfs`.
fn mounts(mounts: &[MountPoint]) -> Option<Vec<Value>> {
    let mount = |mount: &MountPoint| {
        let (kind, source, options, subpath) = match &mount.kind {
            MountType::Volume {
                name,
                subpath: Some(subpath),
                ..
            } => ("volume", name, "VolumeOptions", Some(subpath)),
            MountType::Image {
                reference, subpath, ..
            } => ("image", reference, "ImageOptions", subpath.as_ref()),
            _ => return None,
        };
        let mut value = json!({ "Type": kind, "Source": source, "Target": mount.target });
        if mount.read_only {
            value["ReadOnly"] = json!(true);
        }
        if let Some(subpath) = subpath {
            value[options] = json!({ "Subpath": subpath });
        }
        Some(value)
    };
    let mounts: Vec<Value> = mounts.iter().filter_map(mount).collect();
    (!mounts.is_empty()).then_some(mounts)
}

fn tmpfs(mounts: &[MountPoint]) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for mount in mounts {
        if let MountType::Tmpfs(options) = &mount.kind {
            let mut words = Vec::new();
            words.extend(options.size.map(|size| format!("size={size}")));
            words.extend(options.mode.map(|mode| format!("mode={mode:o}")));
            map.insert(mount.target.clone(), json!(words.join(",")));
        }
    }
    (!map.is_empty()).then_some(map)
}

fn extra_hosts(spec: &ContainerSpec) -> Option<Vec<String>> {
    let line = |host: &gantry_engine::spec::ExtraHost| match host.address {
        Some(address) => format!("{}:{address}", host.name),
        None => format!("{}:host-gateway", host.name),
    };
    let lines: Vec<String> = spec.extra_hosts.iter().map(line).collect();
    (!lines.is_empty()).then_some(lines)
}

/// Paths of the system that are hidden or read-only: as by default, none, or (privileged) not asked about.
fn system_paths(spec: &ContainerSpec, defaults: fn() -> Vec<String>) -> Option<Vec<String>> {
    match (spec.security.privileged, spec.security.unmasked) {
        (true, _) => None,
        (false, true) => Some(Vec::new()),
        (false, false) => Some(defaults()),
    }
}

fn security_options(spec: &ContainerSpec) -> Option<Vec<String>> {
    let security = &spec.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        SeccompSpec::Default => {}
        SeccompSpec::Unconfined => options.push("seccomp=unconfined".to_owned()),
        SeccompSpec::File(path) => options.push(format!("seccomp={}", path.display())),
    }
    options.extend(
        security
            .apparmor
            .iter()
            .map(|name| format!("apparmor={name}")),
    );
    options.extend(security.labels.iter().map(|label| format!("label={label}")));
    if security.unmasked {
        options.push("systempaths=unconfined".to_owned());
    }
    (!options.is_empty()).then_some(options)
}

//! The one conversion from a container's record to an OCI runtime specification.
//!
//! Pure but for two looks at the host: device nodes are read for their numbers, and
//! a namespace of another container is named by its process. Network namespace, cgroup and the system
//! call filter are not in the specification: they are handed to the launch as descriptors and data.

mod devices;
mod limits;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources, Mount, MountBuilder, Process, Root,
    Spec, User,
};

use crate::cdi;
use crate::mount::{MOUNTS_OF, READ_ONLY_HERE};
use crate::runtime::defaults::{self, SysAccess};
use crate::runtime::foreign::Foreign;
use crate::spec::{ContainerSpec, NamespaceMode, NetworkMode, SecuritySpec, TmpfsOptions};
use crate::state::ContainerId;
use crate::sys::user_namespace;

use super::ContainerError;
use super::ids::IdRange;
use super::info::{MountPoint, MountType};
use super::record::{Files, Record};

pub use devices::parse_rule as device_rule;
pub use limits::{cpu, memory, resources, rlimit};

/// Finds the first process of a running container by id, for shared namespaces.
pub type FindInit<'a> = &'a dyn Fn(&ContainerId) -> Result<i32, ContainerError>;

/// The specification of a container.
pub fn spec(record: &Record, files: &Files, init: FindInit<'_>) -> Result<Spec, ContainerError> {
    let asked = &record.spec;
    let mut spec = Spec::default();
    spec.set_process(Some(process(record)?))
        .set_root(Some({
            let mut root = Root::default();
            root.set_path(PathBuf::from("/"))
                .set_readonly(Some(asked.security.read_only_rootfs));
            root
        }))
        .set_mounts(Some(mounts(record, files, init)?))
        .set_linux(Some(linux(record, init)?));
    // In the machine's namespace, or another container's, the name is theirs. (The crate's default
    // specification has one, so it is taken away.)
    let named = asked.uts == NamespaceMode::Private;
    spec.set_hostname(named.then(|| record.resolved.hostname.clone()))
        .set_domainname(asked.domainname.clone().filter(|_| named));
    if !asked.annotations.is_empty() {
        spec.set_annotations(Some(asked.annotations.clone().into_iter().collect()));
    }
    cdi::find(&asked.cdi_devices)?.apply(&mut spec);
    Ok(spec)
}

/// The specification of a container's first process.
fn process(record: &Record) -> Result<Process, ContainerError> {
    let mut process = any_process(
        &record.spec,
        &record.spec.security,
        record.resolved.argv.clone(),
        record.resolved.env.clone(),
    )?;
    process
        .set_terminal(Some(record.spec.tty))
        .set_cwd(PathBuf::from(&record.resolved.working_dir));
    Ok(process)
}

/// What the first and every further process of a container have in common.
pub fn any_process(
    asked: &ContainerSpec,
    security: &SecuritySpec,
    argv: Vec<String>,
    env: Vec<String>,
) -> Result<Process, ContainerError> {
    let mut process = Process::default();
    process
        .set_user(User::default())
        .set_args(Some(argv))
        .set_env(Some(env))
        .set_capabilities(Some(capabilities(security)?))
        .set_rlimits(Some(limits::rlimits(asked)?))
        .set_oom_score_adj(asked.resources.oom_score_adj)
        .set_no_new_privileges(Some(security.no_new_privileges));
    Ok(process)
}

/// Docker's order: start from the default, `ALL` first, then drops, then additions.
fn capabilities(security: &SecuritySpec) -> Result<LinuxCapabilities, ContainerError> {
    if security.privileged {
        return Ok(defaults::capability_sets(&defaults::all_capabilities()));
    }
    let (add_all, add) = capability_list(&security.cap_add)?;
    let (drop_all, drop) = capability_list(&security.cap_drop)?;
    let base: HashSet<Capability> = if add_all {
        defaults::all_capabilities()
    } else if drop_all {
        HashSet::new()
    } else {
        defaults::capabilities()
    };
    let kept = base
        .into_iter()
        .filter(|capability| !drop.contains(capability))
        .chain(add)
        .collect();
    Ok(defaults::capability_sets(&kept))
}

/// The capabilities of a list, and whether `ALL` is among them.
pub fn capability_list(names: &[String]) -> Result<(bool, Vec<Capability>), ContainerError> {
    let mut all = false;
    let mut list = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if plain == "ALL" {
            all = true;
            continue;
        }
        list.push(plain.parse().map_err(|_| {
            ContainerError::Invalid(format!("unknown capability `{name}` (see capabilities(7))"))
        })?);
    }
    Ok((all, list))
}

fn linux(record: &Record, init: FindInit<'_>) -> Result<Linux, ContainerError> {
    let asked = &record.spec;
    let privileged = asked.security.privileged;
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(asked, init)?))
        .set_resources(None)
        .set_devices(Some(devices::nodes(asked)?));
    if privileged || asked.security.unmasked {
        linux
            .set_masked_paths(Some(Vec::new()))
            .set_readonly_paths(Some(Vec::new()));
    } else {
        linux
            .set_masked_paths(Some(defaults::masked_paths()))
            .set_readonly_paths(Some(defaults::readonly_paths()));
    }
    let sysctls = sysctls(asked, record.ids)?;
    if !sysctls.is_empty() {
        linux.set_sysctl(Some(sysctls));
    }
    let shared = asked.mounts.iter().any(|mount| {
        matches!(&mount.kind, crate::spec::MountKind::Bind { options, .. }
            if matches!(options.propagation, crate::spec::Propagation::Shared | crate::spec::Propagation::RShared))
    });
    linux.set_rootfs_propagation(Some(if shared { "shared" } else { "private" }.to_owned()));
    Ok(linux)
}

/// The runtime of a container that is not to run in ours.
pub fn foreign(record: &Record, files: &Files) -> Option<Foreign> {
    let program = record.resolved.runtime.clone()?;
    Some(Foreign::new(program, files.run.join("runtime")))
}

/// The limits and device rules of a container, for its cgroup.
pub fn cgroup_resources(asked: &ContainerSpec) -> Result<LinuxResources, ContainerError> {
    let mut resources = resources(&asked.resources)?;
    let mut rules = devices::rules(asked)?;
    rules.extend(cdi::find(&asked.cdi_devices)?.rules());
    resources.set_devices(Some(rules));
    Ok(resources)
}

fn namespaces(
    asked: &ContainerSpec,
    init: FindInit<'_>,
) -> Result<Vec<LinuxNamespace>, ContainerError> {
    let mut result = Vec::new();
    for namespace in defaults::namespaces() {
        let (mode, file) = match namespace.typ() {
            LinuxNamespaceType::Pid => (&asked.pid, "pid"),
            LinuxNamespaceType::Ipc => (&asked.ipc, "ipc"),
            LinuxNamespaceType::Uts => (&asked.uts, "uts"),
            LinuxNamespaceType::Cgroup => (&asked.cgroup, "cgroup"),
            _ => (&NamespaceMode::Private, ""),
        };
        match mode {
            NamespaceMode::Private => result.push(namespace),
            NamespaceMode::Host => {}
            NamespaceMode::Container(other) => {
                let pid = init(&other.parse()?)?;
                let joined = LinuxNamespaceBuilder::default()
                    .typ(namespace.typ())
                    .path(format!("/proc/{pid}/ns/{file}"))
                    .build();
                result.extend(joined.ok());
            }
        }
    }
    Ok(result)
}

fn has_own_network(asked: &ContainerSpec) -> bool {
    !matches!(asked.network, NetworkMode::Host | NetworkMode::Container(_))
}

/// The dotted name of a kernel parameter that a namespace of the container's own holds back
/// from the host; others are refused.
pub fn sysctl(asked: &ContainerSpec, key: &str) -> Result<String, ContainerError> {
    let dotted = key.replace('/', ".");
    let allowed = if dotted.starts_with("net.") {
        has_own_network(asked)
    } else if dotted.starts_with("fs.mqueue.")
        || dotted.starts_with("kernel.msg")
        || dotted.starts_with("kernel.sem")
        || dotted.starts_with("kernel.shm")
    {
        asked.ipc == NamespaceMode::Private
    } else {
        false
    };
    if !allowed {
        return Err(ContainerError::Invalid(format!(
            "sysctl `{key}` is not allowed: it would change the host (namespaced are `net.*`, `fs.mqueue.*`, `kernel.msg*`, `kernel.sem`, `kernel.shm*`, unless that namespace is the host's)"
        )));
    }
    Ok(dotted)
}

/// Only kernel parameters that a namespace of the container's own holds back from the host.
fn sysctls(
    asked: &ContainerSpec,
    ids: Option<IdRange>,
) -> Result<HashMap<String, String>, ContainerError> {
    let mut result = HashMap::new();
    for (key, value) in &asked.sysctls {
        result.insert(sysctl(asked, key)?, value.clone());
    }
    // Docker's two: unprivileged ping and low ports in the container's own network.
    if has_own_network(asked) {
        // The kernel takes a range only if its ends exist.
        let last = ids.map_or_else(user_namespace::last_group, |ids| ids.count - 1);
        let ping_groups = format!("0 {}", last.min(i32::MAX as u32));
        for (key, value) in [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", ping_groups.as_str()),
        ] {
            result
                .entry(key.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    Ok(result)
}

/// The mounts that have content while the container does not run.
pub fn kept_mounts(record: &Record) -> Result<Vec<Mount>, ContainerError> {
    let kept = record.mounts.iter().filter(|point| !is_tmpfs(point));
    let kept = kept.map(|point| user_mount(point, None));
    let mut mounts = kept.collect::<Result<Vec<_>, _>>()?;
    // Who copies files does it with the ids that these have.
    for mount in &mut mounts {
        mount.set_uid_mappings(None).set_gid_mappings(None);
        if let Some(options) = mount.options_mut() {
            options.retain(|option| option != "idmap");
        }
    }
    Ok(mounts)
}

/// The shared memory that goes with an IPC namespace of others. Another runtime cannot be told of a container's.
fn shared_memory(record: &Record, init: FindInit<'_>) -> Result<Option<Mount>, ContainerError> {
    let shared = |options: &[&str]| bind(Path::new("/dev/shm"), "/dev/shm", options);
    Ok(match &record.spec.ipc {
        NamespaceMode::Private => None,
        NamespaceMode::Host => Some(shared(&["rbind", "rw"])),
        NamespaceMode::Container(_) if record.resolved.runtime.is_some() => None,
        NamespaceMode::Container(other) => {
            let of = format!("{}{}", MOUNTS_OF, init(&other.parse()?)?);
            Some(shared(&["bind", "rw", &of]))
        }
    })
}

fn is_tmpfs(point: &MountPoint) -> bool {
    match &point.kind {
        MountType::Tmpfs(_) => true,
        MountType::Volume {
            file_system: Some(given),
            ..
        } => given.kind == "tmpfs",
        _ => false,
    }
}

fn mounts(
    record: &Record,
    files: &Files,
    init: FindInit<'_>,
) -> Result<Vec<Mount>, ContainerError> {
    let asked = &record.spec;
    let sys = if asked.security.privileged {
        SysAccess::ReadWrite
    } else {
        SysAccess::ReadOnly
    };
    let targets: BTreeSet<&Path> = record
        .mounts
        .iter()
        .map(|point| Path::new(point.target.as_str()))
        .collect();
    // A /dev of the user's comes first, and of ours only what Docker puts there too: its terminals and queues are
    // those that it has.
    let (dev, others): (Vec<_>, Vec<_>) = record
        .mounts
        .iter()
        .partition(|point| Path::new(&point.target) == Path::new("/dev"));
    let hidden: &[&str] = match dev.iter().any(|point| !is_tmpfs(point)) {
        true => &["/dev/pts", "/dev/mqueue"],
        false => &[],
    };
    let dev = dev.into_iter().map(|point| user_mount(point, record.ids));
    let mut result: Vec<Mount> = dev.collect::<Result<_, _>>()?;
    result.extend(
        defaults::mounts(
            asked
                .shm_size
                .filter(|size| *size != 0)
                .unwrap_or(defaults::SHM_SIZE),
            sys,
        )
        .into_iter()
        // A mount of the user's on /dev/shm, /sys … takes the place of ours.
        .filter(|mount| !targets.contains(mount.destination().as_path()))
        .filter(|mount| {
            !hidden
                .iter()
                .any(|path| mount.destination() == Path::new(path))
        }),
    );
    let is_shm = |mount: &Mount| mount.destination() == Path::new("/dev/shm");
    if asked.no_shm && asked.ipc == NamespaceMode::Private {
        result.retain(|mount| !is_shm(mount));
    }
    let shm = result.iter_mut().find(|mount| is_shm(mount));
    if let Some(mount) = shm
        && let Some(shared) = shared_memory(record, init)?
    {
        *mount = shared;
    }
    // What is ours on disk is the container's own too.
    let mut own = vec!["rbind", "rprivate", "rw"];
    own.extend(record.ids.map(|_| "idmap"));
    let own_files = [
        (files.resolv_conf(), "/etc/resolv.conf"),
        (files.hostname(), "/etc/hostname"),
        (files.hosts(), "/etc/hosts"),
    ];
    for (source, target) in own_files {
        if !targets.contains(Path::new(target)) {
            result.push(bind(&source, target, &own));
        }
    }
    for point in others {
        result.push(user_mount(point, record.ids)?);
    }
    for (index, file) in asked.files.iter().enumerate() {
        result.push(bind(&files.given(index), &file.target, &own));
    }
    Ok(result)
}

/// A volume has the ids that the container has inside; other directories have those of the machine, unless `idmap` says more.
fn user_mount(point: &MountPoint, ids: Option<IdRange>) -> Result<Mount, ContainerError> {
    let access = if point.read_only { "ro" } else { "rw" };
    Ok(match &point.kind {
        MountType::Bind { options, idmap } => {
            let mut words: Vec<&str> = options.iter().map(String::as_str).collect();
            if !words.contains(&READ_ONLY_HERE) {
                words.push(access);
            }
            words.extend(idmap.map(|_| "idmap"));
            let mut mount = bind(&point.source, &point.target, &words);
            if let Some(exchanged) = idmap {
                mount
                    .set_uid_mappings(Some(exchange(exchanged.users, ids)))
                    .set_gid_mappings(Some(exchange(exchanged.groups, ids)));
            }
            mount
        }
        MountType::Volume {
            file_system: Some(given),
            ..
        } => {
            let options = given.resolved().map_err(|(host, error)| {
                ContainerError::Invalid(format!(
                    "the volume at `{}` lies on `{host}`, which has no address: {error}",
                    point.target
                ))
            })?;
            let mut words: Vec<&str> = options.iter().map(String::as_str).collect();
            words.push(access);
            words.extend(ids.filter(|_| !is_tmpfs(point)).map(|_| "idmap"));
            mount(&point.target, &given.kind, Path::new(&given.device), &words)
        }
        MountType::Volume { subpath, .. } => {
            let sub = subpath.as_ref().map(|path| format!("subpath={path}"));
            let mut words = vec!["rbind", "rprivate", access];
            words.extend(sub.as_deref());
            words.extend(ids.map(|_| "idmap"));
            bind(&point.source, &point.target, &words)
        }
        MountType::Tmpfs(options) => {
            let words = tmpfs_options(options, access);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            mount(&point.target, "tmpfs", Path::new("tmpfs"), &words)
        }
        MountType::Image { lower, subpath, .. } => {
            let layers: Vec<String> = lower.iter().map(|dir| dir.display().to_string()).collect();
            let lower = format!("lowerdir={}", layers.join(":"));
            let sub = subpath.as_ref().map(|path| format!("subpath={path}"));
            let mut words = vec![lower.as_str(), "ro"];
            words.extend(sub.as_deref());
            mount(&point.target, "overlay", Path::new("overlay"), &words)
        }
    })
}

/// Two ids change places, all others stay; those are then the ones of a user namespace.
fn exchange((one, other): (u32, u32), ids: Option<IdRange>) -> Vec<LinuxIdMapping> {
    let (low, high) = (one.min(other), one.max(other));
    let ranges = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, (high - low).saturating_sub(1)),
        (high, low, u32::from(high > low)),
        (high + 1, high + 1, u32::MAX - high - 1),
    ];
    let IdRange { first, count } = ids.unwrap_or(IdRange {
        first: 0,
        count: u32::MAX,
    });
    let ranges = ranges.into_iter().filter_map(|(disk, inside, size)| {
        let size = size.min(count.checked_sub(inside)?);
        (size > 0).then_some((disk, first + inside, size))
    });
    ranges
        .filter_map(|(container, host, size)| {
            LinuxIdMappingBuilder::default()
                .container_id(container)
                .host_id(host)
                .size(size)
                .build()
                .ok()
        })
        .collect()
}

fn tmpfs_options(options: &TmpfsOptions, access: &str) -> Vec<String> {
    let mut words: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).to_vec();
    if !options.exec {
        words.push("noexec".to_owned());
    }
    words.push(access.to_owned());
    if let Some(size) = options.size {
        words.push(format!("size={size}"));
    }
    if let Some(mode) = options.mode {
        words.push(format!("mode={mode:o}"));
    }
    if let Some(uid) = options.uid {
        words.push(format!("uid={uid}"));
    }
    if let Some(gid) = options.gid {
        words.push(format!("gid={gid}"));
    }
    // The last word counts: `suid` after `nosuid`.
    words.extend(options.more.iter().cloned());
    words
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Mount {
    mount(target, "bind", source, options)
}

fn mount(target: &str, typ: &str, source: &Path, options: &[&str]) -> Mount {
    MountBuilder::default()
        .destination(target)
        .typ(typ)
        .source(source)
        .options(options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
        .build()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_change_places() {
        let map_into = |exchanged, ids| -> Vec<(u32, u32, u32)> {
            exchange(exchanged, ids)
                .iter()
                .map(|m| (m.container_id(), m.host_id(), m.size()))
                .collect()
        };
        let map = |exchanged| map_into(exchanged, None);
        assert_eq!(map((0, 0)), [(0, 0, 1), (1, 1, u32::MAX - 1)]);
        assert_eq!(
            map((1000, 0)),
            [
                (0, 1000, 1),
                (1, 1, 999),
                (1000, 0, 1),
                (1001, 1001, u32::MAX - 1001)
            ]
        );
        assert_eq!(
            map((5, 6)),
            [(0, 0, 5), (5, 6, 1), (6, 5, 1), (7, 7, u32::MAX - 7)]
        );
        let ids = Some(IdRange {
            first: 700_000,
            count: 100,
        });
        assert_eq!(
            map_into((1000, 5), ids),
            [(0, 700_000, 5), (6, 700_006, 94), (1000, 700_005, 1)],
            "1000 on disk is 5 inside; what is 1000 inside is nobody there"
        );
    }
}

//! The specification with everything in it that our own runtime is handed as data.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capabilities, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResources, Mount, Process, Spec,
};

use crate::mount::{Below, expand_pattern, open_root};
use crate::runtime::error::{invalid, parent};
use crate::runtime::launch::{Launch, NetNs};
use crate::runtime::{RuntimeError, Warning, caps};

use super::user::resolve;

/// Of a launch, for a bundle whose root is `rootfs`.
pub(super) fn complete(
    launch: &Launch<'_>,
    resources: &LinuxResources,
    root: BorrowedFd<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Spec, RuntimeError> {
    let mut spec = launch.spec.clone();
    spec.set_version("1.0.2".to_owned());
    let read_only = spec.root().as_ref().and_then(|root| root.readonly());
    spec.set_root(Some(crate::runtime::bundle::root(read_only)?));
    if let Some(process) = spec.process_mut() {
        resolve_user(process, root, launch.user, launch.groups)?;
        fit_capabilities(process, warnings)?;
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        plain(mount)?;
    }
    let bounding = launch
        .spec
        .process()
        .as_ref()
        .and_then(|process| process.capabilities().as_ref());
    let filter = launch.seccomp.specification(bounding)?;
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    let network = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network);
    let network = match launch.netns {
        NetNs::Host => None,
        NetNs::New => Some(network),
        NetNs::Join(fd) => Some(network.path(descriptor_path(fd))),
    };
    if let Some(network) = network {
        let network = network.build();
        namespaces.push(network.map_err(|error| invalid(error.to_string()))?);
    }
    let masked = linux.masked_paths().as_deref().unwrap_or_default();
    let masked = masked.iter().flat_map(|pattern| expand(pattern)).collect();
    linux
        .set_namespaces(Some(namespaces))
        .set_resources(Some(resources.clone()))
        .set_seccomp(filter)
        .set_masked_paths(Some(masked));
    if let Some(cgroup) = launch.cgroup {
        let path = cgroup.absolute_path().ok_or_else(|| {
            invalid("another runtime needs the top of the cgroup tree, which is not ours here")
        })?;
        linux.set_cgroups_path(Some(PathBuf::from(path)));
    }
    spec.set_linux(Some(linux));
    Ok(spec)
}

/// A namespace of ours by a path that others can open.
fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into()
}

/// Numbers in the place of names; and HOME, as our own runtime sets it.
pub(super) fn resolve_user(
    process: &mut Process,
    root: BorrowedFd<'_>,
    name: Option<&str>,
    groups: &[String],
) -> Result<(), RuntimeError> {
    let numbers = format!("{}:{}", process.user().uid(), process.user().gid());
    let found = resolve(root, name.unwrap_or(&numbers), groups)?;
    let user = process.user_mut();
    user.set_uid(found.uid).set_gid(found.gid);
    let mut all = user.additional_gids().clone().unwrap_or_default();
    all.extend(found.groups);
    user.set_additional_gids(Some(all).filter(|all| !all.is_empty()));
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", found.home));
    }
    process.set_env(Some(env));
    Ok(())
}

/// Without capabilities that we do not have ourselves: other runtimes fail on them.
pub(super) fn fit_capabilities(
    process: &mut Process,
    warnings: &mut Vec<Warning>,
) -> Result<(), RuntimeError> {
    let ours = rustix::thread::capabilities(None)
        .map_err(|error| parent("ask for our own capabilities", error))?
        .permitted
        .bits();
    let Some(sets) = process.capabilities().clone() else {
        return Ok(());
    };
    let fit = |set: &Option<Capabilities>| -> Option<Capabilities> {
        let set = set.as_ref()?.iter().copied();
        Some(set.filter(|c| ours >> caps::number(*c) & 1 == 1).collect())
    };
    for capability in sets.bounding().iter().flatten() {
        if ours >> caps::number(*capability) & 1 == 0 {
            warnings.push(Warning {
                what: format!("capability {capability}"),
                why: "this process does not have it itself".to_owned(),
            });
        }
    }
    let mut fitting = sets.clone();
    fitting
        .set_bounding(fit(sets.bounding()))
        .set_effective(fit(sets.effective()))
        .set_permitted(fit(sets.permitted()))
        .set_inheritable(fit(sets.inheritable()))
        .set_ambient(fit(sets.ambient()));
    process.set_capabilities(Some(fitting));
    Ok(())
}

/// A mount in the words of the specification alone.
fn plain(mount: &mut Mount) -> Result<(), RuntimeError> {
    let options = mount.options().clone().unwrap_or_default();
    if options.iter().any(|option| option.starts_with("subpath=")) {
        return Err(invalid(format!(
            "mount `{}`: only Gantry's own runtime mounts a part of a volume",
            mount.destination().display()
        )));
    }
    if mount.typ().is_none() {
        mount.set_typ(Some("bind".to_owned()));
        if !options.iter().any(|o| o == "bind" || o == "rbind") {
            let mut options = options;
            options.push("bind".to_owned());
            mount.set_options(Some(options));
        }
    }
    Ok(())
}

/// Patterns are ours; what they stand for below /sys is the same in every container.
fn expand(pattern: &str) -> Vec<String> {
    let Ok(root) = open_root(Path::new("/")) else {
        return Vec::new();
    };
    use std::os::fd::AsFd as _;
    expand_pattern(Below::new(root.as_fd()), Path::new(pattern))
        .into_iter()
        .map(|path| path.display().to_string())
        .collect()
}

//! The user namespace of a bundle: one to join, or a new one with the mappings of `linux`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};
use rustix::fs::{Mode, OFlags};

use crate::runtime::NsRoot;
use crate::sys::user_namespace;

use super::OciError;
use super::create::namespaces;

/// The namespace, if the container has one of its own, and what its root is outside.
pub(super) fn of(spec: &Spec) -> Result<Option<(OwnedFd, NsRoot)>, OciError> {
    let linux = spec.linux().as_ref();
    let users = linux.and_then(|linux| linux.uid_mappings().as_deref());
    let groups = linux.and_then(|linux| linux.gid_mappings().as_deref());
    let (users, groups) = (users.unwrap_or_default(), groups.unwrap_or_default());
    let mapped = !users.is_empty() || !groups.is_empty();
    let Some(namespace) = namespaces(spec).find(|n| n.typ() == LinuxNamespaceType::User) else {
        if mapped {
            return Err(OciError::Invalid(
                "`linux.uidMappings` and `linux.gidMappings` are for a `user` namespace, which is not listed"
                    .to_owned(),
            ));
        }
        return Ok(None);
    };
    let path = namespace.path().as_deref();
    match path.filter(|path| !path.as_os_str().is_empty()) {
        Some(_) if mapped => Err(OciError::Invalid(
            "a `user` namespace with a path has its mappings already; leave `linux.uidMappings` and `linux.gidMappings` out"
                .to_owned(),
        )),
        Some(path) => join(path).map(Some),
        None => make(users, groups).map(Some),
    }
}

fn make(
    users: &[LinuxIdMapping],
    groups: &[LinuxIdMapping],
) -> Result<(OwnedFd, NsRoot), OciError> {
    let root = NsRoot {
        uid: root_of("uidMappings", users)?,
        gid: root_of("gidMappings", groups)?,
    };
    let made = user_namespace::with_maps(&lines(users), &lines(groups));
    let fd = made.map_err(|source| OciError::UserNamespace {
        action: "make",
        source,
    })?;
    Ok((fd, root))
}

fn join(path: &Path) -> Result<(OwnedFd, NsRoot), OciError> {
    let file = |source: std::io::Error| OciError::File {
        action: "open the user namespace",
        path: path.to_owned(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| file(error.into()))?;
    let root = user_namespace::root_of(fd.as_fd()).map_err(|source| OciError::UserNamespace {
        action: "enter",
        source,
    })?;
    let (uid, gid) = root.ok_or_else(|| {
        OciError::Invalid(format!(
            "the user namespace `{}` has no root; Gantry needs one",
            path.display()
        ))
    })?;
    Ok((fd, NsRoot { uid, gid }))
}

fn root_of(name: &str, mappings: &[LinuxIdMapping]) -> Result<u32, OciError> {
    let root = mappings
        .iter()
        .find(|mapping| mapping.container_id() == 0 && mapping.size() > 0);
    root.map(LinuxIdMapping::host_id).ok_or_else(|| {
        OciError::Invalid(format!(
            "`linux.{name}` of a `user` namespace must have an entry for id 0"
        ))
    })
}

/// Lines of uid_map (user_namespaces(7)).
fn lines(mappings: &[LinuxIdMapping]) -> String {
    let line = |mapping: &LinuxIdMapping| {
        let (inside, outside) = (mapping.container_id(), mapping.host_id());
        format!("{inside} {outside} {}\n", mapping.size())
    };
    mappings.iter().map(line).collect()
}

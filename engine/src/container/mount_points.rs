//! What a container's mounts are made of, decided when it is created: sources, volumes, ids.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::image::{Image, ImageStore};
use crate::mount::READ_ONLY_HERE;
use crate::snapshot;
use crate::spec::{BindOptions, ContainerSpec, MountKind, Propagation};
use crate::state::crash_point;
use crate::sys::mount_info::{MountLine, unescape};
use crate::sys::user_namespace;
use crate::volume::{Backing, VolumeSpec};

use super::ContainerError;
use super::create::host;
use super::events::{Action, Event};
use super::info::{IdMap, MountPoint, MountType};
use super::store::ContainerStore;

/// Decides every mount's source; makes and fills volumes.
pub(super) fn decide(
    store: &ContainerStore,
    images: &ImageStore,
    image: &Image,
    spec: &ContainerSpec,
    user: &str,
) -> Result<Vec<MountPoint>, ContainerError> {
    let mut points = Vec::new();
    for from in &spec.volumes_from {
        points.extend(taken_over(store, from)?);
    }
    for mount in &spec.mounts {
        let point = match &mount.kind {
            MountKind::Bind { source, options } => {
                bind_source(source, options.create_source)?;
                can_propagate(source, options.propagation)?;
                let idmap = match options.idmap {
                    true => Some(id_map(source, image, user)?),
                    false => None,
                };
                MountPoint {
                    kind: MountType::Bind {
                        options: bind_options(options, mount.read_only),
                        idmap,
                    },
                    source: source.clone(),
                    target: mount.target.clone(),
                    read_only: mount.read_only,
                }
            }
            MountKind::Volume {
                name,
                no_copy,
                subpath,
                labels,
            } => volume_point(
                store,
                image,
                VolumeRequest {
                    name: name.as_deref(),
                    labels,
                    target: &mount.target,
                    subpath: subpath.clone(),
                    read_only: mount.read_only,
                    copy: !no_copy,
                },
            )?,
            MountKind::Tmpfs(options) => MountPoint {
                kind: MountType::Tmpfs(options.clone()),
                source: PathBuf::new(),
                target: mount.target.clone(),
                read_only: mount.read_only,
            },
            MountKind::Image { reference, subpath } => MountPoint {
                kind: MountType::Image {
                    reference: reference.clone(),
                    lower: images.resolve(reference)?.lower(),
                    subpath: subpath.clone(),
                },
                source: PathBuf::new(),
                target: mount.target.clone(),
                read_only: true,
            },
        };
        // A later mount on the same target replaces what was taken over, as with Docker.
        points.retain(|other: &MountPoint| !same_target(&other.target, &point.target));
        points.push(point);
    }
    for target in image.config.config.volumes.keys() {
        if points
            .iter()
            .any(|point| same_target(&point.target, target))
        {
            continue;
        }
        points.push(volume_point(
            store,
            image,
            VolumeRequest {
                name: None,
                labels: &BTreeMap::new(),
                target,
                subpath: None,
                read_only: false,
                copy: true,
            },
        )?);
    }
    // A mount inside another's target must come after it.
    points.sort_by_key(|point| Path::new(&point.target).components().count());
    Ok(points)
}

fn same_target(a: &str, b: &str) -> bool {
    Path::new(a).components().eq(Path::new(b).components())
}

fn taken_over(store: &ContainerStore, from: &str) -> Result<Vec<MountPoint>, ContainerError> {
    let (reference, read_only) = source_of(from)?;
    let other = store.read(&store.find(reference)?)?;
    Ok(other
        .mounts
        .into_iter()
        .filter(|point| !matches!(point.kind, MountType::Tmpfs(_)))
        .map(|mut point| {
            // It stays the other's: removing this container must not take it away.
            if let MountType::Volume { anonymous, .. } = &mut point.kind {
                *anonymous = false;
            }
            point.read_only |= read_only;
            point
        })
        .collect())
}

/// The container of `volumes_from`, and whether its mounts are to be read-only here.
fn source_of(from: &str) -> Result<(&str, bool), ContainerError> {
    let (reference, words) = from.split_once(':').unwrap_or((from, ""));
    let mut modes = Vec::new();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" | "rw" => modes.push(word),
            // SELinux labels, and what other systems know: nothing changes, as with a mount.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            other => {
                return Err(ContainerError::Invalid(format!(
                    "volumes from `{from}`: `{other}` is none of ro, rw, z and Z"
                )));
            }
        }
    }
    match modes[..] {
        [] => Ok((reference, false)),
        [mode] => Ok((reference, mode == "ro")),
        _ => Err(ContainerError::Invalid(format!(
            "volumes from `{from}`: only one of ro and rw"
        ))),
    }
}

/// The owner of a bind's source and the container's user, as the image knows them.
fn id_map(source: &Path, image: &Image, user: &str) -> Result<IdMap, ContainerError> {
    if !user_namespace::is_initial() {
        return Err(ContainerError::Unsupported {
            option: format!("`idmap` of `{}`", source.display()),
            reason: "your files belong to root in your containers as it is".to_owned(),
        });
    }
    let owner = fs::metadata(source).map_err(host("look at", source.display().to_string()))?;
    let view = snapshot::View::open(&image.lower())?;
    let user = if user.is_empty() { "0" } else { user };
    let inside = crate::runtime::user::resolve(view.root(), user, &[])?;
    Ok(IdMap {
        users: (owner.uid(), inside.uid),
        groups: (owner.gid(), inside.gid),
    })
}

fn bind_source(source: &Path, create: bool) -> Result<(), ContainerError> {
    let name = source.display().to_string();
    if !source.is_absolute() {
        return Err(ContainerError::Invalid(format!(
            "bind source `{name}` is not an absolute path"
        )));
    }
    match fs::metadata(source) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            fs::create_dir_all(source).map_err(host("make the bind source", name))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ContainerError::Invalid(
            format!("bind source path does not exist: {name}"),
        )),
        Err(error) => Err(host("use the bind source", name)(error)),
    }
}

/// What is mounted later goes from one mount to another only where the source's mount lets it.
fn can_propagate(source: &Path, wanted: Propagation) -> Result<(), ContainerError> {
    let what = match wanted {
        Propagation::Private | Propagation::RPrivate => return Ok(()),
        Propagation::Shared | Propagation::RShared => "shared",
        Propagation::Slave | Propagation::RSlave => "shared or slave",
    };
    let name = source.display().to_string();
    let failed = || host("look at the mount of", name.clone());
    let found = rustix::fs::statx(
        rustix::fs::CWD,
        source,
        rustix::fs::AtFlags::empty(),
        rustix::fs::StatxFlags::MNT_ID,
    )
    .map_err(|error| failed()(error.into()))?;
    let id = found.stx_mnt_id.to_string();
    let mounts = fs::read("/proc/self/mountinfo").map_err(failed())?;
    let mounts = String::from_utf8_lossy(&mounts);
    let Some(mount) = mounts
        .lines()
        .filter_map(MountLine::parse)
        .find(|mount| mount.id == id)
    else {
        return Ok(());
    };
    if mount.is_shared() || (what != "shared" && mount.is_slave()) {
        return Ok(());
    }
    let at = unescape(mount.mount_point);
    Err(ContainerError::Invalid(format!(
        "path {name} is mounted on {at} but it is not a {what} mount; `mount --make-rshared {at}` makes it one"
    )))
}

fn bind_options(asked: &BindOptions, read_only: bool) -> Vec<String> {
    let bind = if asked.non_recursive { "bind" } else { "rbind" };
    let propagation = match asked.propagation {
        Propagation::RPrivate => "rprivate",
        Propagation::Private => "private",
        Propagation::RShared => "rshared",
        Propagation::Shared => "shared",
        Propagation::RSlave => "rslave",
        Propagation::Slave => "slave",
    };
    let here = (read_only && asked.writable_below).then_some(READ_ONLY_HERE);
    let words = [bind, propagation].into_iter().chain(here);
    words.map(str::to_owned).collect()
}

struct VolumeRequest<'a> {
    name: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    target: &'a str,
    subpath: Option<String>,
    read_only: bool,
    copy: bool,
}

fn volume_point(
    store: &ContainerStore,
    image: &Image,
    request: VolumeRequest<'_>,
) -> Result<MountPoint, ContainerError> {
    let volumes = store.volumes();
    let existing = match request.name {
        Some(name) => match volumes.get(name) {
            Ok(volume) => Some(volume),
            Err(crate::volume::VolumeError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let volume = match existing {
        Some(volume) => volume,
        None => {
            let volume = volumes.create(&VolumeSpec {
                name: request.name.map(str::to_owned),
                labels: request.labels.clone(),
                anonymous: request.name.is_none(),
                ..VolumeSpec::default()
            })?;
            // The journal is a courtesy.
            let _ = Event::volume(volume.name.as_str(), Action::Create).append(store.paths());
            volume
        }
    };
    if request.copy && request.subpath.is_none() && volumes.is_fresh(&volume) {
        volumes.fill(&volume, |copy| -> Result<(), ContainerError> {
            snapshot::View::open(&image.lower())?.copy_dir(request.target, copy)?;
            Ok(())
        })?;
        crash_point("create.volume_filled");
    }
    let file_system = volume.file_system();
    if let (Some(_), Some(subpath)) = (&file_system, &request.subpath) {
        return Err(ContainerError::Invalid(format!(
            "subpath `{subpath}`: volume `{}` is not a directory of this machine, it is mounted as a whole",
            volume.name
        )));
    }
    let read_only = match &volume.backing {
        Backing::Bind { read_only, .. } => *read_only,
        Backing::Mounted(file_system) => file_system.options.iter().any(|word| word == "ro"),
        Backing::Directory | Backing::Tmpfs { .. } => false,
    };
    Ok(MountPoint {
        source: volume.source(volumes).unwrap_or_default(),
        kind: MountType::Volume {
            name: volume.name.to_string(),
            anonymous: volume.anonymous,
            subpath: request.subpath,
            file_system,
        },
        target: request.target.to_owned(),
        read_only: request.read_only || read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_taken_over_from_a_container_in_a_mode() {
        for (text, expected) in [
            ("c", ("c", false)),
            ("c:", ("c", false)),
            ("c:ro", ("c", true)),
            ("c:z", ("c", false)),
            ("c:Z,ro", ("c", true)),
            ("c:rw,z", ("c", false)),
        ] {
            assert_eq!(source_of(text).expect(text), expected, "{text}");
        }
        for wrong in ["c:shared", "c:ro,rw", "c:nocopy", "c:a:ro"] {
            assert!(source_of(wrong).is_err(), "{wrong}");
        }
    }
}

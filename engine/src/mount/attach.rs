//! Attaching the specification's mounts below a container's root.
//!
//! Three phases: [`Trees::of_engine`] makes what the container's own process could not;
//! [`Trees::of_binds`] clones the host's trees for binds while the mount namespace still
//! is in touch with the host's (so `shared` means what it says); [`attach`] makes and places
//! one mount. Targets are descriptors from [`Below`], so no path is looked up twice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, Mount};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sys::mount::{MountAttr, Reach, mount_idmap, mount_setattr};
use crate::sys::user_namespace;

use super::below::Below;
use super::copy_up;
use super::options::Options;
use super::root::{Scene, Shown, detached_overlay};
use super::{MountError, Overlay};

/// Files of /proc that may be hidden by a bind (as LXCFS does); anything else there would deceive programs that trust it.
const PROC_BINDS: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// What `/sys/fs/cgroup` looks like inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupView {
    /// `true` mounts through the container's own cgroup namespace, `false` binds the host's tree.
    pub namespaced: bool,
    /// v1 hierarchies; empty on a pure v2 machine.
    pub v1: Vec<CgroupHierarchy>,
    /// The v2 hierarchy beside v1 ones is shown under this name.
    pub unified: Option<String>,
}

/// One v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupHierarchy {
    /// Name of the directory: `cpu,cpuacct`.
    pub name: String,
    /// Mount options that select it: controllers, or `name=…`.
    pub options: Vec<String>,
}

/// What is opened before it is attached, by the number of the mount.
pub struct Trees(Vec<Option<Tree>>);

/// File systems that are the container's own, or the kernel's: made where they are attached.
pub(super) const OWN: &[&str] = &[
    "bind", "cgroup", "cgroup2", "devpts", "mqueue", "overlay", "proc", "ramfs", "sysfs", "tmpfs",
];

struct Tree {
    fd: OwnedFd,
    is_directory: bool,
}

fn text(mount: &Mount) -> String {
    mount.destination().display().to_string()
}

fn options(mount: &Mount) -> Result<Options, MountError> {
    let none = Vec::new();
    Options::parse(
        mount.options().as_ref().unwrap_or(&none),
        mount.typ().as_deref().unwrap_or("bind"),
        &text(mount),
    )
}

/// Who makes overlays.
#[derive(Clone, Copy, Debug)]
pub enum Overlays<'a> {
    /// The container's first process.
    Inside,
    /// Who launches it, for a container with a user namespace of its own, which could not open their layers; with the
    /// layers' ids mapped by that namespace, or as they are.
    Here(Option<BorrowedFd<'a>>),
}

impl Trees {
    /// What only the engine's own process can make. What lies on devices and servers: a network file system asks
    /// its server through the network that it was mounted from, and the container's cgroup keeps its processes from
    /// opening a device. Binds whose ids are mapped: the map is given to a process by its number in the machine's /proc.
    /// A mount that names no map has that of the container's user namespace.
    pub fn of_engine(mounts: &[Mount], ids: Option<BorrowedFd<'_>>) -> Result<Self, MountError> {
        let trees = mounts.iter().map(|mount| {
            let typ = mount.typ().as_deref().unwrap_or("bind");
            let options = options(mount)?;
            let source = mount.source().as_deref().unwrap_or(Path::new(typ));
            match (options.bind, options.idmap) {
                (Some(reach), Some(depth)) => {
                    let tree = bound(mount, &options, reach)?;
                    map_ids(mount, tree.fd.as_fd(), depth, ids)?;
                    Ok(Some(tree))
                }
                (None, idmap) if !OWN.contains(&typ) => {
                    let fd = detached(typ, source, &options).map_err(|(error, told)| {
                        let subject =
                            format!("{} ({typ} of {}{told})", text(mount), source.display());
                        MountError::step("mount at", subject, error)
                    })?;
                    if let Some(depth) = idmap {
                        map_ids(mount, fd.as_fd(), depth, ids)?;
                    }
                    Ok(Some(Tree {
                        fd,
                        is_directory: true,
                    }))
                }
                _ => Ok(None),
            }
        });
        trees.collect::<Result<_, _>>().map(Self)
    }

    /// Clones the trees of all other bind mounts from the present mount namespace, and makes overlays, where it is
    /// not the container that does so.
    pub fn of_binds(mounts: &[Mount], overlays: Overlays<'_>) -> Result<Self, MountError> {
        let trees = mounts.iter().map(|mount| {
            let options = options(mount)?;
            let is_overlay = mount.typ().as_deref() == Some("overlay");
            match (options.bind, options.idmap, overlays) {
                (Some(reach), None, _) => bound(mount, &options, reach).map(Some),
                (None, None, Overlays::Here(ids)) if is_overlay => {
                    overlaid(mount, &options, ids).map(Some)
                }
                _ => Ok(None),
            }
        });
        trees.collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, index: usize) -> Option<&Tree> {
        self.0.get(index)?.as_ref()
    }
}

impl Trees {
    /// Whether one of the binds is at this place, so that what is there is somebody's own.
    pub fn cover(&self, mounts: &[Mount], place: &str) -> bool {
        mounts
            .iter()
            .zip(&self.0)
            .any(|(mount, tree)| tree.is_some() && normal(mount.destination()) == Path::new(place))
    }
}

/// The cloned tree of a bind's source.
fn bound(mount: &Mount, options: &Options, reach: Reach) -> Result<Tree, MountError> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let clone = || clone_tree(source, options.subpath.as_deref(), reach);
    let tree = match options.of {
        None => clone(),
        Some(process) => among_mounts_of(process, clone),
    };
    let tree = tree.map_err(|error| {
        MountError::step("open the bind source", source.display().to_string(), error)
    })?;
    refuse_proc(mount, tree.fd.as_fd())?;
    Ok(tree)
}

/// Does something in the mount namespace of a process, whose root paths cannot leave. We are back afterwards, in `/`.
fn among_mounts_of<T>(process: i32, f: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let open = |path: String| rustix::fs::open(path, OFlags::CLOEXEC, Mode::empty());
    let enter = |namespace: &OwnedFd| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
    };
    let here = open("/proc/thread-self/ns/mnt".to_owned())?;
    enter(&open(format!("/proc/{process}/ns/mnt"))?)?;
    let done = f();
    enter(&here)?;
    done
}

fn clone_tree(source: &Path, subpath: Option<&str>, reach: Reach) -> Result<Tree, Errno> {
    let source = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match subpath {
        None => cloned(source.as_fd(), reach),
        // The volume's content is not ours: its links must not lead out of it.
        Some(subpath) => {
            let part = Below::new(source.as_fd()).open(Path::new(subpath), OFlags::PATH)?;
            cloned(part.as_fd(), reach)
        }
    }
}

fn cloned(source: BorrowedFd<'_>, reach: Reach) -> Result<Tree, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if reach == Reach::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let fd = open_tree(source, "", flags)?;
    Ok(Tree {
        is_directory: is_directory(fd.as_fd())?,
        fd,
    })
}

fn is_directory(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mode = rustix::fs::fstat(file)?.st_mode;
    Ok(rustix::fs::FileType::from_raw_mode(mode).is_dir())
}

/// Has the files of a cloned tree belong to others, as the mount's mappings say, or the container's user namespace.
fn map_ids(
    mount: &Mount,
    tree: BorrowedFd<'_>,
    reach: Reach,
    ids: Option<BorrowedFd<'_>>,
) -> Result<(), MountError> {
    let lines = |mappings: &Option<Vec<LinuxIdMapping>>| -> Option<String> {
        let lines = mappings.as_ref()?.iter().map(|mapping| {
            let (from, to) = (mapping.container_id(), mapping.host_id());
            format!("{from} {to} {}\n", mapping.size())
        });
        Some(lines.collect::<String>()).filter(|lines| !lines.is_empty())
    };
    let failed = |action| move |error| MountError::step(action, text(mount), error);
    let maps = match (lines(mount.uid_mappings()), lines(mount.gid_mappings())) {
        (Some(users), Some(groups)) => Some((users, groups)),
        (None, None) => None,
        _ => {
            return Err(MountError::Option {
                option: "idmap".to_owned(),
                destination: text(mount),
                reason: "it needs uidMappings and gidMappings, or none of both",
            });
        }
    };
    let made = maps
        .map(|(users, groups)| user_namespace::with_maps(&users, &groups))
        .transpose()
        .map_err(failed("make the id maps of"))?;
    let Some(ids) = made.as_ref().map(AsFd::as_fd).or(ids) else {
        return Err(MountError::Option {
            option: "idmap".to_owned(),
            destination: text(mount),
            reason: "it needs `uidMappings` and `gidMappings`, or a user namespace of the container's own",
        });
    };
    mount_idmap(tree, ids, reach).map_err(failed(
        "map the ids (its file system may not be able to) of",
    ))
}

/// A bind over /proc or into it is refused, except for the harmless ones.
fn refuse_proc(mount: &Mount, tree: BorrowedFd<'_>) -> Result<(), MountError> {
    let destination = normal(mount.destination());
    let inside = destination.starts_with("/proc");
    let allowed = PROC_BINDS.iter().any(|p| Path::new(p) == destination)
        || destination == Path::new("/proc")
            && rustix::fs::fstatfs(tree).is_ok_and(|stat| stat.f_type as u64 == PROC_SUPER_MAGIC);
    if inside && !allowed {
        return Err(MountError::Option {
            option: "bind".to_owned(),
            destination: text(mount),
            reason: "it is inside /proc",
        });
    }
    Ok(())
}

/// The path without `.`, `..` and doubled slashes, absolute.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::ParentDir => {
                normal.pop();
            }
            _ => {}
        }
    }
    normal
}

/// Makes the mount number `index`, unless it is among `trees`, and attaches it.
pub fn attach(
    below: Below<'_>,
    mounts: &[Mount],
    index: usize,
    trees: [&Trees; 2],
    cgroups: &CgroupView,
) -> Result<(), MountError> {
    let mount = &mounts[index];
    let options = options(mount)?;
    let typ = mount.typ().as_deref().unwrap_or("bind");
    let failed = |action, error: Errno| MountError::step(action, text(mount), error);

    if let Some(tree) = trees.iter().find_map(|trees| trees.get(index)) {
        return attach_tree(below, mount, &options, tree);
    }

    if typ == "overlay" {
        return attach_tree(below, mount, &options, &overlaid(mount, &options, None)?);
    }
    let kernel = matches!(
        typ,
        "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2"
    );
    let target = if kernel || mount.destination() == Path::new("/dev") {
        below.directory_strictly(mount.destination())
    } else {
        below.directory(mount.destination())
    };
    let target = target.map_err(|error| failed("make the mount point", error))?;
    match typ {
        "cgroup" | "cgroup2" => {
            attach_cgroups(target.as_fd(), &options, cgroups)
                .map_err(|error| failed("mount the cgroups at", error))?;
        }
        _ => {
            let source = mount.source().as_deref().unwrap_or(Path::new(typ));
            let tree = detached(typ, source, &options).map_err(|(error, told)| {
                MountError::step("mount at", format!("{}{told}", text(mount)), error)
            })?;
            if options.copies_up {
                copy_up::fill(tree.as_fd(), target.as_fd(), &options)
                    .map_err(|error| failed("copy what is at", error))?;
            }
            place(tree.as_fd(), target.as_fd()).map_err(|error| failed("mount at", error))?;
            if let Some((flag, reach)) = options.propagation {
                mount_setattr(tree.as_fd(), MountAttr::propagate(flag), reach)
                    .map_err(|error| MountError::step("set the options of", text(mount), error))?;
            }
        }
    }
    Ok(())
}

/// Attaches a tree where its mount belongs.
fn attach_tree(
    below: Below<'_>,
    mount: &Mount,
    options: &Options,
    tree: &Tree,
) -> Result<(), MountError> {
    let failed = |action, error: Errno| MountError::step(action, text(mount), error);
    let target = if tree.is_directory {
        below.directory(mount.destination())
    } else {
        below.file(mount.destination())
    };
    let wrong_type = |what| MountError::Type {
        destination: text(mount),
        what,
        source_path: mount
            .source()
            .as_ref()
            .map_or_else(String::new, |source| source.display().to_string()),
    };
    let target = target.map_err(|error| match error {
        Errno::NOTDIR if tree.is_directory => {
            wrong_type("a directory cannot be mounted over a file, or below one")
        }
        error => failed("make the mount point", error),
    })?;
    if !tree.is_directory && is_directory(target.as_fd()) == Ok(true) {
        return Err(wrong_type("a file cannot be mounted over a directory"));
    }
    set_attributes(tree.fd.as_fd(), options)
        .map_err(|error| MountError::step("set the options of", text(mount), error))?;
    place(tree.fd.as_fd(), target.as_fd()).map_err(|error| failed("mount at", error))
}

/// An overlay, or a part of it.
fn overlaid(
    mount: &Mount,
    options: &Options,
    ids: Option<BorrowedFd<'_>>,
) -> Result<Tree, MountError> {
    let whole = Tree {
        fd: detached_overlay(&overlay(options, mount)?, ids, Scene::Own)?,
        is_directory: true,
    };
    match &options.subpath {
        None => Ok(whole),
        Some(subpath) => part_of(&whole, subpath),
    }
}

/// A directory or file of a tree as a tree of its own. The content is an image's: its links stay in it.
fn part_of(tree: &Tree, subpath: &str) -> Result<Tree, MountError> {
    // Older kernels clone nothing of a mount that is attached nowhere.
    let _shown = Shown::new(&tree.fd)?;
    let failed = |error: Errno| MountError::step("find", subpath, error);
    let part = Below::new(tree.fd.as_fd())
        .open(Path::new(subpath), OFlags::PATH)
        .map_err(failed)?;
    cloned(part.as_fd(), Reach::This).map_err(failed)
}

/// Attributes of a cloned tree, before it is attached. A bind is private unless asked otherwise.
fn set_attributes(tree: BorrowedFd<'_>, options: &Options) -> std::io::Result<()> {
    let (propagation, reach) = options
        .propagation
        .unwrap_or((libc::MS_PRIVATE, Reach::Recursive));
    let mut attr = options.attr;
    let mut recursive = options.recursive;
    match reach {
        Reach::This => attr.propagation = propagation,
        Reach::Recursive => recursive.propagation = propagation,
    }
    if !recursive.is_none() {
        mount_setattr(tree, recursive, Reach::Recursive)?;
    }
    if !attr.is_none() {
        mount_setattr(tree, attr, Reach::This)?;
    }
    Ok(())
}

/// A new file system, mounted and attached nowhere; one that has to be filled is not read-only yet. An error comes
/// with what the kernel says about it.
fn detached(typ: &str, source: &Path, options: &Options) -> Result<OwnedFd, (Errno, String)> {
    let fs = fsopen(typ, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| {
        let told = match error {
            Errno::NODEV => "; this kernel has no such file system",
            _ => "",
        };
        (error, told.to_owned())
    })?;
    configure(fs.as_fd(), source, options).map_err(|error| (error, last_words(fs.as_fd())))
}

fn configure(fs: BorrowedFd<'_>, source: &Path, options: &Options) -> Result<OwnedFd, Errno> {
    fsconfig_set_string(fs, "source", source)?;
    for (key, value) in &options.data {
        match value {
            Some(value) => fsconfig_set_string(fs, key.as_str(), value.as_str())?,
            None => fsconfig_set_flag(fs, key.as_str())?,
        }
    }
    fsconfig_create(fs)?;
    let mut attr = options.set();
    if options.copies_up {
        attr.remove(MountAttrFlags::MOUNT_ATTR_RDONLY);
    }
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attr)
}

/// What the kernel has to say about a file system that it did not make: lines that begin with their level.
fn last_words(fs: BorrowedFd<'_>) -> String {
    let mut told = String::new();
    let mut line = [0; 512];
    while let Ok(count @ 1..) = rustix::io::read(fs, &mut line) {
        let text = String::from_utf8_lossy(&line[..count]);
        told += "; ";
        told += text.trim_end().trim_start_matches(['e', 'w', 'i']).trim();
    }
    told
}

/// Attaches a mount at an opened place.
pub fn place(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags)
}

/// The overlay that the options of an `overlay` mount describe.
fn overlay(options: &Options, mount: &Mount) -> Result<Overlay, MountError> {
    let mut overlay = Overlay::default();
    for (key, value) in &options.data {
        let value = value.as_deref().unwrap_or_default();
        match key.as_str() {
            "lowerdir" => overlay.lower = value.split(':').map(PathBuf::from).collect(),
            "upperdir" => overlay.upper = Some(value.into()),
            "workdir" => overlay.work = Some(value.into()),
            "volatile" => overlay.volatile = true,
            _ => {
                return Err(MountError::Option {
                    option: key.clone(),
                    destination: text(mount),
                    reason: "an overlay takes lowerdir, upperdir, workdir and volatile",
                });
            }
        }
    }
    Ok(overlay)
}

/// The container's view of the cgroup hierarchies.
fn attach_cgroups(
    target: BorrowedFd<'_>,
    options: &Options,
    view: &CgroupView,
) -> Result<(), Errno> {
    let attr = options.attr.set;
    if !view.namespaced {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(CWD, "/sys/fs/cgroup", flags)?;
        let attr = MountAttr {
            propagation: libc::MS_PRIVATE,
            ..MountAttr::set(attr)
        };
        mount_setattr(tree.as_fd(), attr, Reach::Recursive)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        return place(tree.as_fd(), target);
    }
    let plain = Options {
        data: Vec::new(),
        ..options.clone()
    };
    if view.v1.is_empty() {
        let tree = detached("cgroup2", Path::new("cgroup"), &plain).map_err(|(error, _)| error)?;
        return place(tree.as_fd(), target);
    }
    // A small tmpfs holds one directory a hierarchy; it is made writable, filled, and then closed.
    let mut writable = plain.clone();
    writable.attr.set.remove(MountAttrFlags::MOUNT_ATTR_RDONLY);
    writable.data = vec![("mode".to_owned(), Some("755".to_owned()))];
    let shelf = detached("tmpfs", Path::new("tmpfs"), &writable).map_err(|(error, _)| error)?;
    place(shelf.as_fd(), target)?;
    let attach = |name: &str, typ: &str, selection: &[String]| {
        let mut options = plain.clone();
        options.data = selection
            .iter()
            .map(|option| match option.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (option.clone(), None),
            })
            .collect();
        rustix::fs::mkdirat(&shelf, name, Mode::from_raw_mode(0o755))?;
        let place_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&shelf, name, place_flags, Mode::empty())?;
        let tree = detached(typ, Path::new("cgroup"), &options).map_err(|(error, _)| error)?;
        place(tree.as_fd(), directory.as_fd())
    };
    for hierarchy in &view.v1 {
        attach(&hierarchy.name, "cgroup", &hierarchy.options)?;
        // `cpu` and `cpuacct` find their way to a common hierarchy `cpu,cpuacct`.
        if hierarchy.name.contains(',') {
            for controller in hierarchy.name.split(',') {
                rustix::fs::symlinkat(&hierarchy.name, &shelf, controller)?;
            }
        }
    }
    if let Some(name) = &view.unified {
        attach(name, "cgroup2", &[])?;
    }
    mount_setattr(shelf.as_fd(), MountAttr::set(attr), Reach::This)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

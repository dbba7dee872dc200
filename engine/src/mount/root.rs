//! The root file system of a container as a detached mount.
//!
//! An overlay is configured layer by layer (`lowerdir+`, Linux 6.5), so neither the page-size limit
//! of mount(2) nor characters in paths matter. Older kernels get mount(2)'s single string, made of short names
//! in /proc/self/fd. Then mounts must be attached for a moment, which only a mount namespace of our own may see: one that
//! is over `/` makes every process there look as if it were in a chroot.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount, mount_change, move_mount, open_tree, unmount,
};

use crate::sys::mount::{MountAttr, Reach, mount_idmap, mount_setattr};
use crate::sys::user_namespace;

use super::{MountError, Overlay, RootMount, graft};

/// How the kernel is told of an overlay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    /// With fsconfig(2), layer by layer.
    Layers,
    /// With mount(2).
    OneString,
}

/// fsconfig takes strings below this length.
const FSCONFIG_LIMIT: usize = 255;

/// Whether mounts may be attached for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// The present mount namespace is seen by nobody else.
    Own,
    /// It is: a kernel that wants mounts attached answers `EINVAL`.
    Shared,
}

/// Makes the mount; it is attached nowhere and vanishes with its descriptor. The caller may be in any mount namespace.
pub fn detached_root(root: &RootMount) -> Result<OwnedFd, MountError> {
    match made(root, None, Scene::Shared) {
        Err(error) if is_invalid(&error) => {
            in_private_namespace(|| made(root, None, Scene::Own)).flatten()
        }
        other => other,
    }
}

/// The same for a caller in a mount namespace of its own, with files that belong to the users of this user namespace:
/// the ids on disk are those inside. A directory is shown as it is.
pub fn mapped_root(root: &RootMount, ids: Option<BorrowedFd<'_>>) -> Result<OwnedFd, MountError> {
    made(root, ids, Scene::Own)
}

/// Does something on a thread with a mount namespace of its own, which ends with it; the mounts of the caller are in
/// it, and nothing that is done to one shows elsewhere.
pub fn in_private_namespace<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T, MountError> {
    let visit = || {
        let failed =
            |error: std::io::Error| step("make a mount namespace for", Path::new("/"), error);
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed(errno.into()))?;
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", private).map_err(|error| failed(error.into()))?;
        Ok(f())
    };
    std::thread::scope(|scope| match scope.spawn(visit).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn is_invalid(error: &MountError) -> bool {
    matches!(error, MountError::Step { source, .. }
        if Errno::from_io_error(source) == Some(Errno::INVAL))
}

pub(super) fn made(
    root: &RootMount,
    ids: Option<BorrowedFd<'_>>,
    scene: Scene,
) -> Result<OwnedFd, MountError> {
    match root {
        RootMount::Overlay(overlay) => detached_overlay(overlay, ids, scene),
        RootMount::Directory { path, read_only } => {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree =
                open_tree(CWD, path, flags).map_err(|error| step("open the root", path, error))?;
            let mut attr = MountAttr::propagate(libc::MS_PRIVATE);
            if *read_only {
                attr.set = MountAttrFlags::MOUNT_ATTR_RDONLY;
            }
            mount_setattr(tree.as_fd(), attr, Reach::Recursive)
                .map_err(|error| step("set the attributes of the root", path, error))?;
            Ok(tree)
        }
    }
}

pub(super) fn step(
    action: &'static str,
    path: &Path,
    error: impl Into<std::io::Error>,
) -> MountError {
    MountError::step(action, path.display().to_string(), error)
}

/// Makes an overlay; also used for `overlay` mounts below the root.
pub(super) fn detached_overlay(
    overlay: &Overlay,
    ids: Option<BorrowedFd<'_>>,
    scene: Scene,
) -> Result<OwnedFd, MountError> {
    if let Some((lowest, layers)) = overlay.lower.split_last()
        && lowest == Path::new("/")
        && !user_namespace::is_initial()
    {
        let lower = layers.to_vec();
        let layers = Overlay {
            lower,
            ..overlay.clone()
        };
        return graft::over_root(&layers, scene);
    }
    let by = |api| match (overlay.lower.as_slice(), &overlay.upper) {
        ([only], None) => view_of(only, api, ids),
        _ => overlay_by(api, overlay, ids),
    };
    match by(Api::Layers) {
        Err(error) if is_invalid(&error) && scene == Scene::Own => by(Api::OneString),
        other => other,
    }
}

fn overlay_by(
    api: Api,
    overlay: &Overlay,
    ids: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, MountError> {
    let mut views = Vec::new();
    let mut overlay = overlay.clone();
    overlay.lower = separate(&overlay.lower, &mut views, api, ids)?;
    if let (Some(ids), Some(upper), Some(work)) = (ids, &mut overlay.upper, &mut overlay.work) {
        // Both are to be on one mount.
        let both = upper.parent().unwrap_or(Path::new("/")).to_owned();
        let tree = mapped(&both, ids)?;
        for place in [upper, work] {
            let inside = place.strip_prefix(&both).unwrap_or(place);
            *place = by_descriptor(&tree).join(inside);
        }
        views.push(tree);
    }
    match api {
        Api::Layers => layer_by_layer(&overlay),
        Api::OneString => {
            let _shown = Shown::all(&views)?;
            in_one_string(&overlay)
        }
    }
}

/// A directory as a mount of its own, whose files belong to the users of a user namespace.
fn mapped(directory: &Path, ids: BorrowedFd<'_>) -> Result<OwnedFd, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, directory, flags)
        .map_err(|error| step("open the layer", directory, error))?;
    mount_idmap(tree.as_fd(), ids, Reach::This).map_err(|error| {
        let action = "map the ids (its file system may not be able to) of";
        step(action, directory, error)
    })?;
    Ok(tree)
}

/// By mount(2), for kernels before 6.5, and for those that take no detached mount as a layer (before 6.15): one
/// string of short names, at a place that is hidden in the present namespace, our own, for a moment; a clone of the
/// mount is detached and stays.
fn in_one_string(overlay: &Overlay) -> Result<OwnedFd, MountError> {
    // Without an upper directory, the one that must be there because of the names.
    let place = overlay.upper.as_deref().unwrap_or(Path::new("/proc"));
    let failed = |error: Errno| step("mount the overlay of", place, error);
    let mut names = Names::default();
    let layers = overlay.lower.iter().map(|layer| names.short(layer));
    let layers = layers.collect::<Result<Vec<_>, _>>()?.join(":");
    let mut data = format!("index=off,lowerdir={layers}");
    for (key, path) in [("upperdir", &overlay.upper), ("workdir", &overlay.work)] {
        if let Some(path) = path {
            data.push_str(&format!(",{key}={}", names.short(path)?));
        }
    }
    if !user_namespace::is_initial() {
        data.push_str(",userxattr");
    } else if overlay.upper.is_some() {
        data.push_str(",redirect_dir=off,metacopy=off");
    }
    if overlay.volatile && overlay.upper.is_some() {
        data.push_str(",volatile");
    }
    let data = CString::new(data).map_err(|_| failed(Errno::INVAL))?;
    mount(
        "overlay",
        place,
        "overlay",
        MountFlags::empty(),
        data.as_c_str(),
    )
    .map_err(failed)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, place, flags);
    unmount(place, UnmountFlags::DETACH).map_err(failed)?;
    tree.map_err(failed)
}

/// A detached mount that is attached in the present namespace, our own, while this lives: over `/`, where no path leads to it.
pub(super) struct Shown<'a>(&'a OwnedFd);

impl<'a> Shown<'a> {
    pub(super) fn new(tree: &'a OwnedFd) -> Result<Self, MountError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(tree, "", CWD, "/", flags)
            .map_err(|error| step("show a layer at", Path::new("/"), error))?;
        Ok(Self(tree))
    }

    /// Several, each over the one before; the topmost comes first and is dropped first, because a name of one that
    /// lies below another leads to the topmost.
    fn all(trees: &'a [OwnedFd]) -> Result<Vec<Self>, MountError> {
        let mut shown = trees.iter().map(Self::new).collect::<Result<Vec<_>, _>>()?;
        shown.reverse();
        Ok(shown)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // What stays attached goes with the namespace.
        let _ = unmount(by_descriptor(self.0), UnmountFlags::DETACH);
    }
}

fn by_descriptor(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Layers of which none contains another: one that does is replaced by a view of it. All belong to the users of
/// the namespace, if there is one.
fn separate(
    layers: &[PathBuf],
    views: &mut Vec<OwnedFd>,
    api: Api,
    ids: Option<BorrowedFd<'_>>,
) -> Result<Vec<PathBuf>, MountError> {
    let separated = layers.iter().map(|layer| {
        let view = match (contains_another(layer, layers), ids) {
            (true, _) => view_of(layer, api, ids)?,
            (false, Some(ids)) => mapped(layer, ids)?,
            (false, None) => return Ok(layer.clone()),
        };
        let name = by_descriptor(&view);
        views.push(view);
        Ok(name)
    });
    separated.collect()
}

fn layer_by_layer(overlay: &Overlay) -> Result<OwnedFd, MountError> {
    let failed = |action, error: Errno| MountError::step(action, "overlay", error);
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| failed("open the file system", error))?;
    fsconfig_set_string(&fs, "source", "overlay").map_err(|error| failed("configure", error))?;
    let mut names = Names::default();
    for layer in &overlay.lower {
        fsconfig_set_string(&fs, "lowerdir+", &names.of(layer)?)
            .map_err(|error| step("use the layer", layer, error))?;
    }
    for (key, path) in [("upperdir", &overlay.upper), ("workdir", &overlay.work)] {
        if let Some(path) = path {
            fsconfig_set_string(&fs, key, &names.of(path)?)
                .map_err(|error| step("use the writable directory", path, error))?;
        }
    }
    // An index would tie the upper directory to this very set of lower file handles.
    fsconfig_set_string(&fs, "index", "off").map_err(|error| failed("configure", error))?;
    if !user_namespace::is_initial() {
        // Opaque directories are marked in `user.` attributes (Linux 5.11). Names are not redirected then.
        fsconfig_set_flag(&fs, "userxattr").map_err(|error| failed("set `userxattr` of", error))?;
    } else if overlay.upper.is_some() {
        // The upper directory may become a layer: it must hold whole files under their own names.
        for key in ["redirect_dir", "metacopy"] {
            fsconfig_set_string(&fs, key, "off").map_err(|error| failed("configure", error))?;
        }
    }
    if overlay.volatile && overlay.upper.is_some() {
        fsconfig_set_flag(&fs, "volatile").map_err(|error| failed("set `volatile` of", error))?;
    }
    fsconfig_create(&fs).map_err(|error| {
        let subject = overlay
            .upper
            .as_deref()
            .or(overlay.lower.first().map(|l| l.as_path()));
        step(
            "mount the overlay of",
            subject.unwrap_or(Path::new("")),
            error,
        )
    })?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|error| failed("mount", error))
}

/// Whether a layer is an ancestor of another one on the same file system: overlayfs refuses such a pair, because
/// a change of the inner one would change the outer one too (`ELOOP`). The view of the
/// machine's own `/` under a mask layer, which lies somewhere below `/`, is this case.
fn contains_another(layer: &Path, layers: &[PathBuf]) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    layers
        .iter()
        .any(|other| other != layer && other.starts_with(layer) && device(other) == device(layer))
}

/// The layer seen through a read-only overlay of its own, which is another file system with other inodes. An
/// overlay without an upper directory needs two layers: the second is a directory that is certainly empty.
fn view_of(layer: &Path, api: Api, ids: Option<BorrowedFd<'_>>) -> Result<OwnedFd, MountError> {
    let failed = |error: Errno| step("make a view of the layer", layer, error);
    let empty = || {
        let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&fs, "size", "4k")?;
        fsconfig_create(&fs)?;
        let attr = MountAttrFlags::MOUNT_ATTR_RDONLY;
        fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attr)
    };
    // Nothing is in it, so its ids need no map.
    let mut trees = vec![empty().map_err(failed)?];
    let mut lower = vec![by_descriptor(&trees[0]), layer.to_owned()];
    if let Some(ids) = ids {
        let tree = mapped(layer, ids)?;
        lower[1] = by_descriptor(&tree);
        trees.push(tree);
    }
    let _shown = match api {
        Api::Layers => Vec::new(),
        Api::OneString => Shown::all(&trees)?,
    };
    let view = Overlay {
        lower,
        ..Overlay::default()
    };
    overlay_by(api, &view, None)
}

/// Names of directories for the kernel's parser; keeps the descriptors behind short ones open.
#[derive(Default)]
struct Names {
    open: Vec<OwnedFd>,
}

impl Names {
    /// The path itself where the parser takes it literally.
    fn of(&mut self, path: &Path) -> Result<String, MountError> {
        match path.to_str() {
            Some(text) if text.len() < FSCONFIG_LIMIT && !text.contains('\\') => {
                Ok(text.to_owned())
            }
            _ => self.short(path),
        }
    }

    /// A name by descriptor: short, and free of the parser's special characters.
    fn short(&mut self, path: &Path) -> Result<String, MountError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| step("open the layer", path, error))?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.open.push(fd);
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::Below;

    fn check(api: Api) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting needs root");
            return;
        }
        in_private_namespace(|| check_here(api)).expect("a namespace");
    }

    fn check_here(api: Api) {
        let mounts = || std::fs::read_to_string("/proc/thread-self/mountinfo").expect("readable");
        let before = mounts();
        let scratch = tempfile::tempdir().expect("temporary directory");
        let make_dir = |name: &str| {
            let path = scratch.path().join(name);
            std::fs::create_dir(&path).expect("made");
            path
        };
        let (upper, work) = (make_dir("upper"), make_dir("work"));
        let mut lower: Vec<PathBuf> = (0..40).map(|n| make_dir(&format!("l,:{n}"))).collect();
        for (number, layer) in lower.iter().enumerate() {
            std::fs::write(layer.join("file"), number.to_string()).expect("written");
        }
        // Two that contain others, as the machine's root does below the mask of the `host` image.
        std::fs::write(scratch.path().join("outer"), "seen").expect("written");
        std::fs::create_dir(lower[0].join("inner")).expect("made");
        lower.push(lower[0].join("inner"));
        lower.push(scratch.path().to_owned());
        let overlay = Overlay {
            lower,
            upper: Some(upper),
            work: Some(work),
            volatile: true,
        };
        let root = overlay_by(api, &overlay, None).expect("mounted");
        let below = Below::new(root.as_fd());
        let read = |path| below.read(Path::new(path), 10).expect("read");
        assert_eq!(read("/file"), b"0");
        assert_eq!(read("/outer"), b"seen");
        assert_eq!(mounts(), before, "nothing stays attached");
    }

    #[test]
    fn an_overlay_layer_by_layer() {
        check(Api::Layers);
    }

    #[test]
    fn an_overlay_as_older_kernels_take_it() {
        check(Api::OneString);
    }

    #[test]
    fn what_older_kernels_want_attached_hides_nothing_from_others() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: mounting needs root");
            return;
        }
        let scratch = tempfile::tempdir().expect("temporary directory");
        let inner = scratch.path().join("inner");
        std::fs::create_dir(&inner).expect("made");
        // The outer one is seen through a view, which is attached meanwhile.
        let overlay = Overlay {
            lower: vec![inner, scratch.path().to_owned()],
            ..Overlay::default()
        };
        let (make, done) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (overlay, make) = (&overlay, make.clone());
                scope.spawn(move || {
                    for _ in 0..25 {
                        let made =
                            in_private_namespace(|| overlay_by(Api::OneString, overlay, None));
                        make.send(made.flatten().map(drop)).expect("heard");
                    }
                });
            }
            drop(make);
            for made in done {
                made.expect("four at once");
                let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("in sight");
                let over = |line: &&str| line.contains(" / / ") && line.contains("size=4k");
                assert_eq!(mounts.lines().find(over), None);
            }
        });
    }
}

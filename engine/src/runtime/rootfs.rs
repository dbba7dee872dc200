//! The root of a container, from inside its first process: everything is mounted on a detached tree,
//! protected, and made the root by pivot_root.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::ContainerState;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsmount, fsopen, move_mount, unmount,
};

use crate::mount::{self, Below, Overlays, RootMount, open_root};
use crate::sys::mount::{MountAttr, Reach, mount_setattr};
use crate::sys::process::exit_now;
use crate::sys::user_namespace;

use super::Stage;
use super::bundle::ROOTFS;
use super::child::Child;
use super::hook::{self, HookPoint};
use super::launch::{Stdio, UserNs};
use super::parking::own_state;
use super::report::{Failure, Line, Message};
use super::terminal::Terminal;

/// What is made before the container's own namespaces are.
pub(super) struct HostTrees {
    root: OwnedFd,
    binds: mount::Trees,
}

impl Child<'_> {
    /// Makes the root, and what comes from the host, and leaves the host's mounts.
    pub(super) fn host_trees(&self) -> Result<HostTrees, Failure> {
        let Some(UserNs { root, .. }) = self.userns else {
            return self.trees(None);
        };
        // An overlay makes copies, and signs of what is deleted, in the name of who has mounted it.
        user_namespace::in_the_name_of(root.uid, root.gid, || self.trees(self.userns))
            .map_err(|error| Failure::new(Stage::Root, "/", error))?
    }

    fn trees(&self, userns: Option<UserNs<'_>>) -> Result<HostTrees, Failure> {
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        // The files of a bundle have their owners already.
        let ids = userns
            .filter(|userns| userns.maps_root)
            .map(|userns| userns.fd);
        let overlays = match userns {
            Some(_) => Overlays::Here(ids),
            None => Overlays::Inside,
        };
        let binds = mount::Trees::of_binds(mounts, overlays)
            .map_err(|error| Failure::mount(Stage::Mount, error))?;
        leave_the_hosts_mounts()?;
        let root = mount::mapped_root(self.root, ids)
            .map_err(|error| Failure::mount(Stage::Root, error))?;
        Ok(HostTrees { root, binds })
    }

    /// Mounts everything and makes it our root. The terminal comes from the container's own devpts.
    pub(super) fn build_root(
        &self,
        line: &Line,
        HostTrees { root, binds }: &HostTrees,
    ) -> Result<Option<Terminal>, Failure> {
        // Modes of nodes and directories are meant as they are written.
        rustix::process::umask(Mode::empty());
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        self.attach_root(root.as_fd())?;
        let below = Below::new(root.as_fd());
        for index in 0..mounts.len() {
            mount::attach(below, mounts, index, [self.made, binds], self.cgroups)
                .map_err(|error| Failure::mount(Stage::Mount, error))?;
        }
        // A directory of the host's as /dev is taken as it is, as runc takes it: nothing is made in it.
        if ![self.made, binds]
            .iter()
            .any(|trees| trees.cover(mounts, "/dev"))
        {
            let devices = self
                .linux()
                .and_then(|linux| linux.devices().as_deref())
                .unwrap_or_default();
            mount::make_devices(below, devices)
                .map_err(|error| Failure::mount(Stage::Device, error))?;
        }
        let terminal = match self.stdio {
            Stdio::Terminal { size } => {
                let terminal = Terminal::open(below, *size)?;
                mount::attach_console(below, terminal.slave.as_fd())
                    .map_err(|error| Failure::mount(Stage::Stdio, error))?;
                Some(terminal)
            }
            _ => None,
        };
        self.set_sysctls()?;
        self.protect_paths(below)?;
        if self.spec.root().as_ref().and_then(|root| root.readonly()) == Some(true) {
            let attr = MountAttr::set(MountAttrFlags::MOUNT_ATTR_RDONLY);
            self.make_working_directory_below(below)?;
            mount_setattr(root.as_fd(), attr, Reach::This)
                .map_err(|error| Failure::new(Stage::Root, "/", error))?;
        }
        self.run_hooks(line)?;
        pivot(root.as_fd())?;
        self.set_propagation(root.as_fd())?;
        Ok(terminal)
    }

    /// Attaches it in our own mount namespace: pivot_root wants a mount that is attached. A directory over itself, another
    /// root in the bundle, where hooks look for it; without a bundle over the host's, where no path leads to it.
    fn attach_root(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let in_bundle = self.state.map(|state| state.bundle().join(ROOTFS));
        let place = match (self.root, &in_bundle) {
            (RootMount::Directory { path, .. }, _) => path,
            (RootMount::Overlay(_), Some(place)) => place,
            (RootMount::Overlay(_), None) => Path::new("/"),
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        let attach = |place: &Path| move_mount(root, "", CWD, place, flags);
        let attached = match attach(place) {
            // The root of a user namespace of its own may not be let in on the way there.
            Err(Errno::ACCESS) if self.userns.is_some() => attach(Path::new("/")),
            other => other,
        };
        attached.map_err(|error| Failure::new(Stage::Root, place.display().to_string(), error))
    }

    /// The hooks before the change of root: those outside are our parent's, which is told that it is time.
    fn run_hooks(&self, line: &Line) -> Result<(), Failure> {
        let hooks = self.spec.hooks().as_ref();
        let Some(state) = self.state else {
            return Ok(());
        };
        let outside = [HookPoint::Prestart, HookPoint::CreateRuntime];
        if outside.iter().any(|point| !point.of(hooks).is_empty()) {
            let gone = |error| Failure::new(Stage::Report, "hooks", error);
            line.send(&Message::Mounted, None).map_err(gone)?;
            if line.wait().map_err(gone)?.is_none() {
                exit_now(125);
            }
        }
        hook::run_all(
            HookPoint::CreateContainer,
            hooks,
            &own_state(state, ContainerState::Creating),
        )
        .map_err(Failure::Hook)
    }

    /// Kernel parameters, through a procfs that nobody else sees. Which ones are allowed was decided by the parent.
    fn set_sysctls(&self) -> Result<(), Failure> {
        let Some(sysctls) = self.linux().and_then(|linux| linux.sysctl().as_ref()) else {
            return Ok(());
        };
        if sysctls.is_empty() {
            return Ok(());
        }
        let failed = |what: &str, error: Errno| Failure::new(Stage::Sysctl, what, error);
        let mount = || {
            let fs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&fs)?;
            fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        let proc = mount().map_err(|error| failed("procfs", error))?;
        let below = Below::new(proc.as_fd());
        for (name, value) in sysctls {
            let path = format!("sys/{}", name.replace('.', "/"));
            let file = below
                .open_strictly(Path::new(&path), OFlags::WRONLY)
                .map_err(|error| failed(name, error))?;
            rustix::io::write(&file, value.as_bytes()).map_err(|error| failed(name, error))?;
        }
        Ok(())
    }

    fn protect_paths(&self, below: Below<'_>) -> Result<(), Failure> {
        let Some(linux) = self.linux() else {
            return Ok(());
        };
        let none = Vec::new();
        mount::protect(below, linux.readonly_paths().as_ref().unwrap_or(&none))
            .and_then(|()| mount::mask(below, linux.masked_paths().as_ref().unwrap_or(&none)))
            .map_err(|error| Failure::mount(Stage::Mask, error))
    }

    fn set_propagation(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let Some(name) = self
            .linux()
            .and_then(|linux| linux.rootfs_propagation().as_deref())
        else {
            return Ok(());
        };
        let failed = |error: io::Error| Failure::new(Stage::Root, name, error);
        let (flag, reach) = mount::propagation(name).ok_or_else(|| failed(Errno::INVAL.into()))?;
        mount_setattr(root, MountAttr::propagate(flag), reach).map_err(failed)
    }
}

/// Mounts made by us must not appear in the host's namespace, and those of the host arrive only below binds that ask for it.
pub(super) fn leave_the_hosts_mounts() -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Stage::Root, "/", error);
    let root = open_root(Path::new("/")).map_err(|error| failed(error.into()))?;
    let attr = MountAttr::propagate(libc::MS_SLAVE);
    mount_setattr(root.as_fd(), attr, Reach::Recursive).map_err(failed)
}

/// Exchanges the root. Both names are `.`: the old root ends up over the new one and is taken away.
fn pivot(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |what: &'static str| move |error: Errno| Failure::new(Stage::Pivot, what, error);
    rustix::process::fchdir(root).map_err(failed("new root"))?;
    rustix::process::pivot_root(".", ".").map_err(failed("pivot_root"))?;
    // Not just once: a mount that lay over the old root would be what goes, and `/..` would lead to
    // the old root from then on.
    loop {
        unmount(".", UnmountFlags::DETACH).map_err(failed("old root"))?;
        if is_topmost().map_err(failed("old root"))? {
            break;
        }
    }
    rustix::process::chdir("/").map_err(failed("/"))
}

/// Whether nothing is mounted over our root: `..` crosses into what is, `/` does not.
fn is_topmost() -> Result<bool, Errno> {
    let look = |path| {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = statx(CWD, path, AtFlags::empty(), wanted)?;
        Ok((
            found.stx_dev_major,
            found.stx_dev_minor,
            found.stx_ino,
            found.stx_mnt_id,
        ))
    };
    Ok(look("/")? == look("/..")?)
}

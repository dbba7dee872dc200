//! mount_setattr(2). The rest of the mount API comes from rustix.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::mount::MountAttrFlags;

use super::check;

/// `struct mount_attr` of include/uapi/linux/mount.h.
#[repr(C)]
struct RawAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// What to change of a mount.
#[derive(Clone, Copy, Debug)]
pub struct MountAttr {
    /// Attributes switched on.
    pub set: MountAttrFlags,
    /// Attributes switched off.
    pub clear: MountAttrFlags,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`; 0 keeps it.
    pub propagation: u64,
}

impl MountAttr {
    /// Nothing changes.
    pub const NONE: Self = Self {
        set: MountAttrFlags::empty(),
        clear: MountAttrFlags::empty(),
        propagation: 0,
    };

    /// Only switches on.
    pub fn set(set: MountAttrFlags) -> Self {
        Self { set, ..Self::NONE }
    }

    /// Only changes how mounts travel.
    pub fn propagate(propagation: u64) -> Self {
        Self {
            propagation,
            ..Self::NONE
        }
    }

    /// Whether there is nothing to do.
    pub fn is_none(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.propagation == 0
    }
}

/// How far a change of a mount reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The mount.
    This,
    /// The mount and all below it.
    Recursive,
}

/// Has the files of a mount that is attached nowhere yet belong to others, as the id maps of a user namespace say (mount_setattr(2),
/// "ID-mapped mounts"). `EINVAL` where the file system cannot do it.
pub fn mount_idmap(mount: BorrowedFd<'_>, ids: BorrowedFd<'_>, reach: Reach) -> io::Result<()> {
    let raw = RawAttr {
        set: u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits()),
        clear: 0,
        propagation: 0,
        userns_fd: ids.as_raw_fd() as u64,
    };
    set_raw(mount, &raw, reach)
}

/// Changes the mount that `mount` is the root of. `ENOSYS` before Linux 5.12.
pub fn mount_setattr(mount: BorrowedFd<'_>, attr: MountAttr, reach: Reach) -> io::Result<()> {
    let raw = RawAttr {
        set: u64::from(attr.set.bits()),
        // The access time is a field of several bits, which must be cleared as a whole to be set.
        clear: u64::from(attr.clear.bits())
            | if attr.set.intersects(
                MountAttrFlags::MOUNT_ATTR_NOATIME | MountAttrFlags::MOUNT_ATTR_STRICTATIME,
            ) {
                u64::from(MountAttrFlags::MOUNT_ATTR__ATIME.bits())
            } else {
                0
            },
        propagation: attr.propagation,
        userns_fd: 0,
    };
    set_raw(mount, &raw, reach)
}

fn set_raw(mount: BorrowedFd<'_>, raw: &RawAttr, reach: Reach) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH
        | match reach {
            Reach::This => 0,
            Reach::Recursive => libc::AT_RECURSIVE,
        };
    // SAFETY: the path is a C string and `raw` has the size that is passed; both outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(raw),
            size_of::<RawAttr>(),
        )
    })
    .map(drop)
}

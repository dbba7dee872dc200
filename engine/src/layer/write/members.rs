//! What is in a directory that several trees have, topmost first.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::layer::tree::is_whiteout;
use crate::sys::overlay::opaque;

/// A directory of one of the trees.
#[derive(Clone, Copy)]
pub(super) struct Folder<'f> {
    pub(super) fd: BorrowedFd<'f>,
    /// Of the lowest of several trees, the layer that the others change: it stays as it is.
    pub(super) over: bool,
}

/// A directory that was opened.
pub(super) struct Opened {
    fd: OwnedFd,
    over: bool,
}

impl Opened {
    /// Opens a directory of a directory.
    pub(super) fn below(parent: Folder<'_>, name: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self {
            fd: rustix::fs::openat(parent.fd, name, flags, Mode::empty())?,
            over: parent.over,
        })
    }

    pub(super) fn folder(&self) -> Folder<'_> {
        Folder {
            fd: self.fd.as_fd(),
            over: self.over,
        }
    }

    /// Whether it hides what lies below.
    pub(super) fn is_opaque(&self) -> bool {
        let mut value = [0; 1];
        rustix::fs::fgetxattr(&self.fd, opaque(), &mut value).is_ok() && value == *b"y"
    }
}

/// An entry of one of the trees that are merged.
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    /// Which of the folders has it, 0 is the topmost.
    pub(super) tree: usize,
}

/// Everything in these folders, by name and then from the top.
pub(super) fn list(folders: &[Folder<'_>]) -> Result<Vec<Member>, Errno> {
    let mut members = Vec::new();
    for (tree, folder) in folders.iter().enumerate() {
        for entry in Dir::read_from(folder.fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if matches!(name.as_slice(), b"." | b"..") {
                continue;
            }
            let stat = rustix::fs::statat(folder.fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
            members.push(Member { name, stat, tree });
        }
    }
    members.sort_by(|a, b| (&a.name, a.tree).cmp(&(&b.name, b.tree)));
    Ok(members)
}

/// What several folders' members come to: those of one name together, whiteouts first.
pub(super) fn merge(members: &[Member], folders: usize) -> Vec<&[Member]> {
    let mut merged: Vec<(bool, &[Member])> = members
        .chunk_by(|a, b| a.name == b.name)
        .map(|same| (!is_whiteout(&same[0].stat), same))
        .collect();
    // A deletion of what a lower tree of the same layer has is no deletion of the layer's.
    merged.retain(|(there, same)| *there || same[0].tree + 1 == folders);
    merged.sort_by_key(|(there, _)| *there);
    merged.into_iter().map(|(_, same)| same).collect()
}

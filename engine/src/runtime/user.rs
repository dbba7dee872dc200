//! `user[:group]` of an image or of `--user`, looked up in a container's own files.

use std::os::fd::BorrowedFd;

use super::RuntimeError;

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups: those of /etc/group when no group was named, and the ones added.
    pub groups: Vec<u32>,
    /// Home directory; `/` for an unknown number.
    pub home: String,
}

/// Looks a user up below `root` (a directory that is the container's root).
pub fn resolve(
    root: BorrowedFd<'_>,
    user: &str,
    groups: &[String],
) -> Result<ResolvedUser, RuntimeError> {
    let _ = (root, user, groups);
    Err(super::error::invalid("user look-up is not built yet"))
}

//! Several trees in one archive.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use super::members::Folder;
use super::sink::Plain;
use super::{TarOptions, Walk, open};
use crate::layer::LayerError;
use crate::layer::tar::Kind;

/// Writes one archive of several trees, each below a directory of its name.
pub fn write_trees<W: Write, P: AsRef<Path>>(
    trees: &[(String, P)],
    out: W,
    options: &TarOptions,
) -> Result<(), LayerError> {
    let mut sink = Plain(out);
    let mut walk = Walk::new(&mut sink, options);
    for (name, directory) in trees {
        let root = open(directory.as_ref())?;
        let stat = rustix::fs::fstat(&root).map_err(|errno| LayerError::Read(errno.into()))?;
        let below = format!("{name}/").into_bytes();
        let entry = walk.entry(below.clone(), Kind::Directory, &stat, Vec::new());
        walk.header(&entry)?;
        // Files are numbered anew in each tree.
        walk.links.clear();
        let folder = Folder {
            fd: root.as_fd(),
            over: true,
        };
        walk.directory(&[folder], &below)?;
    }
    walk.finish().map(drop)
}

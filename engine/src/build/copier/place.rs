//! Where sources go: what is there already, and making what is missing on the way.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};

use super::{Copier, CopyError, failed, make_dir};
use crate::build::attributes::{dress_directory, set_times, times};
use crate::build::tree::{self, Found, Place};

impl Copier<'_, '_> {
    pub(super) fn place(&self, path: &str) -> Result<Place, CopyError> {
        self.to
            .locate(OsStr::new(path))
            .map_err(failed("reach", OsStr::new(path)))
    }

    /// The directory, the name and the path where a single file goes; makes what is missing on the way. `into` says
    /// that `path` must be a directory.
    pub(super) fn file_place(
        &self,
        name: &OsStr,
        path: &str,
        into: bool,
    ) -> Result<(OwnedFd, OsString, OsString), CopyError> {
        let place = self.place(path)?;
        match place.found {
            Found::Directory => {
                let at = tree::join(&place.path, name);
                Ok((place.dir, name.to_owned(), at))
            }
            _ if into || path.ends_with('/') => {
                let (dir, at) = self.directory(place, path, self.attributes.new_directory())?;
                let at = tree::join(&at, name);
                Ok((dir, name.to_owned(), at))
            }
            Found::Other(last, _) => {
                let at = tree::join(&place.path, &last);
                Ok((place.dir, last, at))
            }
            Found::Missing(mut names) => {
                let last = names.pop().unwrap_or_default();
                let mode = self.attributes.new_directory();
                let (dir, at) = self.make_missing(place.dir, place.path, &names, mode)?;
                let at = tree::join(&at, &last);
                Ok((dir, last, at))
            }
        }
    }

    /// The directory that a path names, there or made now, and its path without links.
    pub(super) fn directory_place(&self, path: &str) -> Result<(OwnedFd, OsString), CopyError> {
        self.directory(self.place(path)?, path, self.attributes.new_directory())
    }

    pub(super) fn directory(
        &self,
        place: Place,
        path: &str,
        mode: u32,
    ) -> Result<(OwnedFd, OsString), CopyError> {
        match place.found {
            Found::Directory => Ok((place.dir, place.path)),
            Found::Other(..) => Err(CopyError::NotADirectory(path.trim_matches('/').to_owned())),
            Found::Missing(names) => self.make_missing(place.dir, place.path, &names, mode),
        }
    }

    fn make_missing(
        &self,
        mut dir: OwnedFd,
        mut at: OsString,
        names: &[OsString],
        mode: u32,
    ) -> Result<(OwnedFd, OsString), CopyError> {
        let owner = self.attributes.new_owner();
        for name in names {
            at = tree::join(&at, name);
            make_dir(dir.as_fd(), name).map_err(failed("create", &at))?;
            let made = tree::open_dir(dir.as_fd(), name).map_err(failed("create", &at))?;
            dress_directory(made.as_fd(), owner, mode).map_err(failed("create", &at))?;
            if let Some(created) = self.attributes.created {
                set_times(made.as_fd(), &times(created, 0)).map_err(failed("create", &at))?;
            }
            dir = made;
        }
        Ok((dir, at))
    }
}

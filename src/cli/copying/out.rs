//! Out of a container.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use gantry_engine::error::{Classify as _, ErrorKind};

use super::{Counted, End, LINKS, clean, failed};
use crate::backend::{Backend, Container, FollowLink};
use crate::cli::error::CliError;

/// Copies a path of a container to this machine; the bytes of the archive.
///
/// # Errors
/// When either side cannot be read or written.
pub fn copy_out(
    backend: &dyn Backend,
    container: &Container,
    path: &str,
    follow: FollowLink,
    destination: &End,
) -> Result<u64, CliError> {
    let path = &clean(path);
    let End::Local(destination) = destination else {
        let mut out = Counted::new(io::stdout().lock());
        backend.archive_get(&container.id, path, follow, &mut out)?;
        return Ok(out.bytes);
    };
    let (mut reader, mut writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let sent =
            scope.spawn(move || backend.archive_get(&container.id, path, follow, &mut writer));
        let mut counted = Counted::new(&mut reader);
        let received = receive(&mut counted, &followed(destination));
        let bytes = counted.bytes;
        // Let the sender end when unpacking failed.
        drop(reader);
        match sent.join() {
            Ok(Err(error)) if bytes == 0 && error.kind() == ErrorKind::NotFound => {
                Err(CliError::NotFound {
                    what: "path",
                    name: format!("{}:{path}", container.name),
                    hint: None,
                })
            }
            Ok(Err(error)) if bytes == 0 || received.is_ok() => Err(error.into()),
            Ok(_) => received.map(|()| bytes),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Where the links at the end of a path of this machine lead: that is written, and they stay.
fn followed(path: &Path) -> PathBuf {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&place) else {
            return place;
        };
        place = place.parent().unwrap_or(Path::new("")).join(target);
    }
    path.to_owned()
}

/// Unpacks as cp(1) copies: into a directory that exists, else under the destination's own name.
fn receive(tar: &mut dyn io::Read, destination: &Path) -> Result<(), CliError> {
    let failed = || failed(format!("write below `{}`", destination.display()));
    let mut archive = tar::Archive::new(tar);
    let mut entries = archive.entries().map_err(failed())?;
    // Without any, the sender says why.
    let Some(first) = entries.next().transpose().map_err(failed())? else {
        return Ok(());
    };
    let place = Place::of(&first, destination)?;
    place.unpack(first).map_err(failed())?;
    for entry in entries {
        entry
            .and_then(|entry| place.unpack(entry))
            .map_err(failed())?;
    }
    place.finish().map_err(failed())
}

/// Where an archive goes.
struct Place {
    directory: PathBuf,
    /// What takes the place of the first part of each path.
    name: Option<PathBuf>,
    /// What the directory, made for it, may be in the end.
    mode: Option<u32>,
}

impl Place {
    /// Decides it when the first entry is known.
    fn of<R: io::Read>(first: &tar::Entry<'_, R>, destination: &Path) -> Result<Self, CliError> {
        if destination.is_dir() {
            let contents = first.path_bytes().starts_with(b"./");
            return Ok(Self {
                directory: destination.to_owned(),
                name: contents.then(PathBuf::new),
                mode: None,
            });
        }
        if first.header().entry_type().is_dir() {
            fs::create_dir(destination)
                .map_err(failed(format!("create `{}`", destination.display())))?;
            return Ok(Self {
                directory: destination.to_owned(),
                name: Some(PathBuf::new()),
                mode: first.header().mode().ok(),
            });
        }
        if destination.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(CliError::NotFound {
                what: "directory",
                name: destination.display().to_string(),
                hint: None,
            });
        }
        let parent = destination.parent().filter(|p| !p.as_os_str().is_empty());
        Ok(Self {
            directory: parent.unwrap_or(Path::new(".")).to_owned(),
            name: destination.file_name().map(PathBuf::from),
            mode: None,
        })
    }

    fn unpack<R: io::Read>(&self, mut entry: tar::Entry<'_, R>) -> io::Result<()> {
        let Some(name) = &self.name else {
            return entry.unpack_in(&self.directory).map(drop);
        };
        let path = entry.path()?.into_owned();
        let rest: PathBuf = path.components().skip(1).collect();
        // Joining nothing would leave a slash at the end, which names a directory.
        let renamed = match rest.as_os_str().is_empty() {
            true => name.clone(),
            false => name.join(rest),
        };
        if renamed.as_os_str().is_empty() {
            return Ok(());
        }
        let target = self.directory.join(&renamed);
        let parent = fs::canonicalize(target.parent().unwrap_or(&self.directory))?;
        // A plain path of this machine's choosing or below the directory: refuse the rest.
        let plain = |part| matches!(part, Component::Normal(_));
        if !renamed.components().all(plain)
            || !parent.starts_with(fs::canonicalize(&self.directory)?)
        {
            return Err(io::Error::other(format!(
                "`{}` leaves the destination",
                path.display()
            )));
        }
        entry.unpack(target).map(drop)
    }

    /// Only now: a directory that may not be written to could not have been filled.
    fn finish(&self) -> io::Result<()> {
        match self.mode {
            // Without set-user-id and the like, as everything else that is unpacked.
            Some(mode) => {
                fs::set_permissions(&self.directory, fs::Permissions::from_mode(mode & 0o777))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::into::pack;
    use super::*;

    #[test]
    fn what_is_packed_unpacks_under_another_name() {
        let from = tempfile::tempdir().expect("a directory");
        fs::create_dir(from.path().join("sub")).expect("made");
        fs::write(from.path().join("sub/a"), "one").expect("written");
        std::os::unix::fs::symlink("a", from.path().join("sub/l")).expect("linked");
        let mut tar = Vec::new();
        pack(
            &mut tar,
            &from.path().join("sub"),
            "x",
            FollowLink::No,
            false,
        )
        .expect("packed");
        let to = tempfile::tempdir().expect("a directory");
        receive(&mut tar.as_slice(), to.path()).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("x/a")).expect("there"),
            "one"
        );
        assert_eq!(
            fs::read_link(to.path().join("x/l")).expect("there"),
            Path::new("a")
        );
        receive(&mut tar.as_slice(), &to.path().join("new")).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("new/a")).expect("there"),
            "one"
        );
    }

    #[test]
    fn a_file_is_unpacked_under_another_name() {
        let from = tempfile::tempdir().expect("a directory");
        fs::write(from.path().join("a"), "one").expect("written");
        let mut tar = Vec::new();
        pack(&mut tar, &from.path().join("a"), "a", FollowLink::No, false).expect("packed");
        let to = tempfile::tempdir().expect("a directory");
        receive(&mut tar.as_slice(), &to.path().join("b")).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("b")).expect("there"),
            "one"
        );
    }

    #[test]
    fn links_of_this_machine_are_written_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let link = |to: &str, name| std::os::unix::fs::symlink(to, at(name)).expect("linked");
        link("two", "one");
        link("missing", "two");
        link("loop", "loop");
        assert_eq!(followed(&at("one")), at("missing"));
        assert_eq!(followed(&at("plain")), at("plain"));
        assert_eq!(followed(&at("loop")), at("loop"));
    }

    #[test]
    fn a_directory_that_is_made_has_the_mode_of_its_source() {
        let from = tempfile::tempdir().expect("a directory");
        fs::set_permissions(from.path(), fs::Permissions::from_mode(0o500)).expect("changed");
        let mut tar = Vec::new();
        pack(&mut tar, from.path(), "x", FollowLink::No, false).expect("packed");
        let to = tempfile::tempdir().expect("a directory");
        receive(&mut tar.as_slice(), &to.path().join("new")).expect("unpacked");
        let made = fs::metadata(to.path().join("new")).expect("there");
        assert_eq!(made.permissions().mode() & 0o7777, 0o500);
    }

    #[test]
    fn a_hostile_archive_stays_inside() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o700);
        header.set_size(0);
        builder
            .append_data(&mut header, "x/", io::empty())
            .expect("a directory");
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder
            .append_link(&mut header, "x/out", "/tmp")
            .expect("a link");
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        builder
            .append_data(&mut header, "x/out/evil", &b"evil"[..])
            .expect("a file");
        let tar = builder.into_inner().expect("a tar");
        let to = tempfile::tempdir().expect("a directory");
        assert!(receive(&mut tar.as_slice(), &to.path().join("new")).is_err());
        // The crate skips what would leave; either way nothing is written outside.
        let _ = receive(&mut tar.as_slice(), to.path());
        assert!(!Path::new("/tmp/evil").exists());
    }
}

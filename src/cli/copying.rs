//! Copies between a container and this machine, as `cp` of Compose and of the engine make them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use gantry_engine::error::{Classify as _, ErrorKind};

use crate::backend::{Backend, Container, FollowLink, PathKind};
use crate::cli::error::CliError;

/// Links in a row that are followed, as the kernel does.
const LINKS: usize = 40;

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A path in a container.
    Container { name: String, path: String },
    /// A path of this machine.
    Local(PathBuf),
    /// A tar stream on standard input or output.
    Stream,
}

impl End {
    /// `NAME:PATH`; a path with a colon is written with a `/` or `.` in front.
    pub fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((name, path)) if !text.starts_with(['/', '.']) && !name.is_empty() => {
                Self::Container {
                    name: name.to_owned(),
                    path: path.to_owned(),
                }
            }
            _ => Self::Local(PathBuf::from(text)),
        }
    }
}

fn failed(what: String) -> impl FnOnce(io::Error) -> CliError {
    move |source| CliError::Io { what, source }
}

/// A stream whose bytes are counted.
struct Counted<T> {
    stream: T,
    bytes: u64,
}

impl<T> Counted<T> {
    fn new(stream: T) -> Self {
        Self { stream, bytes: 0 }
    }
}

impl<T: io::Read> io::Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<T: io::Write> io::Write for Counted<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// As cp(1): directories on the way are not made.
fn must_be_directory(
    backend: &dyn Backend,
    container: &Container,
    path: &str,
) -> Result<(), CliError> {
    match backend.path_kind(&container.id, path)? {
        Some(PathKind::Directory) => Ok(()),
        Some(PathKind::File) => Err(CliError::usage(format!("`{path}` is not a directory"))),
        None => Err(CliError::NotFound {
            what: "directory",
            name: format!("{}:{path}", container.name),
            hint: None,
        }),
    }
}

// ---- out of a container -----------------------------------------------------------------------

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

/// A path in a container as Docker reads it: from the root, and `..` takes back the name before it, whatever is there.
/// A `/` or `/.` at the end stays, for it says something.
fn clean(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let end = match names.is_empty() {
        true => "",
        false if path.ends_with("/.") => "/.",
        false if path.ends_with('/') => "/",
        false => "",
    };
    format!("/{}{end}", names.join("/"))
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

// ---- into a container -------------------------------------------------------------------------

/// Copies a path of this machine, or a tar stream, into a container. Without `archive` everything
/// belongs to root. The bytes of the archive.
///
/// # Errors
/// As [`copy_out`].
pub fn copy_in(
    backend: &dyn Backend,
    container: &Container,
    source: &End,
    path: &str,
    follow: FollowLink,
    archive: bool,
) -> Result<u64, CliError> {
    let path = &*clean(path);
    let End::Local(source) = source else {
        let mut tar = Counted::new(io::stdin().lock());
        must_be_directory(backend, container, path)?;
        backend.archive_put(&container.id, path, &mut tar)?;
        return Ok(tar.bytes);
    };
    let metadata = match follow {
        FollowLink::Yes => fs::metadata(source),
        FollowLink::No => fs::symlink_metadata(source),
    }
    .map_err(failed(format!("read `{}`", source.display())))?;
    let contents = source.as_os_str().as_encoded_bytes().ends_with(b"/.");
    let (directory, name) = match backend.path_kind(&container.id, path)? {
        Some(PathKind::Directory) if contents => (path.to_owned(), String::new()),
        Some(PathKind::Directory) => {
            let name = source
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            (path.to_owned(), name.unwrap_or_default())
        }
        Some(PathKind::File) if metadata.is_dir() => {
            return Err(CliError::usage(format!(
                "`{path}` is a file; a directory cannot replace it"
            )));
        }
        None if path.ends_with('/') && !metadata.is_dir() => {
            return Err(CliError::NotFound {
                what: "directory",
                name: format!("{}:{path}", container.name),
                hint: None,
            });
        }
        _ => {
            let path = followed_inside(backend, container, path)?;
            let (parent, name) = split(&path);
            must_be_directory(backend, container, parent)?;
            (parent.to_owned(), name.to_owned())
        }
    };
    let (mut reader, writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let packed = scope.spawn(|| pack(writer, source, &name, follow, archive));
        let mut counted = Counted::new(&mut reader);
        let put = backend.archive_put(&container.id, &directory, &mut counted);
        let bytes = counted.bytes;
        // Let the packer end when the engine stopped reading.
        drop(reader);
        match packed.join() {
            Ok(Err(error)) if put.is_ok() => {
                Err(failed(format!("read `{}`", source.display()))(error))
            }
            Ok(_) => put.map(|()| bytes).map_err(CliError::from),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The directory and the last name of a path in a container.
fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        None | Some(("", _)) => ("/", path.trim_start_matches('/')),
        Some(both) => both,
    }
}

/// Where the links at the end of a path in a container lead, as [`followed`].
fn followed_inside(
    backend: &dyn Backend,
    container: &Container,
    path: &str,
) -> Result<String, CliError> {
    let mut path = path.trim_end_matches("/.").trim_end_matches('/').to_owned();
    for _ in 0..LINKS {
        let Some(target) = link_target(backend, container, &path)? else {
            return Ok(path);
        };
        let target = target.trim_end_matches('/');
        path = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("{}/{target}", split(&path).0),
        };
    }
    Err(CliError::usage(format!("`{path}`: too many links")))
}

/// Where a link in a container leads, if one is there.
fn link_target(
    backend: &dyn Backend,
    container: &Container,
    path: &str,
) -> Result<Option<String>, CliError> {
    let (reader, mut writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let sent = scope.spawn(move || {
            // Nobody reads on after the first entry; and what cannot be read is told when it is written to.
            let _ = backend.archive_get(&container.id, path, FollowLink::No, &mut writer);
        });
        let target = first_link(reader);
        match sent.join() {
            Ok(()) => Ok(target),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// The target of an archive's first entry, if that is a link.
fn first_link(tar: impl io::Read) -> Option<String> {
    let mut archive = tar::Archive::new(tar);
    let first = archive.entries().ok()?.next()?.ok()?;
    let target = first.link_name().ok()??;
    Some(target.to_str()?.to_owned())
}

/// Packs a path under `name`; an empty name packs a directory's contents. Without `archive`
/// everything belongs to root, as Docker does it.
fn pack(
    out: impl io::Write,
    source: &Path,
    name: &str,
    follow: FollowLink,
    archive: bool,
) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    builder.follow_symlinks(false);
    let mut todo = vec![(source.to_owned(), PathBuf::from(name))];
    while let Some((path, name)) = todo.pop() {
        let top = path == source;
        let metadata = if top && follow == FollowLink::Yes {
            fs::metadata(&path)?
        } else {
            fs::symlink_metadata(&path)?
        };
        let mut header = tar::Header::new_gnu();
        header.set_metadata(&metadata);
        if !archive {
            header.set_uid(0);
            header.set_gid(0);
        }
        if metadata.is_dir() {
            if !name.as_os_str().is_empty() {
                builder.append_data(&mut header, &name, io::empty())?;
            }
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                todo.push((entry.path(), name.join(entry.file_name())));
            }
        } else if metadata.is_symlink() {
            builder.append_link(&mut header, &name, fs::read_link(&path)?)?;
        } else if metadata.is_file() {
            builder.append_data(&mut header, &name, fs::File::open(&path)?)?;
        } else {
            return Err(io::Error::other(format!(
                "`{}` is neither file nor directory",
                path.display()
            )));
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let container = |name: &str, path: &str| End::Container {
            name: name.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(End::parse("web:/etc/hosts"), container("web", "/etc/hosts"));
        assert_eq!(End::parse("web:data"), container("web", "data"));
        assert_eq!(End::parse("./a:b"), End::Local("./a:b".into()));
        assert_eq!(End::parse("/a:b"), End::Local("/a:b".into()));
        assert_eq!(End::parse("file"), End::Local("file".into()));
        assert_eq!(End::parse("-"), End::Stream);
    }

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
    fn paths_are_cleaned_by_their_letters() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            (".", "/"),
            ("/.", "/"),
            ("etc", "/etc"),
            ("/etc/", "/etc/"),
            ("/etc/.", "/etc/."),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("../../a//./b", "/a/b"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
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

//! Copies between a container and this machine, as `cp` of Compose and of the engine make them.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use crate::backend::{Backend, Container, FollowLink, PathKind};
use crate::cli::error::CliError;

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
    let End::Local(destination) = destination else {
        let mut out = Counted::new(io::stdout().lock());
        backend.archive_get(&container.id, path, follow, &mut out)?;
        return Ok(out.bytes);
    };
    let kind = backend
        .path_kind(&container.id, path)?
        .ok_or_else(|| CliError::NotFound {
            what: "path",
            name: format!("{}:{path}", container.name),
            hint: None,
        })?;
    // As cp(1): into a directory that exists, else under the destination's own name.
    let (directory, name) = if destination.is_dir() {
        let contents = path.ends_with("/.") || path == ".";
        (
            destination.clone(),
            if contents { Some(PathBuf::new()) } else { None },
        )
    } else if kind == PathKind::Directory {
        fs::create_dir(destination)
            .map_err(failed(format!("create `{}`", destination.display())))?;
        (destination.clone(), Some(PathBuf::new()))
    } else if destination.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(CliError::NotFound {
            what: "directory",
            name: destination.display().to_string(),
            hint: None,
        });
    } else {
        let parent = destination.parent().filter(|p| !p.as_os_str().is_empty());
        let name = destination.file_name().map(PathBuf::from);
        (parent.unwrap_or(Path::new(".")).to_owned(), name)
    };
    let (mut reader, mut writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let sent =
            scope.spawn(move || backend.archive_get(&container.id, path, follow, &mut writer));
        let mut counted = Counted::new(&mut reader);
        let unpacked = unpack(&mut counted, &directory, name.as_deref());
        let bytes = counted.bytes;
        // Let the sender end when unpacking failed.
        drop(reader);
        match sent.join() {
            Ok(Err(error)) if unpacked.is_ok() => Err(error.into()),
            Ok(_) => unpacked
                .map(|()| bytes)
                .map_err(failed(format!("write below `{}`", directory.display()))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Unpacks below `directory`; `name` takes the place of the first part of each path.
fn unpack(tar: &mut dyn io::Read, directory: &Path, name: Option<&Path>) -> io::Result<()> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if let Some(name) = name {
            let path = entry.path()?.into_owned();
            let rest: PathBuf = path.components().skip(1).collect();
            // Joining nothing would leave a slash at the end, which names a directory.
            let renamed = if rest.as_os_str().is_empty() {
                name.to_owned()
            } else {
                name.join(rest)
            };
            if renamed.as_os_str().is_empty() {
                continue;
            }
            // A plain path of this machine's choosing or below the directory: refuse the rest.
            if renamed
                .components()
                .any(|part| !matches!(part, Component::Normal(_)))
            {
                return Err(io::Error::other(format!(
                    "`{}` leaves the destination",
                    path.display()
                )));
            }
            let target = directory.join(&renamed);
            if let Some(parent) = target.parent() {
                let inside = fs::canonicalize(parent)?;
                if !inside.starts_with(fs::canonicalize(directory)?) {
                    return Err(io::Error::other(format!(
                        "`{}` leaves the destination",
                        path.display()
                    )));
                }
            }
            entry.unpack(target)?;
        } else {
            entry.unpack_in(directory)?;
        }
    }
    Ok(())
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
            let path = path.trim_end_matches('/');
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = if parent.is_empty() { "/" } else { parent };
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
        unpack(&mut tar.as_slice(), to.path(), None).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("x/a")).expect("there"),
            "one"
        );
        assert_eq!(
            fs::read_link(to.path().join("x/l")).expect("there"),
            Path::new("a")
        );
        unpack(&mut tar.as_slice(), to.path(), Some(Path::new(""))).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("a")).expect("there"),
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
        unpack(&mut tar.as_slice(), to.path(), Some(Path::new("b"))).expect("unpacked");
        assert_eq!(
            fs::read_to_string(to.path().join("b")).expect("there"),
            "one"
        );
    }

    #[test]
    fn a_hostile_archive_stays_inside() {
        let mut builder = tar::Builder::new(Vec::new());
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
        assert!(unpack(&mut tar.as_slice(), to.path(), Some(Path::new(""))).is_err());
        // The crate skips what would leave; either way nothing is written outside.
        let _ = unpack(&mut tar.as_slice(), to.path(), None);
        assert!(!Path::new("/tmp/evil").exists());
    }
}

//! Into a container.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{Counted, End, LINKS, clean, failed, must_be_directory};
use crate::backend::{Backend, Container, FollowLink, PathKind};
use crate::cli::error::CliError;

/// Copies a path of this machine, or a tar stream, into a container. Without `archive` everything
/// belongs to root. The bytes of the archive.
///
/// # Errors
/// As [`super::copy_out`].
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

/// Where the links at the end of a path in a container lead, as on this machine.
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
pub(super) fn pack(
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

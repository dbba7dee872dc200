//! `cp`: copy files or folders between a service container and this machine.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use clap::Args;

use crate::backend::{Backend, Container, FollowLink, PathKind};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session};

/// What was typed after `cp`.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// Include containers created by the run command.
    #[arg(long)]
    pub all: bool,
    /// Archive mode (copy all uid/gid information).
    #[arg(short = 'a', long)]
    pub archive: bool,
    /// Always follow symbol link in SRC_PATH.
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Index of the container if service has multiple replicas.
    #[arg(long)]
    pub index: Option<u32>,
    /// `SERVICE:PATH`, a path of this machine, or `-` for a tar stream on standard input.
    #[arg(value_name = "SRC")]
    pub source: String,
    /// `SERVICE:PATH`, a path of this machine, or `-` for a tar stream on standard output.
    #[arg(value_name = "DEST")]
    pub destination: String,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A path in a service's container.
    Container { service: String, path: String },
    /// A path of this machine.
    Local(PathBuf),
    /// A tar stream on standard input or output.
    Stream,
}

impl End {
    /// `SERVICE:PATH`; a path with a colon is written with a `/` or `.` in front.
    fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((service, path)) if !text.starts_with(['/', '.']) && !service.is_empty() => {
                Self::Container {
                    service: service.to_owned(),
                    path: path.to_owned(),
                }
            }
            _ => Self::Local(PathBuf::from(text)),
        }
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: CpArgs) -> Result<Exit, CliError> {
    let follow = if args.follow_link {
        FollowLink::Yes
    } else {
        FollowLink::No
    };
    let session = Session::named(global)?;
    let containers = |service: &str| -> Result<Vec<Container>, CliError> {
        if args.index.is_some() {
            return Ok(vec![session.one_of(service, args.index)?]);
        }
        let one_off = if args.all {
            OneOff::Include
        } else {
            OneOff::Exclude
        };
        let found = session.of_services(&[service.to_owned()], one_off)?;
        if found.is_empty() {
            return Err(CliError::NotRunning {
                service: service.to_owned(),
            });
        }
        Ok(found)
    };
    match (End::parse(&args.source), End::parse(&args.destination)) {
        (End::Container { .. }, End::Container { .. }) => {
            return Err(CliError::usage("copying between services is not supported"));
        }
        (End::Local(_) | End::Stream, End::Local(_) | End::Stream) => {
            return Err(CliError::usage("one end of a copy must be `SERVICE:PATH`"));
        }
        _ if global.dry_run => {}
        (End::Container { service, path }, destination) => {
            let container = containers(&service)?.remove(0);
            copy_out(&*session.backend, &container, &path, follow, &destination)?;
        }
        (source, End::Container { service, path }) => {
            for container in containers(&service)? {
                copy_in(
                    &*session.backend,
                    &container,
                    &source,
                    &path,
                    follow,
                    args.archive,
                )?;
            }
        }
    }
    Ok(Exit::Success)
}

fn failed(what: String) -> impl FnOnce(io::Error) -> CliError {
    move |source| CliError::Io { what, source }
}

// ---- out of a container -----------------------------------------------------------------------

fn copy_out(
    backend: &dyn Backend,
    container: &Container,
    path: &str,
    follow: FollowLink,
    destination: &End,
) -> Result<(), CliError> {
    let End::Local(destination) = destination else {
        backend.archive_get(&container.id, path, follow, &mut io::stdout().lock())?;
        return Ok(());
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
    } else {
        let parent = destination.parent().filter(|p| !p.as_os_str().is_empty());
        let name = destination.file_name().map(PathBuf::from);
        (parent.unwrap_or(Path::new(".")).to_owned(), name)
    };
    let (mut reader, mut writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let sent =
            scope.spawn(move || backend.archive_get(&container.id, path, follow, &mut writer));
        let unpacked = unpack(&mut reader, &directory, name.as_deref());
        // Let the sender end when unpacking failed.
        drop(reader);
        match sent.join() {
            Ok(Err(error)) if unpacked.is_ok() => Err(error.into()),
            Ok(_) => unpacked.map_err(failed(format!("write below `{}`", directory.display()))),
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

fn copy_in(
    backend: &dyn Backend,
    container: &Container,
    source: &End,
    path: &str,
    follow: FollowLink,
    archive: bool,
) -> Result<(), CliError> {
    let End::Local(source) = source else {
        backend.archive_put(&container.id, path, &mut io::stdin().lock())?;
        return Ok(());
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
            (parent.to_owned(), name.to_owned())
        }
    };
    let (mut reader, writer) = io::pipe().map_err(failed("make a pipe".to_owned()))?;
    std::thread::scope(|scope| {
        let packed = scope.spawn(|| pack(writer, source, &name, follow, archive));
        let put = backend.archive_put(&container.id, &directory, &mut reader);
        // Let the packer end when the engine stopped reading.
        drop(reader);
        match packed.join() {
            Ok(Err(error)) if put.is_ok() => {
                Err(failed(format!("read `{}`", source.display()))(error))
            }
            Ok(_) => put.map_err(CliError::from),
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
        let container = |service: &str, path: &str| End::Container {
            service: service.to_owned(),
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

//! Copies between a container and this machine, as `cp` of Compose and of the engine make them.

mod into;
mod out;

use std::io;
use std::path::PathBuf;

use crate::backend::{Backend, Container, PathKind};
use crate::cli::error::CliError;

pub use into::copy_in;
pub use out::copy_out;

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
}

//! Build contexts: the main one and the named ones, as trees with their ignore files applied.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::{Fields, Index, hex};
use super::error::BuildError;
use super::ignore::{BadPattern, Patterns};
use super::request::{BuildRequest, ContextSource, DockerfileSource};
use super::scratch::{Part, Scratch};
use super::tree::{Tree, View};
use super::untar;

/// A context, opened.
pub(super) struct Context {
    /// Its files.
    pub(super) tree: Tree,
    /// Keeps an unpacked archive or a checkout alive.
    _part: Option<Part>,
}

/// The text of the Dockerfile, and what messages call it.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Opens the main context and reads the Dockerfile. `indexes` is where digests of files are remembered.
pub(super) fn open(
    request: &BuildRequest,
    scratch: &Scratch,
    indexes: &Path,
) -> Result<(Arc<Context>, Text), BuildError> {
    let (source, dockerfile) = (&request.context, &request.dockerfile);
    let mut context = match source {
        ContextSource::Directory(path) => directory(path, indexes)?,
        ContextSource::Tar(path) => unpacked(path, scratch)?,
        ContextSource::Url(url) => super::fetch::context(request, url, scratch)?,
        ContextSource::Empty => {
            let part = scratch
                .directory()
                .map_err(io_error("create", Path::new("scratch")))?;
            let tree =
                Tree::open(part.path(), View::Context).map_err(io_error("open", part.path()))?;
            Context {
                tree,
                _part: Some(part),
            }
        }
    };
    let beside = matches!(source, ContextSource::Directory(_) | ContextSource::Empty);
    let (text, ignore_file) = read_dockerfile(&context.tree, dockerfile, beside)?;
    context.tree.ignore = match ignore_file {
        // Archives and repositories come as they are, as with the reference.
        _ if !matches!(source, ContextSource::Directory(_)) => Patterns::default(),
        Some((name, bytes)) => parse_ignore(&name, &bytes)?,
        None => ignore_of(&context.tree)?,
    };
    Ok((Arc::new(context), text))
}

/// A named context that is a directory; it has its own `.dockerignore`.
pub(super) fn named(path: &Path, indexes: &Path) -> Result<Context, BuildError> {
    let mut context = directory(path, indexes)?;
    context.tree.ignore = ignore_of(&context.tree)?;
    Ok(context)
}

/// A directory that was filled by somebody else.
pub(super) fn filled(part: Part, below: &str) -> Result<Context, BuildError> {
    let tree = Tree::open(&part.path().join(below), View::Context)
        .map_err(io_error("open", part.path()))?;
    Ok(Context {
        tree,
        _part: Some(part),
    })
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action,
        path,
        source,
    }
}

fn directory(path: &Path, indexes: &Path) -> Result<Context, BuildError> {
    let real = std::fs::canonicalize(path).map_err(|error| BuildError::Context {
        context: path.display().to_string(),
        reason: error.to_string(),
    })?;
    let mut tree = Tree::open(&real, View::Context).map_err(|error| BuildError::Context {
        context: path.display().to_string(),
        reason: if error.kind() == io::ErrorKind::NotADirectory {
            "it is not a directory".into()
        } else {
            error.to_string()
        },
    })?;
    let mut name = Fields::new("context");
    name.add(real.as_os_str().as_bytes());
    tree.index = Some(Arc::new(Index::open(Some(
        indexes.join(hex(&name.finish())),
    ))));
    Ok(Context { tree, _part: None })
}

/// A tar archive, plain or compressed, in a file or on standard input.
fn unpacked(path: &Path, scratch: &Scratch) -> Result<Context, BuildError> {
    let bad = |reason: String| BuildError::Context {
        context: path.display().to_string(),
        reason,
    };
    let file = std::fs::File::open(path).map_err(io_error("read", path))?;
    let stream = untar::decompress(io::BufReader::new(file))
        .map_err(|error| bad(error.to_string()))?
        .ok_or_else(|| bad("the archive is empty".into()))?;
    unpack_stream(stream, scratch).map_err(bad)
}

/// A tar stream.
pub(super) fn unpack_stream(stream: Box<dyn Read>, scratch: &Scratch) -> Result<Context, String> {
    let part = scratch.directory().map_err(|error| error.to_string())?;
    let tree = Tree::open(part.path(), View::Context).map_err(|error| error.to_string())?;
    let root = tree
        .locate("".as_ref())
        .map_err(|error| error.to_string())?;
    untar::unpack(stream, root.dir, None).map_err(|error| error.to_string())?;
    Ok(Context {
        tree,
        _part: Some(part),
    })
}

fn ignore_of(tree: &Tree) -> Result<Patterns, BuildError> {
    match tree.read(".dockerignore") {
        Ok(Some(bytes)) => parse_ignore(".dockerignore", &bytes),
        Ok(None) => Ok(Patterns::default()),
        Err(error) => Err(io_error("read", Path::new(".dockerignore"))(error)),
    }
}

fn parse_ignore(name: &str, bytes: &[u8]) -> Result<Patterns, BuildError> {
    Patterns::parse(bytes).map_err(
        |BadPattern {
             line,
             pattern,
             reason,
         }| BuildError::Ignore {
            file: name.to_owned(),
            line,
            pattern,
            reason: reason.to_owned(),
        },
    )
}

type IgnoreFile = Option<(String, Vec<u8>)>;

/// Reads the Dockerfile and the ignore file of its own name. `beside` says that a path is one of the machine.
fn read_dockerfile(
    tree: &Tree,
    source: &DockerfileSource,
    beside: bool,
) -> Result<(Text, IgnoreFile), BuildError> {
    let missing = |path: &Path, source: io::Error| BuildError::NoDockerfile {
        path: path.to_owned(),
        source,
    };
    let in_tree = |path: &str| match tree.read(path) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(missing(Path::new(path), io::ErrorKind::NotFound.into())),
        Err(error) => Err(missing(Path::new(path), error)),
    };
    let ignore_in_tree = |path: &str| -> IgnoreFile {
        let name = format!("{path}.dockerignore");
        tree.read(&name).ok().flatten().map(|bytes| (name, bytes))
    };
    match source {
        DockerfileSource::Text { name, text } => Ok((
            Text {
                name: name.clone(),
                bytes: text.clone(),
            },
            None,
        )),
        DockerfileSource::Default => {
            let (name, bytes) = match in_tree("Dockerfile") {
                Ok(bytes) => ("Dockerfile", bytes),
                Err(error) => match in_tree("dockerfile") {
                    Ok(bytes) => ("dockerfile", bytes),
                    Err(_) => return Err(error),
                },
            };
            Ok((
                Text {
                    name: name.into(),
                    bytes,
                },
                ignore_in_tree(name),
            ))
        }
        DockerfileSource::Path(path) if beside => {
            let bytes = std::fs::read(path).map_err(|error| missing(path, error))?;
            let mut ignore_path = path.clone().into_os_string();
            ignore_path.push(".dockerignore");
            let ignore_path = PathBuf::from(ignore_path);
            let ignore = std::fs::read(&ignore_path)
                .ok()
                .map(|bytes| (ignore_path.display().to_string(), bytes));
            Ok((
                Text {
                    name: path.display().to_string(),
                    bytes,
                },
                ignore,
            ))
        }
        DockerfileSource::Path(path) => {
            let name = path.to_string_lossy().into_owned();
            Ok((
                Text {
                    bytes: in_tree(&name)?,
                    name: name.clone(),
                },
                ignore_in_tree(&name),
            ))
        }
    }
}

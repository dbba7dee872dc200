//! The sources of `COPY`, `ADD` and bind mounts: from words to entries of a tree.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::FileType;

use super::digest::{self, Fields};
use super::glob;
use super::ignore::Patterns;
use super::tree::{self, Entry, Found, Tree};
use super::values::clean;

/// Something to copy.
pub(super) struct Selected {
    /// The directory that holds it; the thing itself when `entry` is `None`.
    pub(super) dir: OwnedFd,
    /// A non-directory in `dir`; `None` means the contents of `dir`.
    pub(super) entry: Option<Entry>,
    /// Its real path in the tree (links followed).
    pub(super) path: OsString,
    /// The path by which it was named or matched: its last component is the file's name at the destination,
    /// all of it the path below the destination for `--parents`.
    pub(super) named: OsString,
}

impl Selected {
    /// The name it gets in a directory.
    pub(super) fn name(&self) -> &OsStr {
        let bytes = self.named.as_bytes();
        let start = bytes
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |at| at + 1);
        OsStr::from_bytes(&bytes[start..])
    }

    /// Its path with `--parents`, as `--exclude` sees it and as it is made: without the first `skip` components.
    pub(super) fn below(&self, skip: usize) -> OsString {
        let parts = self.named.as_bytes().split(|byte| *byte == b'/');
        let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty()).skip(skip).collect();
        OsString::from_vec(parts.join(&b'/'))
    }

    /// Whether something of it is left where this path of it is excluded.
    pub(super) fn is_left(
        &self,
        tree: &Tree,
        below: &OsStr,
        exclude: &Patterns,
    ) -> io::Result<bool> {
        let skip = |shown: &OsStr| exclude.excludes(&shown.to_string_lossy());
        if exclude.is_empty() || !skip(below) {
            return Ok(true);
        }
        if self.entry.is_some() {
            return Ok(false);
        }
        for child in tree::entries(self.dir.as_fd())? {
            let path = tree::join(&self.path, &child.name);
            let shown = tree::join(below, &child.name);
            if digest::visible(tree, &child, &path, &shown, &skip, self.dir.as_fd())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Finds what a source word names. A pattern may match nothing; a plain path may not.
pub(super) fn select(tree: &Tree, word: &str, parents: bool) -> io::Result<Option<Vec<Selected>>> {
    let rooted = clean(&format!("/{word}"));
    let path = rooted.trim_start_matches('/');
    if glob::is_pattern(path) {
        let mut matched = Vec::new();
        let mut parts: Vec<&str> = path.split('/').collect();
        // The part before the first pattern may lead through links.
        let plain = parts
            .iter()
            .take_while(|part| !glob::is_pattern(part))
            .count();
        let rest = parts.split_off(plain);
        let prefix = glob::unescape(&parts.join("/"));
        let Some(place) = locate(tree, &prefix)? else {
            return Ok(Some(matched));
        };
        if matches!(place.found, Found::Directory) {
            let deep = parents
                .then(|| &rest[..])
                .filter(|rest| rest.contains(&"**"));
            let mut found = Vec::new();
            let walk = Walk {
                tree,
                patterns: &rest,
                deep: deep.is_some(),
            };
            walk.run(
                place.dir.as_fd(),
                &place.path,
                OsStr::new(&prefix),
                0,
                &mut found,
            )?;
            for named in found {
                matched.extend(one(tree, &named)?);
            }
        }
        return Ok(Some(matched));
    }
    Ok(one(tree, OsStr::new(&glob::unescape(path)))?.map(|selected| vec![selected]))
}

/// The thing at a plain path, pattern characters standing for themselves.
pub(super) fn select_plain(tree: &Tree, path: &str) -> io::Result<Option<Selected>> {
    one(tree, OsStr::new(path.trim_start_matches('/')))
}

fn locate(tree: &Tree, path: &str) -> io::Result<Option<tree::Place>> {
    match tree.locate(OsStr::new(path)) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(error),
    }
}

/// The thing at one path, links followed; `None` when it is missing or ignored.
fn one(tree: &Tree, named: &OsStr) -> io::Result<Option<Selected>> {
    let place = match tree.locate(named) {
        Ok(place) => place,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = named.to_owned();
    // An ignored link hides what it leads to.
    let seen = |path: &OsStr| path.is_empty() || tree.sees(path);
    match place.found {
        Found::Missing(_) => Ok(None),
        Found::Directory => {
            let there = seen(&place.path) || holds_something(tree, &place)?;
            Ok(there.then_some(Selected {
                dir: place.dir,
                entry: None,
                path: place.path,
                named,
            }))
        }
        Found::Other(name, stat) => {
            let path = tree::join(&place.path, &name);
            if !seen(&path) || !seen(&named) {
                return Ok(None);
            }
            Ok(Some(Selected {
                dir: place.dir,
                entry: Some(Entry { name, stat: *stat }),
                path,
                named,
            }))
        }
    }
}

fn holds_something(tree: &Tree, place: &tree::Place) -> io::Result<bool> {
    if !tree.enters(&place.path) {
        return Ok(false);
    }
    for child in tree::entries(place.dir.as_fd())? {
        let path = tree::join(&place.path, &child.name);
        if digest::visible(tree, &child, &path, &path, &|_| false, place.dir.as_fd())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Matches the components of a pattern against the tree, not through links.
struct Walk<'a> {
    tree: &'a Tree,
    patterns: &'a [&'a str],
    /// `**` stands for any number of components (`--parents` only).
    deep: bool,
}

impl Walk<'_> {
    fn run(
        &self,
        dir: std::os::fd::BorrowedFd<'_>,
        path: &OsStr,
        named: &OsStr,
        depth: usize,
        found: &mut Vec<OsString>,
    ) -> io::Result<()> {
        let Some(pattern) = self.patterns.get(depth) else {
            return Ok(());
        };
        let last = depth + 1 == self.patterns.len();
        let any_depth = self.deep && *pattern == "**";
        if any_depth && !last {
            self.run(dir, path, named, depth + 1, found)?;
        }
        let tokens = if any_depth {
            None
        } else {
            Some(parse(pattern)?)
        };
        for entry in tree::entries(dir)? {
            let path = tree::join(path, &entry.name);
            let named = tree::join(named, &entry.name);
            let directory = entry.kind() == FileType::Directory;
            if any_depth {
                if last && !found.contains(&named) && (self.tree.sees(&path)) {
                    found.push(named.clone());
                }
                if directory && !last {
                    let inner = tree::open_dir(dir, &entry.name)?;
                    self.run(inner.as_fd(), &path, &named, depth, found)?;
                }
                continue;
            }
            let matched = tokens
                .as_ref()
                .is_some_and(|tokens| glob::matches(tokens, &entry.name.to_string_lossy()));
            if !matched {
                continue;
            }
            if last {
                if !found.contains(&named)
                    && (self.tree.sees(&path) || directory && self.tree.enters(&path))
                {
                    found.push(named);
                }
            } else if directory {
                let inner = tree::open_dir(dir, &entry.name)?;
                self.run(inner.as_fd(), &path, &named, depth + 1, found)?;
            }
        }
        Ok(())
    }
}

fn parse(pattern: &str) -> io::Result<Vec<glob::Token>> {
    glob::parse(pattern).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{pattern}` is not a well-formed pattern"),
        )
    })
}

/// Adds the content of a selection to a cache key. With `--parents` there is a count of the directories of its path that
/// are not made.
pub(super) fn add_digest(
    fields: &mut Fields,
    tree: &Tree,
    selected: &Selected,
    exclude: &Patterns,
    parents: Option<usize>,
) -> io::Result<()> {
    let skip = |shown: &OsStr| !exclude.is_empty() && exclude.excludes(&shown.to_string_lossy());
    let mut shown = OsString::new();
    if let Some(skipped) = parents {
        shown = selected.below(skipped);
        if !selected.is_left(tree, &shown, exclude)? {
            return Ok(());
        }
        fields.add(selected.named.as_bytes());
    }
    match &selected.entry {
        Some(entry) => digest::add_entry(
            fields,
            tree,
            selected.dir.as_fd(),
            entry,
            &selected.path,
            selected.name(),
            &skip,
        ),
        None => digest::add_children(
            fields,
            tree,
            selected.dir.as_fd(),
            &selected.path,
            &shown,
            &skip,
        ),
    }
}

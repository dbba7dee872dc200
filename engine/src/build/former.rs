//! What a `COPY` of the same words put on the same layers before: the *former* layer.
//!
//! Most builds change few files of many. A step that copies from the context remembers, for a layer that has
//! all of its files, what it put where. The next time only what differs is written, over that layer
//! (`layer::Kin::Over`), and what is gone is taken away. Whenever that cannot give the same
//! files as copying all of them, [`Unfit`] says so and all of them are copied.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Stat};

use super::attributes::{set_times, times};
use super::digest::Hash;
use super::tree::{Found, Tree};
use crate::content::Digest;

/// The step cannot be done over its former layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

/// What was put at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Type and mode, as in the layer.
    pub(super) mode: u32,
    /// Time of change: files keep that of their source.
    pub(super) mtime: (i64, u32),
    /// Of the content of a file, or the target of a link; zeros for a directory.
    pub(super) hash: Hash,
}

impl Mark {
    /// A mark with the time of a source.
    pub(super) fn new(mode: u32, source: &Stat, hash: Hash) -> Self {
        Self {
            mode,
            mtime: (source.st_mtime, source.st_mtime_nsec as u32),
            hash,
        }
    }

    /// Whether both are of the same type.
    fn is_like(&self, other: &Self) -> bool {
        self.mode & 0o170_000 == other.mode & 0o170_000
    }
}

/// What a step puts where, in the making.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: HashMap<Vec<u8>, Mark>,
    /// Something cannot be described by a mark: hard links, devices, one path put there twice.
    unfit: bool,
}

/// What a step puts where, with what is there already.
#[derive(Debug)]
pub(super) struct Tracker<'f> {
    pub(super) marks: Marks,
    /// The layer that the step is done over.
    pub(super) former: Option<&'f Former>,
    /// Files that had to be written.
    pub(super) written: usize,
}

impl<'f> Tracker<'f> {
    /// Begins.
    pub(super) fn new(former: Option<&'f Former>) -> Self {
        Self {
            marks: Marks::default(),
            former,
            written: 0,
        }
    }

    /// A file or link is to be put at a path; `true` when it lies there already.
    pub(super) fn file(&mut self, path: &OsStr, mark: Mark) -> Result<bool, Unfit> {
        self.marks.put(path, mark);
        let there = self
            .former
            .map_or(Ok(false), |former| former.has(path, &mark))?;
        self.written += usize::from(!there);
        self.fit()?;
        Ok(there)
    }

    /// A directory is to be at a path; `true` when it is there with these attributes.
    pub(super) fn directory(&mut self, path: &OsStr, mark: Mark) -> Result<bool, Unfit> {
        self.marks.put_directory(path, mark);
        self.fit()?;
        self.former
            .map_or(Ok(false), |former| former.has(path, &mark))
    }

    /// Something is to be put there that no mark describes.
    pub(super) fn other(&mut self) -> Result<(), Unfit> {
        self.marks.put_other();
        self.fit()
    }

    /// Takes away what the former layer has and the step no longer puts there. `below` is what lies under
    /// both: what is there as well would show through, as it should, but cannot from under a deletion.
    pub(super) fn take_away_rest(&self, to: &Tree, below: &[PathBuf]) -> Result<(), Unfit> {
        let Some(former) = self.former else {
            return Ok(());
        };
        for path in former.gone(&self.marks) {
            if crate::layer::merged::lookup(below, Path::new(path)).is_some() {
                return Err(Unfit);
            }
            let (parent, name) = split(path);
            let place = to.locate(parent).map_err(|_| Unfit)?;
            if !matches!(place.found, Found::Directory) {
                return Err(Unfit);
            }
            let remove = |flags| rustix::fs::unlinkat(&place.dir, name, flags);
            remove(AtFlags::empty())
                .or_else(|_| remove(AtFlags::REMOVEDIR))
                .map_err(|_| Unfit)?;
            // That gave the directory a new time; it is to have its source's.
            if let Some(mark) = self.marks.marks.get(parent.as_bytes()) {
                let (seconds, nanoseconds) = mark.mtime;
                set_times(place.dir.as_fd(), &times(seconds, nanoseconds.into()))
                    .map_err(|_| Unfit)?;
            }
        }
        Ok(())
    }

    /// What was noted in the end.
    pub(super) fn finish(self) -> Noted {
        Noted {
            marks: self.marks,
            written: self.written,
            over: self.former.map(Former::len),
        }
    }

    /// Over a former layer, what cannot be described cannot be done.
    fn fit(&self) -> Result<(), Unfit> {
        match self.former {
            Some(_) => self.marks.check(),
            None => Ok(()),
        }
    }
}

/// What a step put where.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) marks: Marks,
    /// Files that were written.
    pub(super) written: usize,
    /// How many paths the former layer has, for a step done over it.
    pub(super) over: Option<usize>,
}

fn split(path: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = path.as_bytes();
    match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (
            OsStr::from_bytes(&bytes[..slash]),
            OsStr::from_bytes(&bytes[slash + 1..]),
        ),
        None => (OsStr::new(""), path),
    }
}

/// A layer with all files of a step, and what they are.
#[derive(Debug)]
pub(super) struct Former {
    /// Its chain id.
    pub(super) layer: Digest,
    marks: HashMap<Vec<u8>, Mark>,
}

impl Marks {
    /// Notes what was put at a path; a path that comes twice makes the step unfit.
    pub(super) fn put(&mut self, path: &OsStr, mark: Mark) {
        self.unfit |= self.marks.insert(path.as_bytes().to_vec(), mark).is_some();
    }

    /// Notes a directory, which several sources may fill.
    pub(super) fn put_directory(&mut self, path: &OsStr, mark: Mark) {
        let before = self.marks.insert(path.as_bytes().to_vec(), mark);
        self.unfit |= before.is_some_and(|before| before != mark);
    }

    /// Notes something that no mark describes.
    pub(super) fn put_other(&mut self) {
        self.unfit = true;
    }

    /// Fails when something could not be noted.
    pub(super) fn check(&self) -> Result<(), Unfit> {
        if self.unfit { Err(Unfit) } else { Ok(()) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Remembers them as those of a layer. A failure only costs time later.
    pub(super) fn save(&self, path: &Path, layer: &Digest) {
        let written = std::fs::write(temporary(path), self.to_bytes(layer))
            .and_then(|()| std::fs::rename(temporary(path), path));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "cannot remember what a step copied");
        }
    }

    fn to_bytes(&self, layer: &Digest) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(layer.hex().as_bytes());
        bytes.extend_from_slice(&(self.marks.len() as u64).to_le_bytes());
        for (path, mark) in &self.marks {
            bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
            bytes.extend_from_slice(path);
            bytes.extend_from_slice(&mark.mode.to_le_bytes());
            bytes.extend_from_slice(&mark.mtime.0.to_le_bytes());
            bytes.extend_from_slice(&mark.mtime.1.to_le_bytes());
            bytes.extend_from_slice(&mark.hash);
        }
        bytes
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("tmp{}", std::process::id()))
}

const MAGIC: &[u8; 8] = b"gtyfmr01";
const HEX: usize = 64;

impl Former {
    /// Reads what [`Marks::save`] wrote; nothing when it is missing or damaged.
    pub(super) fn read(path: &Path) -> Option<Self> {
        Self::from_bytes(&std::fs::read(path).ok()?)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at_checked(length)?;
            rest = tail;
            Some(head)
        };
        let layer = Digest::from_hex(std::str::from_utf8(take(HEX)?).ok()?).ok()?;
        let count = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let mut marks = HashMap::new();
        for _ in 0..count {
            let length = u32::from_le_bytes(take(4)?.try_into().ok()?) as usize;
            let path = take(length)?.to_vec();
            let mode = u32::from_le_bytes(take(4)?.try_into().ok()?);
            let seconds = i64::from_le_bytes(take(8)?.try_into().ok()?);
            let nanoseconds = u32::from_le_bytes(take(4)?.try_into().ok()?);
            let hash = take(32)?.try_into().ok()?;
            let mark = Mark {
                mode,
                mtime: (seconds, nanoseconds),
                hash,
            };
            marks.insert(path, mark);
        }
        Some(Self { layer, marks })
    }

    /// Whether the same lies at a path already. Something of another type there is unfit.
    pub(super) fn has(&self, path: &OsStr, mark: &Mark) -> Result<bool, Unfit> {
        match self.marks.get(path.as_bytes()) {
            None => Ok(false),
            Some(before) if before == mark => Ok(true),
            Some(before) if before.is_like(mark) => Ok(false),
            Some(_) => Err(Unfit),
        }
    }

    /// The paths that are not among the new ones, those below a directory before the directory.
    pub(super) fn gone<'f>(&'f self, now: &Marks) -> Vec<&'f OsStr> {
        let mut gone: Vec<&OsStr> = self
            .marks
            .keys()
            .filter(|path| !now.marks.contains_key(*path))
            .map(|path| OsStr::from_bytes(path))
            .collect();
        gone.sort_unstable_by(|a, b| b.cmp(a));
        gone
    }

    /// How many paths it has.
    pub(super) fn len(&self) -> usize {
        self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(mode: u32, hash: u8) -> Mark {
        Mark {
            mode,
            mtime: (-1, 7),
            hash: [hash; 32],
        }
    }

    #[test]
    fn marks_are_read_back() {
        let mut marks = Marks::default();
        marks.put_directory(OsStr::new("a"), mark(0o040_755, 0));
        marks.put_directory(OsStr::new("a"), mark(0o040_755, 0));
        marks.put(OsStr::new("a/b"), mark(0o100_644, 1));
        assert_eq!(marks.check(), Ok(()));
        let bytes = marks.to_bytes(&Digest::of(b"layer"));
        let former = Former::from_bytes(&bytes).unwrap();
        assert_eq!(former.layer, Digest::of(b"layer"));
        assert_eq!(former.marks, marks.marks);
        for end in 0..bytes.len() {
            assert!(Former::from_bytes(&bytes[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn what_is_there_and_what_is_gone() {
        let mut before = Marks::default();
        before.put_directory(OsStr::new("d"), mark(0o040_755, 0));
        before.put(OsStr::new("d/f"), mark(0o100_644, 1));
        before.put(OsStr::new("g"), mark(0o100_644, 1));
        let former = Former::from_bytes(&before.to_bytes(&Digest::of(b""))).unwrap();
        let has = |path: &str, mark| former.has(OsStr::new(path), &mark);
        assert_eq!(has("d/f", mark(0o100_644, 1)), Ok(true));
        assert_eq!(has("d/f", mark(0o100_600, 1)), Ok(false));
        assert_eq!(has("d/f", mark(0o100_644, 2)), Ok(false));
        assert_eq!(has("d/f", mark(0o040_755, 0)), Err(Unfit));
        assert_eq!(has("new", mark(0o100_644, 1)), Ok(false));
        let mut now = Marks::default();
        now.put(OsStr::new("g"), mark(0o100_644, 9));
        assert_eq!(former.gone(&now), ["d/f", "d"]);
    }

    #[test]
    fn one_path_twice_is_unfit() {
        let mut marks = Marks::default();
        marks.put(OsStr::new("f"), mark(0o100_644, 1));
        marks.put(OsStr::new("f"), mark(0o100_644, 1));
        assert_eq!(marks.check(), Err(Unfit));
    }
}

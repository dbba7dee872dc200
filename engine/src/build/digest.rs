//! Content digests of files and trees, and the index that spares reading unchanged files.
//!
//! A tree's digest covers names, types, modes, link targets, device numbers and contents; for files of images also
//! owners and extended attributes. Never times or inodes: those only decide whether a remembered
//! digest may be trusted.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};

use super::tree::{self, Entry, Tree, View};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// Text form.
pub(super) fn hex(hash: &Hash) -> String {
    base16ct::lower::encode_string(hash)
}

/// A hash over named fields: every field is preceded by its length, so no two lists give the same bytes.
pub(super) struct Fields {
    hash: Sha256,
    /// Files that went in, for people.
    notes: Vec<(String, Hash)>,
}

impl Fields {
    /// Begins; `kind` keeps hashes of different things apart.
    pub(super) fn new(kind: &str) -> Self {
        let mut fields = Self {
            hash: Sha256::new(),
            notes: Vec::new(),
        };
        fields.add(kind.as_bytes());
        fields
    }

    /// Adds a field.
    pub(super) fn add(&mut self, field: &[u8]) -> &mut Self {
        self.hash.update((field.len() as u64).to_le_bytes());
        self.hash.update(field);
        self
    }

    /// Adds a list.
    pub(super) fn list<T: AsRef<[u8]>>(
        &mut self,
        fields: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        let mut count = 0u64;
        for field in fields {
            self.add(field.as_ref());
            count += 1;
        }
        self.add(&count.to_le_bytes())
    }

    /// Notes a file by its path: the digest of its content with its mode.
    fn note(&mut self, path: &OsStr, mode: u32, content: &[u8]) {
        let mut own = Sha256::new();
        own.update(mode.to_le_bytes());
        own.update(content);
        let path = path.to_string_lossy().into_owned();
        self.notes.push((path, own.finalize().into()));
    }

    /// The files that were noted.
    pub(super) fn take_notes(&mut self) -> Vec<(String, Hash)> {
        std::mem::take(&mut self.notes)
    }

    /// The hash.
    pub(super) fn finish(self) -> Hash {
        self.hash.finalize().into()
    }
}

/// What of a file's status must be the same for its remembered digest to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            size: stat.st_size as u64,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }

    /// A file changed within the clock's granularity of now may change again without a new time.
    fn settled(&self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let changed = i128::from(self.ctime.0) * 1_000_000_000 + i128::from(self.ctime.1);
        (now.as_nanos() as i128) - changed > 50_000_000
    }
}

/// Remembered digests of one context's files, by device and inode.
#[derive(Debug)]
pub(super) struct Index {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<(u64, u64), (Stamp, Hash)>,
    /// Entries used or made by this build: only these are written back.
    seen: HashMap<(u64, u64), (Stamp, Hash)>,
    changed: bool,
}

/// One record of the index file: dev, ino, size, mtime, ctime, hash.
const RECORD: usize = 8 + 8 + 8 + 12 + 12 + 32;
const MAGIC: &[u8; 8] = b"gtyidx01";

impl Index {
    /// Opens the index at a path; a missing or damaged file is an empty index.
    pub(super) fn open(path: Option<PathBuf>) -> Self {
        let known = path
            .as_deref()
            .and_then(|path| Self::read(path).ok())
            .unwrap_or_default();
        Self {
            path,
            state: Mutex::new(State {
                known,
                ..State::default()
            }),
        }
    }

    fn read(path: &Path) -> io::Result<HashMap<(u64, u64), (Stamp, Hash)>> {
        let bytes = std::fs::read(path)?;
        let Some(records) = bytes.strip_prefix(MAGIC) else {
            return Ok(HashMap::new());
        };
        let mut known = HashMap::with_capacity(records.len() / RECORD);
        for record in records.chunks_exact(RECORD) {
            let u64_at =
                |at: usize| u64::from_le_bytes(record[at..at + 8].try_into().unwrap_or_default());
            let u32_at =
                |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap_or_default());
            let stamp = Stamp {
                size: u64_at(16),
                mtime: (u64_at(24) as i64, u32_at(32)),
                ctime: (u64_at(36) as i64, u32_at(44)),
            };
            let hash: Hash = record[48..80].try_into().unwrap_or_default();
            known.insert((u64_at(0), u64_at(8)), (stamp, hash));
        }
        Ok(known)
    }

    /// The digest of a regular file.
    pub(super) fn file(&self, dir: BorrowedFd<'_>, entry: &Entry) -> io::Result<Hash> {
        let key = (entry.stat.st_dev, entry.stat.st_ino);
        let stamp = Stamp::of(&entry.stat);
        {
            let mut state = self.lock();
            if let Some((known, hash)) = state
                .seen
                .get(&key)
                .or_else(|| state.known.get(&key))
                .copied()
                && known == stamp
            {
                state.seen.insert(key, (stamp, hash));
                return Ok(hash);
            }
        }
        let hash = file(dir, &entry.name)?;
        if stamp.settled() {
            let mut state = self.lock();
            state.seen.insert(key, (stamp, hash));
            state.changed = true;
        }
        Ok(hash)
    }

    /// Writes the index back when it changed; a failure only costs time later.
    pub(super) fn save(&self) {
        let Some(path) = &self.path else { return };
        let state = self.lock();
        if !state.changed {
            return;
        }
        let mut all = state.known.clone();
        all.extend(state.seen.iter().map(|(key, value)| (*key, *value)));
        // Files that are gone leave their records behind; drop them when they outnumber the living.
        let all = if all.len() > 2 * state.seen.len() + 1000 {
            &state.seen
        } else {
            &all
        };
        let mut bytes = Vec::with_capacity(MAGIC.len() + all.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for ((dev, ino), (stamp, hash)) in all {
            bytes.extend_from_slice(&dev.to_le_bytes());
            bytes.extend_from_slice(&ino.to_le_bytes());
            bytes.extend_from_slice(&stamp.size.to_le_bytes());
            for (seconds, nanoseconds) in [stamp.mtime, stamp.ctime] {
                bytes.extend_from_slice(&seconds.to_le_bytes());
                bytes.extend_from_slice(&nanoseconds.to_le_bytes());
            }
            bytes.extend_from_slice(hash);
        }
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        let written = std::fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| std::fs::rename(&temporary, path));
        if let Err(error) = written {
            tracing::debug!(%error, path = %path.display(), "cannot write the digest index");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The digest of a file's content.
fn file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Hash> {
    let mut file = tree::open_file(dir, name)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Adds an entry, and everything below it, to a digest. `path` is its path in the tree, `shown` its name relative
/// to the thing that is copied.
pub(super) fn add_entry(
    fields: &mut Fields,
    tree: &Tree,
    dir: BorrowedFd<'_>,
    entry: &Entry,
    path: &OsStr,
    shown: &OsStr,
    skip: &dyn Fn(&OsStr) -> bool,
) -> io::Result<()> {
    let kind = entry.kind();
    if kind == FileType::Socket {
        return Ok(());
    }
    fields.add(shown.as_bytes());
    fields.add(&(entry.stat.st_mode & !0o170000).to_le_bytes());
    fields.add(&kind.as_raw_mode().to_le_bytes());
    if tree.view == View::Image {
        fields
            .add(&entry.stat.st_uid.to_le_bytes())
            .add(&entry.stat.st_gid.to_le_bytes());
        if kind == FileType::RegularFile || kind == FileType::Directory {
            for (name, value) in xattrs(dir, &entry.name)? {
                fields.add(&name).add(&value);
            }
        }
    }
    match kind {
        FileType::RegularFile => {
            let hash = match &tree.index {
                Some(index) => index.file(dir, entry)?,
                None => file(dir, &entry.name)?,
            };
            fields.add(&hash);
            fields.note(shown, entry.stat.st_mode, &hash);
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, &entry.name, Vec::new())?;
            fields.add(target.as_bytes());
            fields.note(shown, entry.stat.st_mode, target.as_bytes());
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            fields.add(&entry.stat.st_rdev.to_le_bytes());
        }
        FileType::Directory => {
            fields.note(shown, entry.stat.st_mode, b"");
            let inner = tree::open_dir(dir, &entry.name)?;
            add_children(fields, tree, inner.as_fd(), path, shown, skip)?;
        }
        _ => {}
    }
    Ok(())
}

/// Adds what is in a directory.
pub(super) fn add_children(
    fields: &mut Fields,
    tree: &Tree,
    dir: BorrowedFd<'_>,
    path: &OsStr,
    shown: &OsStr,
    skip: &dyn Fn(&OsStr) -> bool,
) -> io::Result<()> {
    for entry in tree::entries(dir)? {
        let (path, shown) = (
            tree::join(path, &entry.name),
            tree::join(shown, &entry.name),
        );
        if visible(tree, &entry, &path, &shown, skip, dir)? {
            add_entry(fields, tree, dir, &entry, &path, &shown, skip)?;
        }
    }
    fields.add(b"/");
    Ok(())
}

/// Whether an entry takes part: not ignored, or a directory with something below it that is not.
pub(super) fn visible(
    tree: &Tree,
    entry: &Entry,
    path: &OsStr,
    shown: &OsStr,
    skip: &dyn Fn(&OsStr) -> bool,
    dir: BorrowedFd<'_>,
) -> io::Result<bool> {
    let excluded = !tree.sees(path) || skip(shown);
    if !excluded {
        return Ok(true);
    }
    if entry.kind() != FileType::Directory || !(tree.sees(path) || tree.enters(path)) {
        return Ok(false);
    }
    let inner = tree::open_dir(dir, &entry.name)?;
    for child in tree::entries(inner.as_fd())? {
        if visible(
            tree,
            &child,
            &tree::join(path, &child.name),
            &tree::join(shown, &child.name),
            skip,
            inner.as_fd(),
        )? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Extended attributes that are part of a file, sorted by name; those of overlayfs itself are not.
pub(super) fn xattrs(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    // There is no `*at` form: the path goes through the directory's own entry in /proc.
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    let mut names = vec![0u8; 4096];
    let length = loop {
        match rustix::fs::llistxattr(path.as_slice(), &mut names) {
            Ok(length) => break length,
            Err(rustix::io::Errno::RANGE) if names.len() < 1 << 20 => {
                names.resize(names.len() * 4, 0)
            }
            Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    };
    let mut found = Vec::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0u8; 1 << 16];
        match rustix::fs::lgetxattr(path.as_slice(), name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_vec(), value));
            }
            Err(rustix::io::Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn digest(path: &Path) -> Hash {
        let tree = Tree::open(path, View::Context).unwrap();
        let mut fields = Fields::new("test");
        add_children(
            &mut fields,
            &tree,
            tree.root(),
            OsStr::new(""),
            OsStr::new(""),
            &|_| false,
        )
        .unwrap();
        fields.finish()
    }

    #[test]
    fn content_and_mode_count_and_times_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "one").unwrap();
        let before = digest(dir.path());
        std::fs::File::open(&file)
            .unwrap()
            .set_modified(UNIX_EPOCH)
            .unwrap();
        assert_eq!(digest(dir.path()), before);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(digest(dir.path()), before);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(digest(dir.path()), before);
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        assert_ne!(digest(dir.path()), before);
    }

    #[test]
    fn the_index_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let index = Index::open(Some(path.clone()));
        let stamp = Stamp {
            size: 3,
            mtime: (-5, 7),
            ctime: (9, 1),
        };
        index.lock().seen.insert((1, 2), (stamp, [7; 32]));
        index.lock().changed = true;
        index.save();
        assert_eq!(
            Index::read(&path).unwrap().get(&(1, 2)),
            Some(&(stamp, [7; 32]))
        );
        std::fs::write(&path, b"rubbish").unwrap();
        assert!(Index::read(&path).unwrap().is_empty());
    }
}

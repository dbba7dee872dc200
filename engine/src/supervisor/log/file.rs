//! The log file and its predecessors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::LogLimits;

/// A log file that is appended to and rotated: `x`, then `x.1`, `x.2` …
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limits: LogLimits,
}

impl LogFile {
    /// Opens it at its end.
    pub fn open(path: PathBuf, limits: LogLimits) -> io::Result<Self> {
        let file = open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            limits,
        })
    }

    /// Rotates if `length` more bytes would not fit any more. An entry is never split.
    pub fn make_room(&mut self, length: usize) -> io::Result<()> {
        let Some(max) = self.limits.max_size else {
            return Ok(());
        };
        if self.size == 0 || self.size + length as u64 <= max {
            return Ok(());
        }
        self.rotate()
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |n: u32| -> PathBuf {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{n}"));
            name.into()
        };
        if self.limits.max_file == 1 {
            // A new file instead of an empty one: whoever reads the old one can read it to its end.
            ignore_missing(fs::remove_file(&self.path))?;
        }
        // Up to the first free number: a gap, which a supervisor killed amid a rotation leaves, is
        // filled.
        let last = self.limits.max_file.saturating_sub(1);
        let free = (1..last).find(|n| !numbered(*n).exists()).unwrap_or(last);
        for n in (1..free).rev() {
            ignore_missing(fs::rename(numbered(n), numbered(n + 1)))?;
        }
        if self.limits.max_file > 1 {
            ignore_missing(fs::rename(&self.path, numbered(1)))?;
        }
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }

    /// How large it may become.
    pub fn largest(&self) -> usize {
        let most = self.limits.max_size.and_then(|max| max.try_into().ok());
        most.unwrap_or(usize::MAX)
    }

    /// Where the next byte goes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        match written {
            Ok(()) => self.size += bytes.len() as u64,
            // Half an entry would spoil the next; without it the file stays well-formed.
            Err(_) => self.cut(self.size)?,
        }
        written
    }

    /// Forgets everything behind `size`.
    pub fn cut(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.size = size;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_move_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let limits = LogLimits {
            max_size: Some(4),
            max_file: 3,
        };
        let mut log = LogFile::open(path.clone(), limits).unwrap();
        for text in ["aaaa", "bbbb", "cccc", "dddd"] {
            log.make_room(text.len()).unwrap();
            log.write(text.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (read("log"), read("log.1"), read("log.2")),
            ("dddd".into(), "cccc".into(), "bbbb".into())
        );
        assert!(!dir.path().join("log.3").exists());
        // As a supervisor killed between two renames leaves it: nothing more is dropped.
        fs::rename(dir.path().join("log.1"), dir.path().join("log.2")).unwrap();
        log.make_room(4).unwrap();
        assert_eq!(
            (read("log.1"), read("log.2")),
            ("dddd".into(), "cccc".into())
        );
        log.write(b"eeee").unwrap();
        let again = LogFile::open(path, limits).unwrap();
        assert_eq!(again.size(), 4);
    }
}

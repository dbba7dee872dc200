//! The log file and its predecessors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::LogOptions;
use super::json::{self, Stream};
use super::packed::Packing;
use crate::container::record::Record;

/// How much of the former file is compressed with each write: more than a batch has, so that it is done long before
/// the next one is full.
const PACKED_AT_ONCE: u64 = 256 << 10;

/// A log file that is appended to and rotated: `x`, then `x.1`, `x.2` …, or `x.1.gz`, `x.2.gz` …
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    options: LogOptions,
    /// What every entry carries besides its text, as JSON.
    attributes: Option<String>,
    packing: Option<Packing>,
}

impl LogFile {
    /// Opens it at its end.
    pub fn open(
        path: PathBuf,
        options: LogOptions,
        attributes: Option<String>,
    ) -> io::Result<Self> {
        let file = open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            options,
            attributes,
            packing: None,
        })
    }

    /// Opens that of a container.
    pub fn of(record: &Record, path: PathBuf) -> io::Result<Self> {
        let options = LogOptions::parse(&record.spec.log.options).unwrap_or_default();
        let attributes = options.attributes(record);
        Self::open(path, options, attributes)
    }

    /// What ends entries that are written now.
    pub fn tail(&self, stream: Stream) -> Vec<u8> {
        json::tail(stream, self.attributes.as_deref(), Timestamp::now())
    }

    /// Bytes that may wait to be written.
    pub fn buffer(&self) -> Option<usize> {
        self.options.buffer.and_then(|bytes| bytes.try_into().ok())
    }

    /// Rotates if `length` more bytes would not fit any more. An entry is never split.
    pub fn make_room(&mut self, length: usize) -> io::Result<()> {
        let Some(max) = self.options.max_size else {
            return Ok(());
        };
        if self.size == 0 || self.size + length as u64 <= max {
            return Ok(());
        }
        self.rotate()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.pack(u64::MAX);
        if self.options.max_file == 1 {
            // A new file instead of an empty one: whoever reads the old one can read it to its end.
            ignore_missing(fs::remove_file(&self.path))?;
        }
        // Up to the first free number: a gap, which a supervisor killed amid a rotation leaves, is
        // filled.
        let last = self.options.max_file.saturating_sub(1);
        let is_free = |n: &u32| !self.former(*n).exists() && !self.packed(*n).exists();
        let free = (1..last).find(is_free).unwrap_or(last);
        for n in (1..free).rev() {
            self.shift(n)?;
        }
        if self.options.max_file > 1 {
            ignore_missing(fs::remove_file(self.packed(1)))?;
            ignore_missing(fs::rename(&self.path, self.former(1)))?;
        }
        self.file = open(&self.path)?;
        self.size = 0;
        if self.options.compress {
            let part = self.named(".part");
            match Packing::begin(self.former(1), part, self.packed(1)) {
                Ok(packing) => self.packing = Some(packing),
                Err(error) => eprintln!("the former log stays as it is: {error}"),
            }
        }
        Ok(())
    }

    /// Gives a former file the next number.
    fn shift(&self, n: u32) -> io::Result<()> {
        let (plain, packed) = (self.former(n), self.packed(n));
        for old in [self.former(n + 1), self.packed(n + 1)] {
            ignore_missing(fs::remove_file(old))?;
        }
        if plain.exists() {
            // Both are there where a supervisor was killed before it had removed the first.
            ignore_missing(fs::remove_file(packed))?;
            return fs::rename(plain, self.former(n + 1));
        }
        ignore_missing(fs::rename(packed, self.packed(n + 1)))
    }

    fn named(&self, end: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(end);
        name.into()
    }

    fn former(&self, n: u32) -> PathBuf {
        self.named(&format!(".{n}"))
    }

    fn packed(&self, n: u32) -> PathBuf {
        self.named(&format!(".{n}.gz"))
    }

    /// Compresses so many bytes more of the former file.
    fn pack(&mut self, bytes: u64) {
        let Some(packing) = &mut self.packing else {
            return;
        };
        match packing.advance(bytes) {
            Ok(false) => {}
            Ok(true) => self.packing = None,
            Err(error) => {
                eprintln!("the former log stays as it is: {error}");
                self.packing = None;
            }
        }
    }

    /// How large it may become.
    pub fn largest(&self) -> usize {
        let most = self.options.max_size.and_then(|max| max.try_into().ok());
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
            Ok(()) => {
                self.size += bytes.len() as u64;
                self.pack(PACKED_AT_ONCE);
            }
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
    use super::super::packed;
    use super::*;

    #[test]
    fn old_files_move_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let options = LogOptions {
            max_size: Some(4),
            max_file: 3,
            ..LogOptions::default()
        };
        let mut log = LogFile::open(path.clone(), options.clone(), None).unwrap();
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
        let again = LogFile::open(path, options, None).unwrap();
        assert_eq!(again.size(), 4);
    }

    #[test]
    fn former_files_are_compressed_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions {
            max_size: Some(4),
            max_file: 3,
            compress: true,
            ..LogOptions::default()
        };
        let path = dir.path().join("log");
        let mut log = LogFile::open(path.clone(), options.clone(), None).unwrap();
        let mut write = |text: &str| {
            log.make_room(text.len()).unwrap();
            log.write(text.as_bytes()).unwrap();
        };
        let unpacked = |name: &str| {
            let packed = File::open(dir.path().join(name)).unwrap();
            io::read_to_string(packed::unpack(packed).unwrap()).unwrap()
        };
        for text in ["aaaa", "bbbb", "cccc", "dddd"] {
            write(text);
        }
        let names = || {
            let entries = fs::read_dir(dir.path()).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|e| e.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["log", "log.1.gz", "log.2.gz"]);
        assert_eq!(
            (unpacked("log.1.gz"), unpacked("log.2.gz")),
            ("cccc".into(), "bbbb".into())
        );
        // Killed before the first was removed, and amid a compression.
        fs::write(dir.path().join("log.1"), "cccc").unwrap();
        fs::write(dir.path().join("log.part"), "half").unwrap();
        write("eeee");
        assert_eq!(names(), ["log", "log.1.gz", "log.2"]);
        assert_eq!(unpacked("log.1.gz"), "dddd");
    }
}

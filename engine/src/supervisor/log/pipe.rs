//! Moving a pipe's content into the log without a moment in which only we have it.
//!
//! The content is looked at with tee(2), which leaves it in the pipe; its lines go into the file;
//! then it is taken out. See [`super::journal`] for what a successor makes of a batch that was cut short.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::file::LogFile;
use super::journal::{self, Batch, Journal};
use super::json::{self, Stream};

/// Bytes of one batch: the default capacity of a pipe.
const BATCH: usize = 64 << 10;

/// One output pipe on its way into the log.
#[derive(Debug)]
pub struct LogPipe {
    stream: Stream,
    pipe: OwnedFd,
    look: (OwnedFd, OwnedFd),
    journal: Journal,
    /// The beginning of a line whose end has not come yet; it is in the journal too.
    begun: Vec<u8>,
}

/// What a step found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// These bytes, now in the log.
    Moved(Vec<u8>),
    /// Nothing more for now.
    Empty,
}

impl LogPipe {
    /// Over the reading side of a pipe (non-blocking), finishing what a predecessor began.
    pub fn open(
        stream: Stream,
        pipe: OwnedFd,
        journal: &Path,
        log: &mut LogFile,
    ) -> io::Result<Self> {
        let (journal, left) = Journal::open(journal)?;
        if let Some(bytes) = log.buffer() {
            // The kernel has a limit, and rounds up; a smaller buffer is no error.
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, bytes);
        }
        let look = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut this = Self {
            stream,
            pipe,
            look,
            journal,
            begun: left.before,
        };
        if let Some((batch, after)) = left.unfinished {
            this.recover(batch, after, log)?;
        }
        Ok(this)
    }

    /// Completes or forgets the batch a predecessor was killed in.
    fn recover(&mut self, batch: Batch, after: Vec<u8>, log: &mut LogFile) -> io::Result<()> {
        let whole = batch.offset + batch.entries;
        if log.size() < whole {
            // Not, or only partly, in the file: it is still in the pipe, and is moved again.
            if log.size() > batch.offset {
                log.cut(batch.offset)?;
            }
            return self.journal.undone();
        }
        let mut head = self.look(batch.taken as usize)?;
        if head.len() as u64 == batch.taken && journal::hash(&head) == batch.hash {
            self.take(&mut head)?;
        }
        self.begun = after;
        self.journal.done()
    }

    /// Moves one batch.
    pub fn step(&mut self, log: &mut LogFile) -> io::Result<Step> {
        let mut seen = self.look(BATCH)?;
        if seen.is_empty() {
            return Ok(Step::Empty);
        }
        let mut entries = Vec::new();
        let tail = log.tail(self.stream);
        // A batch that fills a file by itself is cut short, so that no file outgrows its limit by
        // more than one entry. What is left stays in the pipe.
        let enough = log.largest();
        let before = self.begun.len();
        let mut text = self.begun.clone();
        text.extend_from_slice(&seen);
        let done = json::encode_lines(&text, &tail, enough, &mut entries);
        let after = if entries.len() < enough {
            text.split_off(done)
        } else {
            seen.truncate(done - before);
            Vec::new()
        };
        log.make_room(entries.len())?;
        let batch = Batch {
            offset: log.size(),
            entries: entries.len() as u64,
            taken: seen.len() as u64,
            hash: journal::hash(&seen),
        };
        self.journal.begin(batch, &after)?;
        crate::state::crash_point("log.announced");
        if !entries.is_empty() {
            log.write(&entries)?;
        }
        crate::state::crash_point("log.written");
        self.take(&mut seen)?;
        crate::state::crash_point("log.taken");
        self.begun = after;
        self.journal.done()?;
        Ok(Step::Moved(seen))
    }

    /// Writes the beginning of a line whose end will never come.
    pub fn finish(&mut self, log: &mut LogFile) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let mut entry = Vec::new();
        json::entry(&self.begun, &log.tail(self.stream), &mut entry);
        log.make_room(entry.len())?;
        let batch = Batch {
            offset: log.size(),
            entries: entry.len() as u64,
            taken: 0,
            hash: journal::hash(&[]),
        };
        self.journal.begin(batch, &[])?;
        log.write(&entry)?;
        self.begun.clear();
        self.journal.done()
    }

    /// Looks at the first bytes, at most `limit`, without taking them.
    fn look(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut seen = Vec::new();
        let count = match rustix::pipe::tee(&self.pipe, &self.look.1, limit, SpliceFlags::NONBLOCK)
        {
            Ok(count) => count,
            Err(Errno::AGAIN) => return Ok(seen),
            Err(error) => return Err(error.into()),
        };
        seen.reserve_exact(count);
        while seen.len() < count {
            let read = rustix::io::read(&self.look.0, rustix::buffer::spare_capacity(&mut seen))?;
            if read == 0 {
                break;
            }
        }
        Ok(seen)
    }

    /// Takes bytes out that have been looked at, into memory that holds them already.
    ///
    /// All of them or, when the process is killed, none: a successor knows no third case. That is
    /// why it is one read(2): while a pipe has content, reading it looks at no signal, and the
    /// memory is there. splice(2) looks at them between one buffer of the pipe and the next.
    fn take(&self, seen: &mut [u8]) -> io::Result<()> {
        let taken = rustix::io::retry_on_intr(|| rustix::io::read(&self.pipe, &mut *seen))?;
        if taken < seen.len() {
            return Err(io::Error::other("a pipe gave less than it had shown"));
        }
        Ok(())
    }
}

impl AsFd for LogPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogOptions;
    use super::*;

    struct Rig {
        dir: tempfile::TempDir,
        writer: OwnedFd,
        reader: OwnedFd,
    }

    impl Rig {
        fn new() -> Self {
            let (reader, writer) =
                rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
            Self {
                dir: tempfile::tempdir().unwrap(),
                writer,
                reader,
            }
        }
        fn say(&self, text: &[u8]) {
            assert_eq!(rustix::io::write(&self.writer, text).unwrap(), text.len());
        }
        fn open(&self) -> (LogPipe, LogFile) {
            let mut log =
                LogFile::open(self.dir.path().join("log"), LogOptions::default(), None).unwrap();
            let pipe = LogPipe::open(
                Stream::Stdout,
                self.reader.try_clone().unwrap(),
                &self.dir.path().join("journal"),
                &mut log,
            )
            .unwrap();
            (pipe, log)
        }
        fn files(&self) -> Vec<u64> {
            let mut sizes: Vec<_> = std::fs::read_dir(self.dir.path())
                .unwrap()
                .flatten()
                .filter(|file| file.file_name().to_string_lossy().starts_with("log"))
                .map(|file| file.metadata().unwrap().len())
                .collect();
            sizes.sort_unstable();
            sizes
        }
        fn lines(&self) -> String {
            std::fs::read_to_string(self.dir.path().join("log"))
                .unwrap()
                .lines()
                .map(|line| {
                    let value: serde_json::Value = serde_json::from_str(line).unwrap();
                    value["log"].as_str().unwrap().to_owned()
                })
                .collect()
        }
    }

    #[test]
    fn lines_arrive_and_a_beginning_waits_for_its_end() {
        let rig = Rig::new();
        let (mut pipe, mut log) = rig.open();
        rig.say(b"one\ntw");
        assert_eq!(
            pipe.step(&mut log).unwrap(),
            Step::Moved(b"one\ntw".to_vec())
        );
        assert_eq!(pipe.step(&mut log).unwrap(), Step::Empty);
        assert_eq!(rig.lines(), "one\n");
        // A successor knows the beginning.
        drop(pipe);
        let (mut pipe, mut log) = rig.open();
        rig.say(b"o\nthree");
        pipe.step(&mut log).unwrap();
        pipe.finish(&mut log).unwrap();
        assert_eq!(rig.lines(), "one\ntwo\nthree");
    }

    #[test]
    fn a_batch_cut_short_is_neither_lost_nor_repeated() {
        for stage in ["announced", "half written", "written", "taken"] {
            let rig = Rig::new();
            let (mut pipe, mut log) = rig.open();
            rig.say(b"zero\nbe");
            pipe.step(&mut log).unwrap();
            rig.say(b"gun\none\ntwo\nthr");
            // What `step` does, up to the stage.
            let mut seen = pipe.look(BATCH).unwrap();
            let mut text = pipe.begun.clone();
            text.extend_from_slice(&seen);
            let mut entries = Vec::new();
            let tail = log.tail(Stream::Stdout);
            let done = json::encode_lines(&text, &tail, usize::MAX, &mut entries);
            let batch = Batch {
                offset: log.size(),
                entries: entries.len() as u64,
                taken: seen.len() as u64,
                hash: journal::hash(&seen),
            };
            pipe.journal.begin(batch, &text[done..]).unwrap();
            match stage {
                "announced" => {}
                "half written" => log.write(&entries[..10]).unwrap(),
                _ => log.write(&entries).unwrap(),
            }
            if stage == "taken" {
                pipe.take(&mut seen).unwrap();
            }
            drop((pipe, log));
            let (mut pipe, mut log) = rig.open();
            rig.say(b"ee\n");
            while pipe.step(&mut log).unwrap() != Step::Empty {}
            assert_eq!(rig.lines(), "zero\nbegun\none\ntwo\nthree\n", "{stage}");
        }
    }

    #[test]
    fn no_file_outgrows_its_limit_by_more_than_an_entry() {
        let rig = Rig::new();
        let options = LogOptions {
            max_size: Some(1000),
            max_file: 100,
            ..LogOptions::default()
        };
        let mut log = LogFile::open(rig.dir.path().join("log"), options, None).unwrap();
        let (mut pipe, _) = rig.open();
        let text: String = (0..500).map(|n| format!("{n}\n")).collect();
        rig.say(text.as_bytes());
        while pipe.step(&mut log).unwrap() != Step::Empty {}
        let files = rig.files();
        assert!(
            files.len() > 10 && files.iter().all(|size| *size < 1100),
            "{files:?}"
        );
    }
}

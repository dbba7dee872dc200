//! Reading json-file logs: the last lines, a span of time, and following across rotation.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use serde::Deserialize;

use crate::supervisor::log::json::Stream;

use super::control::{Connection, Request, WaitFor};

/// Which entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Only so many of the last ones.
    pub tail: Option<usize>,
    /// Go on with what comes, until the container ends for good.
    pub follow: bool,
}

/// One entry: a line, or a piece of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was read.
    pub time: Timestamp,
    /// Where from.
    pub stream: Stream,
    /// Its text, with the line's end if it had one.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    log: String,
    stream: Stream,
    time: Timestamp,
}

fn parse(line: &[u8]) -> Option<LogEntry> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Some(LogEntry {
        time: line.time,
        stream: line.stream,
        bytes: line.log.into_bytes(),
    })
}

/// Entries, oldest first.
#[derive(Debug)]
pub struct LogReader {
    query: LogQuery,
    path: PathBuf,
    ready: VecDeque<LogEntry>,
    /// Older files still to be read, oldest first, then the present one.
    files: VecDeque<BufReader<File>>,
    /// Inode of the last of them.
    inode: u64,
    begun: Vec<u8>,
    watch: Option<Watch>,
    ended: bool,
}

#[derive(Debug)]
struct Watch {
    notify: OwnedFd,
    /// Ends when the container has: its supervisor closes it. `None` for one that does not run.
    life: Option<Connection>,
}

impl LogReader {
    /// Opens a container's log. To follow it, `life` is a connection to its supervisor.
    pub fn open(path: PathBuf, query: LogQuery, life: Option<Connection>) -> io::Result<Self> {
        let watch = if query.follow {
            let notify =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            if let Some(dir) = path.parent() {
                let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
                inotify::add_watch(&notify, dir, events)?;
            }
            let life = life.and_then(|mut life| {
                life.send(&Request::Wait {
                    until: WaitFor::Removed,
                })
                .is_ok()
                .then_some(life)
            });
            Some(Watch { notify, life })
        } else {
            None
        };
        let mut reader = Self {
            query,
            ready: VecDeque::new(),
            files: VecDeque::new(),
            inode: 0,
            begun: Vec::new(),
            watch,
            ended: false,
            path,
        };
        reader.open_files()?;
        if let Some(tail) = query.tail {
            reader.seek_tail(tail)?;
        }
        Ok(reader)
    }

    fn open_files(&mut self) -> io::Result<()> {
        let mut old = Vec::new();
        for n in 1.. {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{n}"));
            match File::open(Path::new(&name)) {
                Ok(file) => old.push(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        self.files = old.into_iter().rev().map(BufReader::new).collect();
        self.open_present()
    }

    fn open_present(&mut self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(file) => {
                self.inode = file.metadata()?.ino();
                self.files.push_back(BufReader::new(file));
                Ok(())
            }
            // It never said anything.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Leaves only the last `count` entries before the end, reading backwards.
    fn seek_tail(&mut self, count: usize) -> io::Result<()> {
        // A bound on time counts first: then the entries must be looked at.
        if self.query.since.is_some() || self.query.until.is_some() {
            let mut last = VecDeque::new();
            while let Some(entry) = self.next_present()? {
                last.push_back(entry);
                if last.len() > count {
                    last.pop_front();
                }
            }
            self.ready = last;
            return Ok(());
        }
        let mut missing = count;
        let mut skip = 0;
        for (index, file) in self.files.iter_mut().enumerate().rev() {
            let (start, found) = start_of_last(file.get_mut(), missing)?;
            file.seek(SeekFrom::Start(start))?;
            missing -= found;
            if missing == 0 {
                skip = index;
                break;
            }
        }
        self.files.drain(..skip);
        Ok(())
    }

    /// The next entry that is there, without waiting.
    fn next_present(&mut self) -> io::Result<Option<LogEntry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let last = self.files.len() <= 1;
            let Some(file) = self.files.front_mut() else {
                return Ok(None);
            };
            file.read_until(b'\n', &mut self.begun)?;
            if self.begun.last() != Some(&b'\n') {
                // An entry that is being written is seen whole the next time.
                if last {
                    return Ok(None);
                }
                self.begun.clear();
                self.files.pop_front();
                continue;
            }
            let entry = parse(&self.begun);
            self.begun.clear();
            let Some(entry) = entry else { continue };
            if self.query.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if self.query.until.is_some_and(|until| entry.time > until) {
                self.ended = true;
                return Ok(None);
            }
            return Ok(Some(entry));
        }
    }

    /// Whether the file has been rotated away; then its successor is queued.
    fn rotated(&mut self) -> io::Result<bool> {
        let Ok(present) = std::fs::metadata(&self.path) else {
            return Ok(false);
        };
        if self.files.is_empty() || present.ino() != self.inode {
            let before = self.files.len();
            self.open_present()?;
            return Ok(self.files.len() > before);
        }
        // Cut to nothing (`max-file=1`): begin again.
        if let Some(file) = self.files.back_mut()
            && file.stream_position()? > present.size()
        {
            file.seek(SeekFrom::Start(0))?;
            self.begun.clear();
            return Ok(true);
        }
        Ok(false)
    }

    fn next_entry(&mut self) -> io::Result<Option<LogEntry>> {
        loop {
            if let Some(entry) = self.next_present()? {
                return Ok(Some(entry));
            }
            if self.ended {
                return Ok(None);
            }
            if self.rotated()? {
                continue;
            }
            let Some(watch) = &mut self.watch else {
                return Ok(None);
            };
            let Some(life) = &mut watch.life else {
                // It does not run: one last look, as it may have said something on its way out.
                self.watch = None;
                continue;
            };
            let mut fds = [
                PollFd::new(&watch.notify, PollFlags::IN),
                PollFd::new(life, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let over = !fds[1].revents().is_empty();
            let mut sink = [0u8; 4096];
            while rustix::io::read(&watch.notify, &mut sink).is_ok_and(|read| read > 0) {}
            if over {
                watch.life = None;
            }
        }
    }
}

impl Iterator for LogReader {
    type Item = io::Result<LogEntry>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// Where the last `count` lines of a file begin, and how many there are.
fn start_of_last(file: &mut File, count: usize) -> io::Result<(u64, usize)> {
    const BLOCK: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    if count == 0 {
        return Ok((end, 0));
    }
    let mut found = 0;
    let mut block = Vec::new();
    let size = end;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.resize((end - start) as usize, 0);
        file.read_exact(&mut block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let after = start + at as u64 + 1;
            // The newline at the very end closes the last line and begins none.
            if after == size {
                continue;
            }
            found += 1;
            if found == count {
                return Ok((after, found));
            }
        }
        end = start;
    }
    Ok((0, if size > 0 { found + 1 } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(text: &str, second: u32) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T00:00:{second:02}Z\"}}\n"
        )
    }

    fn texts(path: &Path, query: LogQuery) -> Vec<String> {
        LogReader::open(path.to_owned(), query, None)
            .unwrap()
            .map(|entry| {
                String::from_utf8(entry.unwrap().bytes)
                    .unwrap()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn old_files_come_first_and_tail_counts_across_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(dir.path().join("log.2"), line("a", 1)).unwrap();
        std::fs::write(dir.path().join("log.1"), line("b", 2) + &line("c", 3)).unwrap();
        std::fs::write(&path, line("d", 4) + &line("e", 5)).unwrap();
        let all = LogQuery::default();
        assert_eq!(texts(&path, all), ["a", "b", "c", "d", "e"]);
        for (count, expected) in [(0, ""), (1, "e"), (3, "cde"), (5, "abcde"), (9, "abcde")] {
            let query = LogQuery {
                tail: Some(count),
                ..all
            };
            assert_eq!(texts(&path, query).concat(), expected, "{count}");
        }
        let since = LogQuery {
            since: Some("2026-11-21T00:00:03Z".parse().unwrap()),
            until: Some("2026-11-21T00:00:04Z".parse().unwrap()),
            ..all
        };
        assert_eq!(texts(&path, since), ["c", "d"]);
        assert_eq!(
            texts(
                &path,
                LogQuery {
                    tail: Some(1),
                    ..since
                }
            ),
            ["d"]
        );
        assert!(texts(&dir.path().join("none"), all).is_empty());
    }

    #[test]
    fn following_survives_rotation_and_ends_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, line("a", 1)).unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let query = LogQuery {
            follow: true,
            ..LogQuery::default()
        };
        let reader = LogReader::open(path.clone(), query, Some(Connection::new(ours))).unwrap();
        let thread = std::thread::spawn(move || {
            reader
                .map(|entry| {
                    String::from_utf8(entry.unwrap().bytes)
                        .unwrap()
                        .trim_end()
                        .to_owned()
                })
                .collect::<String>()
        });
        let append = |text: &str| {
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap();
            file.write_all(line(text, 2).as_bytes()).unwrap();
        };
        append("b");
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        append("c");
        drop(theirs);
        assert_eq!(thread.join().unwrap(), "abc");
    }
}

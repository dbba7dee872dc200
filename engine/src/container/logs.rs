//! Reading json-file logs: the last lines, a span of time, and following across rotation.

mod files;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde::Deserialize;

use crate::supervisor::log::json::Stream;

use self::files::Opened;
use super::control::{Connection, Received, Request, WaitFor};

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
    /// What the log's options have it carry.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    log: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    stream: Stream,
    time: Timestamp,
}

fn parse(line: &[u8]) -> Option<LogEntry> {
    let line: Line = serde_json::from_slice(line).ok()?;
    Some(LogEntry {
        time: line.time,
        stream: line.stream,
        bytes: line.log.into_bytes(),
        attributes: line.attrs,
    })
}

/// Finds the supervisor of a container that runs; asked again when the one that was found is
/// gone, because another may have taken over.
pub type FindSupervisor<'a> = Box<dyn FnMut() -> Option<Connection> + 'a>;

/// Entries, oldest first.
pub struct LogReader<'a> {
    query: LogQuery,
    path: PathBuf,
    ready: VecDeque<LogEntry>,
    /// Older files still to be read, oldest first, then the present one.
    files: VecDeque<Opened>,
    /// Inode of the last of them.
    inode: u64,
    begun: Vec<u8>,
    watch: Option<Watch<'a>>,
    ended: bool,
}

struct Watch<'a> {
    notify: OwnedFd,
    supervisor: FindSupervisor<'a>,
    /// Ends when the container has: its supervisor closes it. `None` for one that does not run.
    life: Option<Connection>,
}

impl Watch<'_> {
    /// Watches whoever supervises the container now, if anybody does.
    fn find_life(&mut self) {
        let until = WaitFor::Removed;
        self.life = loop {
            let Some(mut life) = (self.supervisor)() else {
                break None;
            };
            // One that was killed at this moment has a successor, or will have one.
            if life.send(&Request::Wait { until }).is_ok() {
                break Some(life);
            }
        };
    }

    /// Waits for a change of the files or the end of the supervisor.
    fn wait(&mut self, limit: Option<&Timespec>) -> io::Result<()> {
        let Some(life) = &mut self.life else {
            return Ok(());
        };
        let mut fds = [
            PollFd::new(&self.notify, PollFlags::IN),
            PollFd::new(life, PollFlags::IN),
        ];
        match poll(&mut fds, limit) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let over = !fds[1].revents().is_empty();
        let mut sink = [0u8; 4096];
        while rustix::io::read(&self.notify, &mut sink).is_ok_and(|read| read > 0) {}
        if over {
            // A supervisor that only ended may have a successor; one that answered has removed
            // the container.
            match life.receive() {
                Ok(Received::Reply(_)) => self.life = None,
                _ => self.find_life(),
            }
        }
        Ok(())
    }
}

impl<'a> LogReader<'a> {
    /// Opens a container's log. Following it ends when there is no supervisor any more.
    pub fn open(
        path: PathBuf,
        query: LogQuery,
        supervisor: FindSupervisor<'a>,
    ) -> io::Result<Self> {
        let watch = if query.follow {
            let notify =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            if let Some(dir) = path.parent() {
                let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
                inotify::add_watch(&notify, dir, events)?;
            }
            let mut watch = Watch {
                notify,
                supervisor,
                life: None,
            };
            watch.find_life();
            Some(watch)
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
        reader.open_files(None)?;
        if let Some(tail) = query.tail {
            reader.seek_tail(tail)?;
        }
        Ok(reader)
    }

    /// Queues the files that are younger than the one with the inode `after`: several when it was
    /// rotated more than once meanwhile, all when it is gone.
    fn open_files(&mut self, after: Option<u64>) -> io::Result<()> {
        loop {
            let listed = files::list(&self.path)?;
            let younger: Vec<_> = listed
                .iter()
                .take_while(|file| Some(file.inode) != after)
                .collect();
            let mut files = Vec::new();
            for listed in &younger {
                match File::open(&listed.path) {
                    Ok(file) if listed.packed => files.push(Opened::Packed(file)),
                    Ok(file) if file.metadata()?.ino() == listed.inode => {
                        files.push(Opened::Plain(BufReader::new(file)));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            // A rotation while they were opened would hide one of them. The inode of an open
            // file is not given to another.
            if files.len() < younger.len() || files::list(&self.path)? != listed {
                continue;
            }
            if let Some(listed) = younger.first() {
                self.inode = listed.inode;
            }
            self.files.extend(files.into_iter().rev());
            return Ok(());
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
            let file = file.plain()?;
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
            file.plain()?.read_until(b'\n', &mut self.begun)?;
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

    /// Whether the file has been rotated away; then its successors are queued.
    fn rotated(&mut self) -> io::Result<bool> {
        let Ok(present) = std::fs::metadata(&self.path) else {
            return Ok(false);
        };
        if self.files.is_empty() || present.ino() != self.inode {
            let before = self.files.len();
            let after = (before > 0).then_some(self.inode);
            self.open_files(after)?;
            return Ok(self.files.len() > before);
        }
        // Half an entry that a full disk refused the rest of is cut off again.
        if let Some(file) = self.files.back_mut() {
            let file = file.plain()?;
            let position = file.stream_position()?;
            if position > present.size() {
                let before = position.saturating_sub(self.begun.len() as u64);
                file.seek(SeekFrom::Start(before.min(present.size())))?;
                self.begun.clear();
                return Ok(true);
            }
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
            if watch.life.is_none() {
                // It does not run: one last look, as it may have said something on its way out.
                self.watch = None;
                continue;
            }
            let left = self.query.until.map(|until| {
                // Negative ones do not convert: what is not there by now was not written in time.
                Duration::try_from(until.duration_since(Timestamp::now())).ok()
            });
            let limit = match left {
                Some(None) => return Ok(None),
                Some(Some(left)) => Timespec::try_from(left).ok(),
                None => None,
            };
            watch.wait(limit.as_ref())?;
        }
    }
}

impl Iterator for LogReader<'_> {
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
    use std::path::Path;

    fn line(text: &str, second: u32) -> String {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T00:00:{second:02}Z\"}}\n"
        )
    }

    fn texts(path: &Path, query: LogQuery) -> Vec<String> {
        LogReader::open(path.to_owned(), query, Box::new(|| None))
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
    fn a_rotation_cut_short_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for (name, text) in [
            ("log.1", "c"),
            ("log.2", "b"),
            ("log.5", "a"),
            ("log.x", "no"),
        ] {
            std::fs::write(dir.path().join(name), line(text, 1)).unwrap();
        }
        assert_eq!(texts(&path, LogQuery::default()), ["a", "b", "c"]);
        std::fs::write(&path, line("d", 1)).unwrap();
        assert_eq!(texts(&path, LogQuery::default()), ["a", "b", "c", "d"]);
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
    fn a_reader_that_fell_behind_goes_through_every_file_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let options = crate::supervisor::LogOptions {
            max_size: Some(1),
            max_file: 3,
            ..Default::default()
        };
        let mut log =
            crate::supervisor::log::file::LogFile::open(path.clone(), options, None).unwrap();
        let mut say = |text: &str| {
            log.make_room(1).unwrap();
            log.write(line(text, 1).as_bytes()).unwrap();
        };
        say("a");
        let mut reader = LogReader::open(path, LogQuery::default(), Box::new(|| None)).unwrap();
        let mut next = || {
            let entry = reader.next_present().unwrap().or_else(|| {
                reader.rotated().unwrap();
                reader.next_present().unwrap()
            })?;
            Some(
                String::from_utf8(entry.bytes)
                    .unwrap()
                    .trim_end()
                    .to_owned(),
            )
        };
        assert_eq!(next().as_deref(), Some("a"));
        // Two rotations at once, the file it reads still kept.
        say("b");
        say("c");
        assert_eq!(next().as_deref(), Some("b"));
        assert_eq!(next().as_deref(), Some("c"));
        // So many that it is gone: on with the oldest that is left.
        for text in ["d", "e", "f", "g", "h"] {
            say(text);
        }
        let rest: Vec<String> = std::iter::from_fn(&mut next).collect();
        assert_eq!(rest, ["f", "g", "h"]);
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
        let log = path.clone();
        let thread = std::thread::spawn(move || {
            let mut ours = Some(ours);
            let find = move || ours.take().map(Connection::new);
            LogReader::open(log, query, Box::new(find))
                .unwrap()
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

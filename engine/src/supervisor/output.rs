//! Output on its way: from pipes or a terminal into the log and to attached clients.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::sys::readiness;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::container::control::Kind;

use super::clients::Clients;
use super::log::file::LogFile;
use super::log::json::{self, Stream};
use super::log::pipe::{LogPipe, Step};

/// The log of a container; `None` when nothing is kept.
pub type Log = Rc<RefCell<Option<LogFile>>>;

/// Bytes read at once where there is no log to be careful about.
const CHUNK: usize = 32 << 10;

/// Batches moved before other tasks get their turn.
const TURN: usize = 16;

fn kind(stream: Stream) -> Kind {
    match stream {
        Stream::Stdout => Kind::Stdout,
        Stream::Stderr => Kind::Stderr,
    }
}

/// Where bytes come from.
pub enum Source {
    /// A pipe with a log.
    Logged(LogPipe),
    /// A pipe without.
    Plain(OwnedFd),
}

impl Source {
    fn step(&mut self, log: &Log) -> io::Result<Step> {
        match self {
            Self::Plain(fd) => read(fd.as_fd()),
            Self::Logged(pipe) => match log.borrow_mut().as_mut() {
                Some(file) => pipe.step(file),
                None => read(pipe.as_fd()),
            },
        }
    }

    fn finish(&mut self, log: &Log) -> io::Result<()> {
        match (self, log.borrow_mut().as_mut()) {
            (Self::Logged(pipe), Some(file)) => pipe.finish(file),
            _ => Ok(()),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Logged(pipe) => pipe.as_fd(),
            Self::Plain(fd) => fd.as_fd(),
        }
    }
}

fn read(fd: BorrowedFd<'_>) -> io::Result<Step> {
    let mut bytes = vec![0; CHUNK];
    match rustix::io::read(fd, &mut bytes) {
        Ok(0) | Err(Errno::AGAIN) => Ok(Step::Empty),
        Ok(count) => {
            bytes.truncate(count);
            Ok(Step::Moved(bytes))
        }
        Err(error) => Err(error.into()),
    }
}

/// A pipe whose content can be moved: nothing more has to be opened for that.
pub struct Tap {
    stream: Stream,
    source: Source,
    /// Of a copy of the descriptor, so that the source itself can be changed meanwhile.
    ready: AsyncFd<OwnedFd>,
}

impl Tap {
    /// Watches `source`.
    pub fn new(stream: Stream, source: Source) -> io::Result<Self> {
        let copy = source.as_fd().try_clone_to_owned()?;
        Ok(Self {
            stream,
            source,
            ready: readiness::register(copy, Interest::READABLE)?,
        })
    }
}

/// Moves a pipe's content until `end` says that its writers are gone, and then the rest.
pub async fn pump(
    tap: Tap,
    log: Log,
    clients: Rc<Clients>,
    mut end: watch::Receiver<bool>,
) -> io::Result<()> {
    let Tap {
        stream,
        mut source,
        ready,
    } = tap;
    loop {
        clients.room().await;
        let ending = *end.borrow();
        let guard = if ending {
            None
        } else {
            tokio::select! {
                guard = ready.readable() => Some(guard?),
                _ = end.changed() => continue,
            }
        };
        let mut moved = 0;
        let empty = loop {
            match source.step(&log) {
                Ok(Step::Empty) => break true,
                Ok(Step::Moved(bytes)) => clients.output(kind(stream), &bytes),
                Err(error) => {
                    // A full disk must not stop the container: what cannot be kept is shown and dropped.
                    eprintln!("log of {}: {error}; output is dropped", stream.as_str());
                    match read(source.as_fd())? {
                        Step::Empty => break true,
                        Step::Moved(bytes) => clients.output(kind(stream), &bytes),
                    }
                }
            }
            moved += 1;
            if moved == TURN {
                break false;
            }
        };
        if !empty {
            tokio::task::yield_now().await;
        } else if let Some(mut guard) = guard {
            // Readiness that came after this guard was made is not cleared by it.
            guard.clear_ready();
        } else {
            return source.finish(&log);
        }
    }
}

/// Moves a terminal's output until all its other ends are closed or `end` says so.
pub async fn pump_terminal(
    terminal: Rc<AsyncFd<OwnedFd>>,
    log: Log,
    clients: Rc<Clients>,
    mut end: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut begun: Vec<u8> = Vec::new();
    loop {
        clients.room().await;
        let ending = *end.borrow();
        let guard = if ending {
            None
        } else {
            tokio::select! {
                guard = terminal.readable() => Some(guard?),
                _ = end.changed() => continue,
            }
        };
        match read(terminal.as_fd()) {
            Ok(Step::Moved(bytes)) => {
                clients.output(Kind::Stdout, &bytes);
                begun.extend_from_slice(&bytes);
                keep(&mut begun, &log, false);
            }
            Ok(Step::Empty) => match guard {
                Some(mut guard) => guard.clear_ready(),
                None => break,
            },
            // Every other end is closed: nothing comes any more, unless somebody opens one again.
            Err(_) if ending => break,
            Err(_) => {
                let _ = end.changed().await;
            }
        }
    }
    keep(&mut begun, &log, true);
    Ok(())
}

/// Writes the complete lines of `begun`, or all of it, and keeps the rest.
fn keep(begun: &mut Vec<u8>, log: &Log, all: bool) {
    let mut log = log.borrow_mut();
    let Some(file) = log.as_mut() else {
        begun.clear();
        return;
    };
    let tail = file.tail(Stream::Stdout);
    let mut entries = Vec::new();
    let done = json::encode_lines(begun, &tail, usize::MAX, &mut entries);
    begun.drain(..done);
    if all && !begun.is_empty() {
        json::entry(begun, &tail, &mut entries);
        begun.clear();
    }
    let written = file
        .make_room(entries.len())
        .and_then(|()| file.write(&entries));
    if let Err(error) = written {
        eprintln!("log of the terminal: {error}; output is dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::LogOptions;
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn every_line_arrives_while_the_writer_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (reader, writer) = rustix::pipe::pipe_with(
            rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK,
        )
        .unwrap();
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        rustix::fs::fcntl_setfl(&writer, flags - rustix::fs::OFlags::NONBLOCK).unwrap();
        let path = dir.path().join("log");
        let mut file = LogFile::open(
            path.clone(),
            LogOptions {
                max_size: None,
                max_file: 1,
                ..LogOptions::default()
            },
            None,
        )
        .unwrap();
        let pipe = LogPipe::open(Stream::Stdout, reader, &dir.path().join("j"), &mut file).unwrap();
        let (end, ended) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            use std::io::Write;
            let mut writer = std::fs::File::from(writer);
            for n in 0..50_000 {
                writeln!(writer, "line {n}").unwrap();
            }
            end.send_replace(true);
        });
        let log = Rc::new(RefCell::new(Some(file)));
        block_on(async {
            let tap = Tap::new(Stream::Stdout, Source::Logged(pipe)).unwrap();
            pump(tap, log, Rc::default(), ended).await.unwrap();
        });
        thread.join().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for (n, line) in text.lines().enumerate() {
            assert!(
                line.starts_with(&format!("{{\"log\":\"line {n}\\n\"")),
                "{line}"
            );
        }
        assert_eq!(text.lines().count(), 50_000);
    }
}

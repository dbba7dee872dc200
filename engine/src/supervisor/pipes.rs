//! The named pipes of a container's standard streams.
//!
//! Named, in the run directory, so that a replacement of a dead supervisor finds them; each is
//! held open by the keeper, so that their content outlives everybody else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::runtime::Stdio;

use super::log::json::Stream;

/// The keeper's side of the pipes.
#[derive(Debug)]
pub struct Pipes {
    run: PathBuf,
    open_stdin: bool,
    /// Both directions of both outputs: there is always a reader, so nobody gets SIGPIPE, and
    /// always a holder, so content is never thrown away.
    outputs: Vec<File>,
    /// Keeps standard input open while no client is attached.
    stdin: Option<File>,
}

fn path(run: &Path, stream: Stream) -> PathBuf {
    run.join(stream.as_str())
}

/// Where the journal of a stream is.
pub fn journal(run: &Path, stream: Stream) -> PathBuf {
    run.join(format!("{}.journal", stream.as_str()))
}

fn stdin_path(run: &Path) -> PathBuf {
    run.join("stdin")
}

fn make(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    match mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn both_ways(path: &Path) -> io::Result<File> {
    // Opening a FIFO for reading and writing never blocks (fifo(7)).
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

impl Pipes {
    /// Makes the pipes of a container without a terminal.
    pub fn make(run: &Path, open_stdin: bool) -> io::Result<Self> {
        let mut outputs = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let path = path(run, stream);
            make(&path)?;
            outputs.push(both_ways(&path)?);
        }
        if open_stdin {
            make(&stdin_path(run))?;
        }
        Ok(Self {
            run: run.to_owned(),
            open_stdin,
            outputs,
            stdin: None,
        })
    }

    /// None: the container has a terminal.
    pub fn none(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
            open_stdin: false,
            outputs: Vec::new(),
            stdin: None,
        }
    }

    /// What is held open.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().chain(&self.stdin).map(AsFd::as_fd)
    }

    /// The three descriptors of one start of the container.
    pub fn container_side(&mut self) -> io::Result<Stdio> {
        let write = |stream| -> io::Result<OwnedFd> {
            let file = OpenOptions::new()
                .write(true)
                .open(path(&self.run, stream))?;
            Ok(file.into())
        };
        let (stdout, stderr) = (write(Stream::Stdout)?, write(Stream::Stderr)?);
        let stdin: OwnedFd = if self.open_stdin {
            let path = stdin_path(&self.run);
            // Held both ways while the one-way sides are opened, or each would wait for the other.
            let holder = both_ways(&path)?;
            let reader = OpenOptions::new().read(true).open(&path)?;
            self.stdin = Some(OpenOptions::new().write(true).open(&path)?);
            drop(holder);
            reader.into()
        } else {
            File::open("/dev/null")?.into()
        };
        Ok(Stdio::Fds {
            stdin,
            stdout,
            stderr,
        })
    }

    /// Lets standard input end as soon as no client holds it open.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }
}

/// The supervisor's side of an output.
pub fn reader(run: &Path, stream: Stream) -> io::Result<OwnedFd> {
    both_ways(&path(run, stream)).map(OwnedFd::from)
}

/// The supervisor's side of standard input.
pub fn stdin_writer(run: &Path) -> io::Result<OwnedFd> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(stdin_path(run))
        .map(OwnedFd::from)
}

/// Whether there are pipes at all.
pub fn exist(run: &Path) -> bool {
    fs::symlink_metadata(path(run, Stream::Stdout)).is_ok()
}

//! The journal of events: one line of JSON each, appended by whoever causes one.
//!
//! It lives below the run directory, so it begins anew with each boot. Readers wait with
//! inotify; there is no daemon to ask.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde::{Deserialize, Serialize};

use crate::state::{Paths, StateError, failed};

use super::info::HealthStatus;
use super::record::Record;

/// A journal this long is begun anew; the old one is kept as `.1`.
const LIMIT: u64 = 4 << 20;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// `container`, `network`, `volume`, `image`.
    pub kind: String,
    /// What.
    #[serde(flatten)]
    pub action: Action,
    /// Of what: an id or a name.
    pub id: String,
    /// Its name, image and labels.
    pub attributes: BTreeMap<String, String>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
#[expect(missing_docs, reason = "Docker's own words")]
pub enum Action {
    Create,
    Start,
    Die { exit_code: u8 },
    Oom,
    Stop,
    Kill { signal: i32 },
    Pause,
    Unpause,
    Restart,
    Rename { old: String },
    Destroy,
    HealthStatus { status: HealthStatus },
    Remove,
    Update,
    Commit,
    Export,
    Connect,
    Disconnect,
    Attach,
    ExecCreate { command: String },
    ExecStart { command: String },
    ExecDie { exit_code: u8 },
    Mount,
    Unmount,
    Pull,
    Push,
    Tag,
    Untag,
    Delete,
    Load,
    Import,
    Save,
}

impl Action {
    /// Docker's word, with what it says after a colon.
    #[must_use]
    pub fn word(&self) -> String {
        let word = match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Die { .. } => "die",
            Self::Oom => "oom",
            Self::Stop => "stop",
            Self::Kill { .. } => "kill",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Restart => "restart",
            Self::Rename { .. } => "rename",
            Self::Destroy => "destroy",
            Self::HealthStatus { status } => return format!("health_status: {}", status.as_str()),
            // Docker's volumes and networks are destroyed.
            Self::Remove => "destroy",
            Self::Update => "update",
            Self::Commit => "commit",
            Self::Export => "export",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Attach => "attach",
            Self::ExecCreate { command } => return format!("exec_create: {command}"),
            Self::ExecStart { command } => return format!("exec_start: {command}"),
            Self::ExecDie { .. } => "exec_die",
            Self::Mount => "mount",
            Self::Unmount => "unmount",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::Load => "load",
            Self::Import => "import",
            Self::Save => "save",
        };
        word.to_owned()
    }

    /// What it adds to the attributes.
    fn attribute(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Die { exit_code } | Self::ExecDie { exit_code } => {
                Some(("exitCode", exit_code.to_string()))
            }
            Self::Kill { signal } => Some(("signal", signal.to_string())),
            Self::Rename { old } => Some(("oldName", old.clone())),
            _ => None,
        }
    }
}

impl Event {
    /// Of a container, now.
    pub fn container(record: &Record, action: Action) -> Self {
        let mut attributes = record.resolved.labels.clone();
        attributes.insert("name".to_owned(), record.name.to_string());
        attributes.insert("image".to_owned(), record.spec.image.clone());
        Self {
            time: Timestamp::now(),
            kind: "container".to_owned(),
            action,
            id: record.id.to_string(),
            attributes,
        }
    }

    /// With a further attribute.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.attributes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Of a volume, now.
    pub fn volume(name: &str, action: Action) -> Self {
        Self::of("volume", name, action).with("driver", "local")
    }

    /// Of a network, now.
    pub fn network(id: &str, name: &str, driver: &str, action: Action) -> Self {
        let event = Self::of("network", id, action);
        event.with("name", name).with("type", driver)
    }

    /// Its attributes and those of what happened.
    #[must_use]
    pub fn all_attributes(&self) -> BTreeMap<String, String> {
        let more = self.action.attribute();
        let mut all = self.attributes.clone();
        all.extend(more.map(|(key, value)| (key.to_owned(), value)));
        all
    }

    /// Of a network, volume or image, now.
    pub fn of(kind: &str, id: &str, action: Action) -> Self {
        Self {
            time: Timestamp::now(),
            kind: kind.to_owned(),
            action,
            id: id.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    /// Appends it to the journal.
    pub fn append(&self, paths: &Paths) -> Result<(), StateError> {
        let path = paths.events();
        let mut line = serde_json::to_vec(self).map_err(|source| StateError::Damaged {
            path: path.clone(),
            source,
        })?;
        line.push(b'\n');
        let open = || {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
        };
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::state::create_private_dir(paths.run())?;
                open()
            }
            other => other,
        }
        .map_err(failed("open", &path))?;
        // One write of one line to a file opened for appending is not mixed with another's.
        file.write_all(&line).map_err(failed("append to", &path))?;
        if file.metadata().is_ok_and(|metadata| metadata.len() > LIMIT) {
            let mut old = path.clone().into_os_string();
            old.push(".1");
            let _ = std::fs::rename(&path, old);
        }
        Ok(())
    }
}

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only with these labels.
    pub labels: Vec<(String, Option<String>)>,
    /// Also what happened since then, as far as it is known; `None` begins now.
    pub since: Option<Timestamp>,
}

impl EventFilter {
    fn matches(&self, event: &Event) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == event.kind)
            && self.since.is_none_or(|since| event.time >= since)
            && self.labels.iter().all(|(key, wanted)| {
                event
                    .attributes
                    .get(key)
                    .is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
    }
}

/// Events as they happen.
#[derive(Debug)]
pub struct EventStream {
    path: PathBuf,
    filter: EventFilter,
    file: File,
    inode: u64,
    /// An incomplete last line.
    begun: Vec<u8>,
    ready: VecDeque<Event>,
    notify: OwnedFd,
}

impl EventStream {
    /// Begins to listen.
    pub fn open(paths: &Paths, filter: EventFilter) -> Result<Self, StateError> {
        let path = paths.events();
        crate::state::create_private_dir(paths.run())?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        let notify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|error| failed("watch", &path)(error.into()))?;
        // The directory, for the day the journal is begun anew; the file, for its lines.
        for (what, flags) in [
            (path.as_path(), inotify::WatchFlags::MODIFY),
            (paths.run(), inotify::WatchFlags::CREATE),
        ] {
            inotify::add_watch(&notify, what, flags)
                .map_err(|error| failed("watch", what)(error.into()))?;
        }
        let mut stream = Self {
            inode: inode(&file),
            path,
            file,
            filter,
            begun: Vec::new(),
            ready: VecDeque::new(),
            notify,
        };
        if stream.filter.since.is_none() {
            let path = stream.path.clone();
            stream
                .file
                .seek(SeekFrom::End(0))
                .map_err(failed("read", &path))?;
        } else {
            stream.fill()?;
        }
        Ok(stream)
    }

    /// The next event; `None` when none came in time. Without a timeout it waits for ever.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, StateError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            self.fill()?;
            if !self.ready.is_empty() {
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    fn wait(&self, left: Option<Duration>) -> Result<(), StateError> {
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(
            &mut [PollFd::new(&self.notify, PollFlags::IN)],
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed("watch", &self.path)(error.into())),
        }
        let mut sink = [0u8; 4096];
        while rustix::io::read(&self.notify, &mut sink).is_ok_and(|read| read > 0) {}
        Ok(())
    }

    fn fill(&mut self) -> Result<(), StateError> {
        let path = self.path.clone();
        self.file
            .read_to_end(&mut self.begun)
            .map_err(failed("read", &path))?;
        self.take_lines();
        // Begun anew? Then the rest of the old one has just been read.
        if let Ok(file) = OpenOptions::new().read(true).open(&path)
            && inode(&file) != self.inode
        {
            self.inode = inode(&file);
            self.file = file;
            let _ = inotify::add_watch(&self.notify, &path, inotify::WatchFlags::MODIFY);
            self.file
                .read_to_end(&mut self.begun)
                .map_err(failed("read", &path))?;
            self.take_lines();
        }
        Ok(())
    }

    fn take_lines(&mut self) {
        while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            // A line of another version is skipped, not fatal.
            if let Ok(event) = serde_json::from_slice::<Event>(&line)
                && self.filter.matches(&event)
            {
                self.ready.push_back(event);
            }
        }
    }
}

impl AsFd for EventStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }
}

fn inode(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_hears_what_comes_after() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::below(dir.path());
        Event::of("volume", "old", Action::Create)
            .append(&paths)
            .unwrap();
        let mut stream = EventStream::open(&paths, EventFilter::default()).unwrap();
        assert_eq!(stream.next(Some(Duration::ZERO)).unwrap(), None);
        let event = Event::of("volume", "new", Action::Remove);
        event.append(&paths).unwrap();
        assert_eq!(
            stream.next(Some(Duration::from_secs(5))).unwrap(),
            Some(event)
        );
        std::fs::rename(paths.events(), dir.path().join("old")).unwrap();
        let event = Event::of("volume", "third", Action::Remove);
        event.append(&paths).unwrap();
        assert_eq!(
            stream.next(Some(Duration::from_secs(5))).unwrap(),
            Some(event)
        );
    }
}

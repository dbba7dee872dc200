//! Containers as a caller handles them: each call settles what a dead supervisor has left, then
//! talks to a live one or works on the records.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::image::ImageStore;
use crate::spec::ContainerSpec;
use crate::state::{ContainerId, Paths, crash_point};
use crate::supervisor::role::{self, Mode};
use crate::sys::{Executable, RoleChild};
use crate::volume::VolumeStore;

use super::attach::{AttachOptions, Attachment};
use super::control::{Connection, Received, Reply, Request};
use super::create::Created;
use super::events::{Action, Event};
use super::exec::{Attendance, ExecSession, ExecSpec, Streams};
use super::info::{Container, ListFilter};
use super::live::{self, Standing};
use super::logs::{LogQuery, LogReader};
use super::record::Record;
use super::store::ContainerStore;
use super::{ContainerError, create, exec};

/// All containers of one root. Cheap to make; safe to use from several threads.
#[derive(Debug)]
pub struct Containers {
    pub(super) store: ContainerStore,
    executable: OnceLock<Executable>,
    /// Connections to supervisors that we started and that wait for their start. With them
    /// ends a container that nobody started.
    pub(super) parked: Mutex<HashMap<ContainerId, Connection>>,
    /// Roles that we started and left: reaped when they have ended.
    children: Mutex<Vec<RoleChild>>,
}

/// How long a supervisor may take to begin or to end, on a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many supervisors may die in a row while they take over.
const ADOPTIONS: usize = 5;

pub(super) fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing here leaves a map half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Containers {
    /// Of these paths.
    pub fn open(paths: &Paths) -> Self {
        Self {
            store: ContainerStore::open(paths),
            executable: OnceLock::new(),
            parked: Mutex::default(),
            children: Mutex::default(),
        }
    }

    /// Their records.
    pub fn store(&self) -> &ContainerStore {
        &self.store
    }

    /// The volumes beside them.
    pub fn volumes(&self) -> &VolumeStore {
        self.store.volumes()
    }

    /// Our own executable, in a form that no container can write to.
    pub fn executable(&self) -> Result<&Executable, ContainerError> {
        if let Some(executable) = self.executable.get() {
            return Ok(executable);
        }
        let executable = Executable::current().map_err(|source| ContainerError::Host {
            action: "open",
            path: "/proc/self/exe".to_owned(),
            source,
        })?;
        Ok(self.executable.get_or_init(|| executable))
    }

    /// Makes a container.
    pub fn create(
        &self,
        images: &ImageStore,
        spec: ContainerSpec,
    ) -> Result<Created, ContainerError> {
        let created = create::create(&self.store, images, spec)?;
        if let Ok(Some(record)) = self.store.record(&created.id) {
            self.tell(&record, Action::Create);
        }
        Ok(created)
    }

    /// Tells whoever listens to events.
    pub fn tell(&self, record: &Record, action: Action) {
        // The journal is a courtesy; see `Status::emit`.
        let _ = Event::container(record, action).append(self.store.paths());
    }

    /// All containers that fit, the newest first, as Docker lists them.
    pub fn list(&self, filter: &ListFilter) -> Result<Vec<Container>, ContainerError> {
        let mut found = Vec::new();
        for id in self.store.ids()? {
            let Some(record) = self.store.record(&id)? else {
                // A courtesy: the list is right without it.
                let _ = self.sweep_one(&id);
                continue;
            };
            if !filter.matches_labels(&record.resolved.labels) {
                continue;
            }
            let container = self.observe(record)?;
            if filter.all || container.state.status.is_up() {
                found.push(container);
            }
        }
        found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(found)
    }

    /// One container.
    pub fn inspect(&self, reference: &str) -> Result<Container, ContainerError> {
        let id = self.store.find(reference)?;
        self.observe(self.store.read(&id)?)
    }

    pub(super) fn observe(&self, record: Record) -> Result<Container, ContainerError> {
        self.settle(&record.id)?;
        Ok(live::container(&self.store, record)?)
    }

    /// Replaces a supervisor that died. One whose replacements die as well is given up.
    pub(super) fn settle(&self, id: &ContainerId) -> Result<Standing, ContainerError> {
        for _ in 0..ADOPTIONS {
            let standing = live::standing(&self.store, id)?;
            if !matches!(standing, Standing::Orphaned(_)) {
                return Ok(standing);
            }
            let mut connection = self.spawn(id, Mode::Adopt)?;
            // Whoever else adopts at this moment is as good as ours.
            match connection.receive() {
                Ok(Received::Reply(Reply::Failed(failure)))
                    if failure.kind != crate::error::ErrorKind::Conflict =>
                {
                    return Err(failure.into());
                }
                Ok(_) => {}
                Err(source) => return Err(self.talk(id)(source)),
            }
        }
        Err(self.lost(id))
    }

    fn spawn(&self, id: &ContainerId, mode: Mode) -> Result<Connection, ContainerError> {
        let (connection, child) = role::spawn(&self.store, self.executable()?, id, mode)?;
        self.reap_later(child);
        Ok(connection)
    }

    fn reap_later(&self, child: RoleChild) {
        let mut children = guard(&self.children);
        children.retain(|child| {
            !matches!(
                crate::sys::process::try_wait(child.pidfd.as_fd()),
                Ok(Some(_))
            )
        });
        children.push(child);
    }

    fn talk(&self, id: &ContainerId) -> impl Fn(std::io::Error) -> ContainerError + use<> {
        let name = id.short().to_owned();
        move |source| ContainerError::Host {
            action: "talk to the supervisor of",
            path: name.clone(),
            source,
        }
    }

    /// Does everything up to the moment before the program runs.
    pub fn prepare(&self, reference: &str) -> Result<Vec<String>, ContainerError> {
        let id = self.store.find(reference)?;
        if guard(&self.parked).contains_key(&id) {
            return Ok(Vec::new());
        }
        match self.settle(&id)? {
            Standing::Idle => {}
            _ => return Ok(Vec::new()),
        }
        let mut connection = self.launch(&id)?;
        let warnings = self.prepared(&mut connection, &id)?;
        guard(&self.parked).insert(id, connection);
        crash_point("prepare.parked");
        Ok(warnings)
    }

    fn launch(&self, id: &ContainerId) -> Result<Connection, ContainerError> {
        crash_point("prepare.spawn");
        self.spawn(id, Mode::Launch)
    }

    /// What a supervisor that was launched says first.
    fn prepared(
        &self,
        connection: &mut Connection,
        id: &ContainerId,
    ) -> Result<Vec<String>, ContainerError> {
        match connection.receive().map_err(self.talk(id))? {
            Received::Reply(Reply::Prepared { warnings }) => Ok(warnings),
            Received::Reply(Reply::Failed(failure)) => Err(failure.into()),
            _ => Err(self.lost(id)),
        }
    }

    fn lost(&self, id: &ContainerId) -> ContainerError {
        let name = self
            .store
            .record(id)
            .ok()
            .flatten()
            .map_or_else(|| id.short().to_owned(), |record| record.name.to_string());
        ContainerError::Lost(name)
    }

    /// Starts a container; one that runs already is left alone. Returns what was asked for and
    /// is not so.
    pub fn start(&self, reference: &str) -> Result<Vec<String>, ContainerError> {
        let id = self.store.find(reference)?;
        self.start_id(&id, None).map(|(_, warnings)| warnings)
    }

    /// Attaches to a container and then starts it, so that no output is missed.
    pub fn start_attached(
        &self,
        reference: &str,
        options: &AttachOptions,
    ) -> Result<Attachment, ContainerError> {
        let id = self.store.find(reference)?;
        let (attachment, warnings) = self.start_id(&id, Some(*options))?;
        let mut attachment = attachment.ok_or_else(|| self.lost(&id))?;
        attachment.warnings = warnings;
        Ok(attachment)
    }

    pub(super) fn start_id(
        &self,
        id: &ContainerId,
        attach: Option<AttachOptions>,
    ) -> Result<(Option<Attachment>, Vec<String>), ContainerError> {
        let mut warnings = Vec::new();
        let mut told = attach.is_none();
        // A supervisor that is about to end refuses nobody: it is simply gone, and we launch another.
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // It may have been removed at its end.
            let record = self.store.read(id)?;
            let Some((mut connection, launched)) = self.supervisor_to_start(id)? else {
                continue;
            };
            if !std::mem::replace(&mut told, true) {
                self.tell(&record, Action::Attach);
            }
            // All orders at once, while the supervisor may still be making the container. One that
            // does not get them has said why, or is gone.
            let mut orders = attach.map_or_else(Vec::new, Attachment::requests);
            orders.push(Request::Start);
            let _ = connection.send_all(&orders);
            if launched {
                warnings.extend(self.prepared(&mut connection, id)?);
            }
            if let Some(options) = &attach
                && Attachment::confirm(&mut connection, options).is_err()
            {
                continue;
            }
            let mut attachment = Attachment::new(connection, self.store.files(id).run);
            match attachment.started() {
                Ok(Reply::Done) => return Ok((attach.map(|_| attachment), warnings)),
                Ok(Reply::Failed(failure)) => return Err(failure.into()),
                // The end of the run before, or of the supervisor.
                Ok(_) | Err(_) => {}
            }
        }
        Err(self.lost(id))
    }

    /// A connection for the order to start, and whether its supervisor was launched for it: that
    /// one tells first what became of the preparation. `None` when it must be looked for again.
    fn supervisor_to_start(
        &self,
        id: &ContainerId,
    ) -> Result<Option<(Connection, bool)>, ContainerError> {
        if let Some(parked) = guard(&self.parked).remove(id) {
            return Ok(Some((parked, false)));
        }
        if let Standing::Idle = self.settle(id)? {
            return Ok(Some((self.launch(id)?, true)));
        }
        match Connection::open(&self.store.files(id).run) {
            Ok(connection) => Ok(Some((connection, false))),
            Err(_) => self.wait_for_successor(id).map(|()| None),
        }
    }

    /// A supervisor holds the lock and does not listen: it begins, or it ends. Waits for either.
    pub(super) fn wait_for_successor(&self, id: &ContainerId) -> Result<(), ContainerError> {
        if matches!(live::standing(&self.store, id)?, Standing::Supervised(_)) {
            // Its lock is given up at its end; while it begins, its socket appears within milliseconds.
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// One request, one answer.
    pub(super) fn ask(
        &self,
        connection: &mut Connection,
        request: &Request,
        id: &ContainerId,
    ) -> Result<Reply, ContainerError> {
        if connection.send(request).is_err() {
            return Err(self.lost(id));
        }
        match connection.receive() {
            Ok(Received::Reply(Reply::Failed(failure))) => Err(failure.into()),
            Ok(Received::Reply(reply)) => Ok(reply),
            Ok(_) | Err(_) => Err(self.lost(id)),
        }
    }

    /// A connection to the supervisor of a container that runs.
    pub(super) fn connect(
        &self,
        id: &ContainerId,
        action: &'static str,
    ) -> Result<Connection, ContainerError> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.settle(id)? {
                Standing::Supervised(Some(live)) => {
                    use super::record::Phase;
                    if matches!(live.phase, Phase::Preparing | Phase::Parked) {
                        break;
                    }
                    match Connection::open(&self.store.files(id).run) {
                        Ok(connection) => return Ok(connection),
                        Err(_) => self.wait_for_successor(id)?,
                    }
                }
                Standing::Supervised(None) => self.wait_for_successor(id)?,
                Standing::Idle | Standing::Orphaned(_) => break,
            }
        }
        Err(self.not_running(id, action))
    }

    pub(super) fn not_running(&self, id: &ContainerId, action: &'static str) -> ContainerError {
        ContainerError::State {
            action,
            name: self
                .store
                .record(id)
                .ok()
                .flatten()
                .map_or_else(|| id.short().to_owned(), |record| record.name.to_string()),
            reason: "it is not running".to_owned(),
        }
    }

    pub(super) fn order(
        &self,
        reference: &str,
        action: &'static str,
        request: &Request,
    ) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let mut connection = self.connect(&id, action)?;
        match self.ask(&mut connection, request, &id) {
            Ok(_) => Ok(()),
            // It ended while we asked.
            Err(ContainerError::Lost(_)) => Err(self.not_running(&id, action)),
            Err(error) => Err(error),
        }
    }

    /// Attaches to a container that runs.
    pub fn attach(
        &self,
        reference: &str,
        options: &AttachOptions,
    ) -> Result<Attachment, ContainerError> {
        let id = self.store.find(reference)?;
        let connection = self.connect(&id, "attach to")?;
        let run = self.store.files(&id).run;
        let attached = Attachment::begin(connection, run, *options).map_err(self.talk(&id))?;
        self.tell(&self.store.read(&id)?, Action::Attach);
        Ok(attached)
    }

    /// Runs a further process in it, to be stayed with.
    pub fn exec(
        &self,
        reference: &str,
        spec: &ExecSpec,
        streams: Streams<'_>,
    ) -> Result<ExecSession, ContainerError> {
        self.start_exec(reference, spec, streams, Attendance::Stay)
    }

    /// Runs a further process in it and leaves it alone.
    pub fn exec_detached(&self, reference: &str, spec: &ExecSpec) -> Result<(), ContainerError> {
        let session = self.start_exec(reference, spec, Streams::default(), Attendance::Leave)?;
        self.reap_later(session.into_role());
        Ok(())
    }

    fn start_exec(
        &self,
        reference: &str,
        spec: &ExecSpec,
        streams: Streams<'_>,
        attendance: Attendance,
    ) -> Result<ExecSession, ContainerError> {
        let id = self.store.find(reference)?;
        let record = self.store.read(&id)?;
        // What the process needs of a supervisor, names above all, must be there.
        self.settle(&id)?;
        exec::start(
            &self.store,
            &record,
            self.executable()?,
            spec,
            streams,
            attendance,
        )
    }

    /// Reads its log.
    pub fn logs(&self, reference: &str, query: &LogQuery) -> Result<LogReader<'_>, ContainerError> {
        let id = self.store.find(reference)?;
        let record = self.store.read(&id)?;
        if record.spec.log.driver == crate::spec::LogDriver::None {
            return Err(ContainerError::Unsupported {
                option: "reading logs".to_owned(),
                reason: format!("container `{}` has the log driver `none`", record.name),
            });
        }
        let path = self.store.files(&id).log(&id);
        // One that was found may be killed before it is spoken to: only a container that does not
        // run has none.
        let supervisor = move || loop {
            match self.settle(&id).ok()? {
                Standing::Idle | Standing::Orphaned(_) => return None,
                Standing::Supervised(_) => match Connection::open(&self.store.files(&id).run) {
                    Ok(connection) => return Some(connection),
                    Err(_) => self.wait_for_successor(&id).ok()?,
                },
            }
        };
        LogReader::open(path.clone(), *query, Box::new(supervisor)).map_err(|source| {
            ContainerError::Host {
                action: "read",
                path: path.display().to_string(),
                source,
            }
        })
    }
}

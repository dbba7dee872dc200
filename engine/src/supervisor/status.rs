//! The supervisor's word on its container: the live record, the outcome, events.

use crate::container::ContainerStore;
use crate::container::events::{Action, Event};
use crate::container::record::{ExitRecord, Files, Live, Outcome, Phase, Record, VERSION};
use crate::container::{Health, HealthStatus, MountType};
use crate::state::{Durability, StateError, boot_id, remove_file, write_record};

/// The records a supervisor writes.
#[derive(Debug)]
pub struct Status {
    /// What it is.
    pub record: Record,
    /// Where things are.
    pub files: Files,
    /// What it does.
    pub live: Live,
    /// How it last ended.
    pub outcome: Outcome,
    store: ContainerStore,
}

impl Status {
    /// Before anything runs.
    pub fn new(store: &ContainerStore, record: Record) -> Result<Self, StateError> {
        let outcome = store.outcome(&record.id)?;
        Ok(Self {
            files: store.files(&record.id),
            live: Live {
                boot_id: boot_id().to_owned(),
                phase: Phase::Preparing,
                init: None,
                keeper: None,
                started_at: None,
                endpoints: Vec::new(),
                ports: Vec::new(),
                restart_count: 0,
                health: None,
                manually_stopped: false,
                stopping: false,
            },
            outcome,
            record,
            store: store.clone(),
        })
    }

    /// The records' home.
    pub fn store(&self) -> &ContainerStore {
        &self.store
    }

    /// Writes down what it does.
    pub fn save(&self) -> Result<(), StateError> {
        write_record(&self.files.live(), VERSION, &self.live, Durability::Boot)
    }

    /// Changes what it does.
    pub fn enter(&mut self, phase: Phase) -> Result<(), StateError> {
        self.live.phase = phase;
        self.save()
    }

    /// Writes down how it ended.
    pub fn save_outcome(&self) -> Result<(), StateError> {
        write_record(
            &self.files.outcome(),
            VERSION,
            &self.outcome,
            Durability::Process,
        )
    }

    /// It runs.
    pub fn started(&mut self) -> Result<(), StateError> {
        let now = jiff::Timestamp::now();
        self.live.started_at = Some(now);
        self.outcome.started_at = Some(now);
        self.outcome.error = None;
        self.outcome.manually_stopped = false;
        self.live.health = self.record.resolved.probe.as_ref().map(|_| Health {
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: Vec::new(),
        });
        self.enter(Phase::Running)?;
        self.emit_volumes(&Action::Mount);
        self.emit_networks(&Action::Connect);
        self.emit(Action::Start);
        // What a machine that loses its power would know of it.
        if !self.record.spec.auto_remove {
            self.save_outcome()?;
        }
        Ok(())
    }

    /// It ended.
    pub fn ended(
        &mut self,
        exit: ExitRecord,
        at: jiff::Timestamp,
        phase: Phase,
    ) -> Result<(), StateError> {
        self.outcome.exit = Some(exit);
        self.outcome.finished_at = Some(at);
        self.outcome.started_at = self.live.started_at.or(self.outcome.started_at);
        self.outcome.restart_count = self.live.restart_count;
        self.outcome.manually_stopped = self.live.manually_stopped;
        self.outcome.health = self.live.health.clone();
        self.save_outcome()?;
        self.live.init = None;
        self.live.stopping = false;
        self.enter(phase)?;
        if exit.oom_killed {
            self.emit(Action::Oom);
        }
        self.emit(Action::Die {
            exit_code: exit.code,
        });
        self.emit_networks(&Action::Disconnect);
        self.emit_volumes(&Action::Unmount);
        Ok(())
    }

    /// It does not run any more, as far as the run directory is concerned.
    pub fn forget(&self) -> Result<(), StateError> {
        remove_file(&self.files.live())
    }

    fn emit_volumes(&self, action: &Action) {
        for mount in &self.record.mounts {
            if let MountType::Volume { name, .. } = &mount.kind {
                let writable = (!mount.read_only).to_string();
                let event = Event::volume(name, action.clone()).with("read/write", &writable);
                self.emit_of(event.with("destination", &mount.target));
            }
        }
    }

    fn emit_networks(&self, action: &Action) {
        for endpoint in &self.live.endpoints {
            let (id, name) = (&endpoint.network_id, &endpoint.network);
            let driver = endpoint.driver.name();
            self.emit_of(Event::network(id, name, driver, action.clone()));
        }
    }

    fn emit_of(&self, event: Event) {
        let event = event.with("container", self.record.id.as_str());
        let _ = event.append(self.store.paths());
    }

    /// Tells whoever listens.
    pub fn emit(&self, action: Action) {
        // The journal is a courtesy: a container does not fail because nobody can be told.
        let _ = Event::container(&self.record, action).append(self.store.paths());
    }
}

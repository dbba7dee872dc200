//! `gantry-engine` behind the [`Backend`] trait: calls pass through, data is
//! translated in [`convert`], builds and transfers report through [`images`].

mod convert;
mod images;
mod lines;
pub mod steps;

pub use convert::{change, container};

use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use gantry_engine::container::archive::{LastLink, PathType};
use gantry_engine::container::events::EventFilter;
use gantry_engine::engine::{
    AttachEnd, AttachOptions, Engine, EngineOptions, ExecSpec as EngineExec, Interaction,
    ListFilter, LogQuery as EngineLogQuery, RemoveOptions, StopOptions, Streams, WaitFor,
};
use gantry_engine::error::{Classify as _, ErrorKind};
use gantry_engine::spec::{ContainerSpec, NetworkSpec};
use gantry_engine::state::Lock;

use super::{
    AttachSpec, Backend, BackendError, BuildCancel, BuildEvent, BuildSpec, Change, CommitOptions,
    Container, ContainerId, ExecSpec, Flow, FollowLink, Force, Image, ImageProgress, LogLine,
    LogQuery, Made, Network, Output, PathKind, ProcessTable, ProjectLock, Removal, Result,
    Subscription, Usage, Volume, VolumeSpec, Warnings,
};

/// The engine below `root` (default: the system's).
///
/// # Errors
/// When it cannot be opened.
pub fn open(root: Option<&Path>) -> Result<Arc<dyn Backend>> {
    let engine = Engine::open(EngineOptions {
        root: root.map(Path::to_owned),
    })
    .map_err(|error| BackendError::wrap("cannot open the engine", error))?;
    Ok(Arc::new(EngineBackend { engine }))
}

struct EngineBackend {
    engine: Engine,
}

/// Labels as the engine filters by them: an empty value matches any.
fn filter(labels: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let one = |(key, value): &(&str, &str)| {
        (
            (*key).to_owned(),
            (!value.is_empty()).then(|| (*value).to_owned()),
        )
    };
    labels.iter().map(one).collect()
}

fn carries(labels: &std::collections::BTreeMap<String, String>, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(key, value)| {
        labels
            .get(*key)
            .is_some_and(|found| value.is_empty() || found == value)
    })
}

impl Backend for EngineBackend {
    fn containers(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        let filter = ListFilter {
            all: true,
            labels: filter(labels),
        };
        let containers = self
            .engine
            .list(&filter)
            .map_err(|error| BackendError::wrap("cannot list containers", error))?;
        Ok(containers.into_iter().map(container).collect())
    }

    fn create(&self, spec: &ContainerSpec) -> Result<Made> {
        let name = spec.name.clone().unwrap_or_default();
        let created = self.engine.create(spec.clone()).map_err(|error| {
            BackendError::wrap(format!("cannot create container `{name}`"), error)
        })?;
        Ok(Made {
            id: ContainerId(created.id.to_string()),
            warnings: created.warnings,
        })
    }

    fn prepare(&self, id: &ContainerId) -> Result<Warnings> {
        self.engine.prepare(&id.0).map_err(|error| {
            let code = error.exit_code();
            BackendError {
                exit_code: Some(code),
                ..self.wrap("prepare", id, error)
            }
        })
    }

    fn start(&self, id: &ContainerId) -> Result<Warnings> {
        self.engine
            .start(&id.0)
            .map_err(|error| self.wrap("start", id, error))
    }

    fn stop(&self, id: &ContainerId, timeout: Option<Duration>) -> Result<()> {
        let options = StopOptions {
            timeout,
            ..StopOptions::default()
        };
        self.engine
            .stop(&id.0, &options)
            .map_err(|error| self.wrap("stop", id, error))
    }

    fn kill(&self, id: &ContainerId, signal: &str) -> Result<()> {
        self.engine
            .kill(&id.0, signal)
            .map_err(|error| self.wrap("kill", id, error))
    }

    fn pause(&self, id: &ContainerId) -> Result<()> {
        self.engine
            .pause(&id.0)
            .map_err(|error| self.wrap("pause", id, error))
    }

    fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.engine
            .unpause(&id.0)
            .map_err(|error| self.wrap("unpause", id, error))
    }

    fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.engine
            .rename(&id.0, name)
            .map_err(|error| self.wrap("rename", id, error))
    }

    fn remove(&self, id: &ContainerId, how: Removal) -> Result<()> {
        let options = RemoveOptions {
            force: how.force == Force::Yes,
            volumes: how.volumes == super::AnonymousVolumes::Remove,
        };
        self.engine
            .remove(&id.0, &options)
            .map_err(|error| self.wrap("remove", id, error))
    }

    fn top(&self, id: &ContainerId) -> Result<ProcessTable> {
        let table = self
            .engine
            .top(&id.0)
            .map_err(|error| self.wrap("look into", id, error))?;
        Ok(ProcessTable {
            titles: table.titles.iter().map(ToString::to_string).collect(),
            rows: table.rows,
        })
    }

    fn stats(&self, id: &ContainerId) -> Result<Usage> {
        let usage = self
            .engine
            .stats(&id.0)
            .map_err(|error| self.wrap("measure", id, error))?;
        let pid = self
            .engine
            .inspect(&id.0)
            .ok()
            .and_then(|container| container.state.pid);
        Ok(convert::usage(&usage, convert::traffic(pid)))
    }

    fn export(&self, id: &ContainerId, out: &mut dyn Write) -> Result<()> {
        self.engine
            .export(&id.0, out)
            .map_err(|error| self.wrap("export", id, error))
    }

    fn commit(&self, id: &ContainerId, options: &CommitOptions) -> Result<String> {
        self.engine
            .commit(&id.0, options)
            .map(|image| image.to_string())
            .map_err(|error| self.wrap("make an image of", id, error))
    }

    fn logs(
        &self,
        id: &ContainerId,
        query: &LogQuery,
        sink: &mut dyn FnMut(LogLine) -> Flow,
    ) -> Result<()> {
        let query = EngineLogQuery {
            since: query.since.and_then(|time| time.try_into().ok()),
            until: query.until.and_then(|time| time.try_into().ok()),
            tail: query.tail,
            follow: query.follow,
        };
        let reader = self
            .engine
            .logs(&id.0, &query)
            .map_err(|error| self.wrap("read the log of", id, error))?;
        let mut lines = lines::Lines::default();
        for entry in reader {
            let entry = entry.map_err(|error| BackendError::wrap("cannot read a log", error))?;
            if let Some(line) = lines.whole(convert::log_line(entry))
                && sink(line) == Flow::Stop
            {
                return Ok(());
            }
        }
        for line in lines.rest() {
            if sink(line) == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    fn subscribe(&self, labels: &[(&str, &str)], sink: Sender<Change>) -> Result<Subscription> {
        let filter = EventFilter {
            kind: Some("container".to_owned()),
            labels: filter(labels),
            since: None,
        };
        let mut events = self
            .engine
            .subscribe(filter)
            .map_err(|error| BackendError::wrap("cannot listen to events", error))?;
        // The thread looks up now and then whether anybody still listens.
        let listening = Arc::new(());
        let watched = Arc::downgrade(&listening);
        std::thread::spawn(move || {
            while watched.strong_count() > 0 {
                match events.next(Some(Duration::from_millis(200))) {
                    Ok(Some(event)) => {
                        if sink.send(change(event)).is_err() {
                            break;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!("events are no longer told: {error}");
                        break;
                    }
                }
            }
        });
        Ok(Subscription(Box::new(listening)))
    }

    fn past_changes(&self, labels: &[(&str, &str)], since: SystemTime) -> Result<Vec<Change>> {
        let failed = |error| BackendError::wrap("cannot read past events", error);
        let filter = EventFilter {
            kind: Some("container".to_owned()),
            labels: filter(labels),
            // A time before all that can be written is a wish for everything.
            since: Some(jiff::Timestamp::try_from(since).unwrap_or(jiff::Timestamp::MIN)),
        };
        let mut events = self
            .engine
            .subscribe(filter)
            .map_err(|error| BackendError::wrap("cannot read past events", error))?;
        let mut changes = Vec::new();
        while let Some(event) = events.next(Some(Duration::ZERO)).map_err(failed)? {
            changes.push(change(event));
        }
        Ok(changes)
    }

    fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<i32> {
        let engine_spec = exec_spec(spec);
        if spec.detach {
            self.engine
                .exec_detached(&id.0, &engine_spec)
                .map_err(|error| self.wrap("run a program in", id, error))?;
            return Ok(0);
        }
        let stdin = std::io::stdin();
        let streams = Streams {
            stdin: spec.stdin.then(|| stdin.as_fd()),
            stdout: Some(rustix::stdio::stdout()),
            stderr: Some(rustix::stdio::stderr()),
        };
        self.engine
            .exec(&id.0, &engine_spec, streams)
            .map(i32::from)
            .map_err(|error| {
                let exit_code = error.exec_exit_code();
                BackendError {
                    exit_code,
                    ..self.wrap("run a program in", id, error)
                }
            })
    }

    fn exec_quiet(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Output> {
        let io = |error| BackendError::wrap("cannot make a pipe", error);
        let (mut reader, writer) = std::io::pipe().map_err(io)?;
        let engine_spec = exec_spec(spec);
        std::thread::scope(|scope| {
            let running = scope.spawn(move || {
                let streams = Streams {
                    stdin: None,
                    stdout: Some(writer.as_fd()),
                    stderr: Some(writer.as_fd()),
                };
                self.engine.exec(&id.0, &engine_spec, streams)
            });
            let mut text = Vec::new();
            reader.read_to_end(&mut text).map_err(io)?;
            match running.join() {
                Ok(code) => Ok(Output {
                    code: code
                        .map(i32::from)
                        .map_err(|error| self.wrap("run a program in", id, error))?,
                    text,
                }),
                Err(_) => Err(BackendError::new(
                    ErrorKind::Internal,
                    "a thread ended unexpectedly",
                )),
            }
        })
    }

    fn attach(&self, id: &ContainerId, spec: &AttachSpec) -> Result<i32> {
        let container = self
            .engine
            .inspect(&id.0)
            .map_err(|error| self.wrap("look at", id, error))?;
        let options = AttachOptions {
            stdin: spec.stdin,
            stdout: true,
            stderr: true,
            size: container
                .spec
                .tty
                .then(|| Streams::of_process().size())
                .flatten(),
        };
        let attachment = if spec.start {
            self.engine.start_attached(&id.0, &options)
        } else {
            self.engine.attach(&id.0, &options)
        }
        .map_err(|error| {
            let code = error.exit_code();
            BackendError {
                exit_code: Some(code),
                ..self.wrap("start", id, error)
            }
        })?;
        let tty = container.spec.tty;
        let interaction = Interaction {
            tty,
            detach_keys: spec.detach_keys.clone(),
            signal_proxy: spec.signals,
        };
        let streams = Streams {
            stdin: spec.stdin.then(rustix::stdio::stdin),
            stdout: Some(rustix::stdio::stdout()),
            stderr: Some(rustix::stdio::stderr()),
        };
        let end = attachment
            .interact(streams, &interaction)
            .map_err(|error| self.wrap("stay attached to", id, error))?;
        Ok(match end {
            AttachEnd::Exited(exit) => exit.code.into(),
            AttachEnd::Detached => 0,
            // Its supervisor was killed; the record knows, or will know, how it ended.
            AttachEnd::Lost => {
                let waited = self
                    .engine
                    .wait(&id.0, WaitFor::NotRunning)
                    .map_err(|error| self.wrap("wait for", id, error))?;
                waited.state.exit_code.into()
            }
        })
    }

    fn archive_get(
        &self,
        id: &ContainerId,
        path: &str,
        follow: FollowLink,
        out: &mut dyn Write,
    ) -> Result<()> {
        let link = match follow {
            FollowLink::Yes => LastLink::Follow,
            FollowLink::No => LastLink::Keep,
        };
        let tree = self.tree(id)?;
        tree.get(path, link, out)
            .map_err(|error| self.wrap("read from", id, error))
    }

    fn archive_put(&self, id: &ContainerId, directory: &str, tar: &mut dyn Read) -> Result<()> {
        let tree = self.tree(id)?;
        tree.make_directory(directory)
            .and_then(|()| tree.put(directory, tar))
            .map_err(|error| self.wrap("write to", id, error))
    }

    fn path_kind(&self, id: &ContainerId, path: &str) -> Result<Option<PathKind>> {
        let kind = self
            .tree(id)?
            .kind(path)
            .map_err(|error| self.wrap("look into", id, error))?;
        Ok(kind.map(|kind| match kind {
            PathType::Directory => PathKind::Directory,
            PathType::File => PathKind::File,
        }))
    }

    fn delete_path(&self, id: &ContainerId, path: &str) -> Result<()> {
        self.tree(id)?
            .delete(path)
            .map_err(|error| self.wrap("delete in", id, error))
    }

    fn networks(&self, labels: &[(&str, &str)]) -> Result<Vec<Network>> {
        let networks = self
            .engine
            .networks()
            .list()
            .map_err(|error| BackendError::wrap("cannot list networks", error))?;
        let wanted = networks
            .into_iter()
            .filter(|network| carries(&network.labels, labels));
        Ok(wanted.map(convert::network).collect())
    }

    fn network(&self, name: &str) -> Result<Option<Network>> {
        match self.engine.networks().get(name) {
            Ok(network) => Ok(Some(convert::network(network))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::wrap(
                format!("cannot look at network `{name}`"),
                error,
            )),
        }
    }

    fn create_network(&self, spec: &NetworkSpec) -> Result<Option<String>> {
        let network = self.engine.create_network(spec).map_err(|error| {
            BackendError::wrap(format!("cannot create network `{}`", spec.name), error)
        })?;
        Ok(network.obstacle())
    }

    fn remove_network(&self, name: &str) -> Result<()> {
        self.engine
            .remove_network(name)
            .map(drop)
            .map_err(|error| BackendError::wrap(format!("cannot remove network `{name}`"), error))
    }

    fn volumes(&self, labels: &[(&str, &str)]) -> Result<Vec<Volume>> {
        let volumes = self
            .engine
            .volumes()
            .list()
            .map_err(|error| BackendError::wrap("cannot list volumes", error))?;
        let wanted = volumes
            .into_iter()
            .filter(|volume| carries(&volume.labels, labels));
        Ok(wanted
            .map(|volume| convert::volume(self.engine.volumes(), volume))
            .collect())
    }

    fn volume(&self, name: &str) -> Result<Option<Volume>> {
        match self.engine.volumes().get(name) {
            Ok(volume) => Ok(Some(convert::volume(self.engine.volumes(), volume))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackendError::wrap(
                format!("cannot look at volume `{name}`"),
                error,
            )),
        }
    }

    fn create_volume(&self, spec: &VolumeSpec) -> Result<()> {
        self.engine
            .create_volume(&convert::volume_spec(spec))
            .map(drop)
            .map_err(|error| {
                BackendError::wrap(format!("cannot create volume `{}`", spec.name), error)
            })
    }

    fn remove_volume(&self, name: &str) -> Result<()> {
        self.engine
            .remove_volume(name)
            .map_err(|error| BackendError::wrap(format!("cannot remove volume `{name}`"), error))
    }

    fn image(&self, reference: &str) -> Result<Option<Image>> {
        images::find(&self.engine, reference)
    }

    fn pull(
        &self,
        reference: &str,
        platform: Option<&str>,
        progress: &(dyn Fn(ImageProgress) + Sync),
    ) -> Result<String> {
        images::pull(&self.engine, reference, platform, progress)
    }

    fn push(&self, reference: &str, progress: &(dyn Fn(ImageProgress) + Sync)) -> Result<()> {
        images::push(&self.engine, reference, progress)
    }

    fn build(
        &self,
        request: &BuildSpec,
        cancel: &BuildCancel,
        progress: &(dyn Fn(BuildEvent) + Send + Sync),
    ) -> Result<String> {
        images::build(&self.engine, request, cancel, progress)
    }

    fn remove_image(&self, reference: &str) -> Result<()> {
        self.engine
            .remove_image(reference, false)
            .map(drop)
            .map_err(|error| {
                BackendError::wrap(format!("cannot remove image `{reference}`"), error)
            })
    }

    fn lock_project(
        &self,
        project: &str,
        waiting: &mut dyn FnMut(),
    ) -> Result<Box<dyn ProjectLock>> {
        let path = self
            .engine
            .paths()
            .run()
            .join("projects")
            .join(format!("{project}.lock"));
        let failed = |error| BackendError::wrap(format!("cannot lock project `{project}`"), error);
        if let Some(parent) = path.parent() {
            gantry_engine::state::create_private_dir(parent).map_err(failed)?;
        }
        let lock = match Lock::try_exclusive(&path).map_err(failed)? {
            Some(lock) => lock,
            None => {
                waiting();
                Lock::exclusive(&path).map_err(failed)?
            }
        };
        Ok(Box::new(EngineLock(lock)))
    }
}

#[derive(Debug)]
struct EngineLock(Lock);

impl ProjectLock for EngineLock {
    fn release(&self) -> Result<()> {
        self.0
            .release()
            .map_err(|error| BackendError::wrap("cannot unlock the project", error))
    }

    fn retake(&self) -> Result<()> {
        self.0
            .retake()
            .map_err(|error| BackendError::wrap("cannot lock the project again", error))
    }
}

impl EngineBackend {
    fn tree(&self, id: &ContainerId) -> Result<gantry_engine::container::archive::Tree> {
        self.engine
            .files(&id.0)
            .map_err(|error| self.wrap("open the files of", id, error))
    }

    /// An error that names the container as the user knows it.
    fn wrap<E>(&self, what: &str, id: &ContainerId, error: E) -> BackendError
    where
        E: gantry_engine::error::Classify + std::error::Error + Send + Sync + 'static,
    {
        let name = self
            .engine
            .inspect(&id.0)
            .map_or_else(|_| id.short().to_owned(), |c| c.name);
        BackendError::wrap(format!("cannot {what} container `{name}`"), error)
    }
}

fn exec_spec(spec: &ExecSpec) -> EngineExec {
    EngineExec {
        detach_keys: None,
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        tty: spec.tty,
        privileged: spec.privileged,
    }
}

//! One step, on a thread of its own: backend calls and the events around them.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use gantry_engine::error::{Classify, ErrorKind};

use crate::backend::{
    AnonymousVolumes, BackendError, Container, ContainerId, ExecSpec, Force, Removal, State,
    Warnings,
};
use crate::model::Hook;
use crate::plan::operation::{Replaced, StopFirst};
use crate::plan::{Operation, labels};

use super::{Cause, Event, Execution, Failure, Kind, LOOK_AGAIN, Phase};

/// How long the end of a killed container is waited for. A process in uninterruptible sleep takes
/// its time, and was killed all the same.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A step with everything it needs.
pub(super) struct Job {
    operation: Operation,
    /// The container to start.
    id: Option<ContainerId>,
}

type Outcome = Result<Option<ContainerId>, Box<Failure>>;

impl Job {
    /// Finds the container that an earlier step made.
    pub(super) fn new(
        operation: &Operation,
        created: &BTreeMap<String, ContainerId>,
    ) -> Result<Self, Box<Failure>> {
        let id = match operation {
            Operation::Start { id: Some(id), .. } => Some(id.clone()),
            Operation::Start { name, service, .. } => match created.get(name) {
                Some(id) => Some(id.clone()),
                None => {
                    let error = BackendError::new(
                        ErrorKind::Internal,
                        format!("no step has created `{name}`"),
                    );
                    return Err(Failure::plain(
                        Some(service.clone()),
                        "start".to_owned(),
                        error,
                    ));
                }
            },
            _ => None,
        };
        Ok(Self {
            operation: operation.clone(),
            id,
        })
    }

    pub(super) fn run(self, run: &Execution<'_>) -> Outcome {
        let work = Work { run };
        match self.operation {
            Operation::CreateNetwork { key, name } => work.create_network(&key, &name),
            Operation::RemoveNetwork { name } => work.remove_network(&name),
            Operation::CreateVolume { key, name } => work.create_volume(&key, &name),
            Operation::RemoveVolume { name } => work.remove_volume(&name),
            Operation::RemoveImage { reference } => work.remove_image(&reference),
            Operation::Create {
                service,
                number,
                name,
                inherit,
                replaces,
            } => work.create(&service, number, &name, &inherit, replaces.as_ref()),
            Operation::Start { service, name, .. } => match self.id {
                Some(id) => work.start(&service, &name, id),
                None => Ok(None),
            },
            Operation::Stop {
                id,
                name,
                service,
                timeout,
            } => work.around(
                &service,
                &name,
                (Phase::Stopping, Phase::Stopped),
                "stop",
                || work.stop(&service, &name, &id, timeout),
            ),
            Operation::Restart {
                id,
                name,
                service,
                timeout,
            } => work.around(
                &service,
                &name,
                (Phase::Restarting, Phase::Started),
                "restart",
                || {
                    work.stop(&service, &name, &id, timeout)?;
                    let warnings = run.backend.start(&id)?;
                    work.warn(&name, warnings);
                    Ok(())
                },
            ),
            Operation::Kill { id, name, signal } => {
                work.around("", &name, (Phase::Killing, Phase::Killed), "kill", || {
                    work.kill(&id, &signal)
                })
            }
            Operation::Pause { id, name } => {
                work.around("", &name, (Phase::Pausing, Phase::Paused), "pause", || {
                    run.backend.pause(&id)
                })
            }
            Operation::Unpause { id, name } => work.around(
                "",
                &name,
                (Phase::Unpausing, Phase::Unpaused),
                "unpause",
                || run.backend.unpause(&id),
            ),
            Operation::Remove {
                id,
                name,
                service,
                stop,
                volumes,
            } => work.remove(&service, &name, &id, stop, volumes),
        }
    }
}

struct Work<'a> {
    run: &'a Execution<'a>,
}

impl Work<'_> {
    fn tell(&self, kind: Kind, name: &str, phase: Phase) {
        (self.run.events)(Event::Phase {
            kind,
            name: name.to_owned(),
            phase,
        });
    }

    fn warn(&self, name: &str, warnings: Warnings) {
        for warning in warnings {
            (self.run.events)(Event::Warning(format!("container `{name}`: {warning}")));
        }
    }

    /// One call between two phases.
    fn around(
        &self,
        service: &str,
        name: &str,
        (before, after): (Phase, Phase),
        verb: &str,
        call: impl FnOnce() -> Result<(), BackendError>,
    ) -> Outcome {
        self.tell(Kind::Container, name, before);
        match call() {
            Ok(()) => {
                self.tell(Kind::Container, name, after);
                Ok(None)
            }
            Err(error) => {
                let service = (!service.is_empty()).then(|| service.to_owned());
                Err(Failure::plain(
                    service,
                    format!("{verb} container `{name}`"),
                    error,
                ))
            }
        }
    }

    // ---- networks, volumes, images ----------------------------------------------------------

    fn create_network(&self, key: &str, name: &str) -> Outcome {
        let doing = || format!("create network `{name}`");
        self.tell(Kind::Network, name, Phase::Creating);
        let Some(spec) = self.run.stack.and_then(|stack| stack.network(key)) else {
            return Err(missing_spec(None, doing()));
        };
        match self.run.backend.create_network(spec) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Failure::plain(None, doing(), error))
            }
            created => {
                if let Ok(Some(obstacle)) = created {
                    (self.run.events)(Event::Warning(obstacle));
                }
                self.tell(Kind::Network, name, Phase::Created);
                Ok(None)
            }
        }
    }

    fn remove_network(&self, name: &str) -> Outcome {
        self.tell(Kind::Network, name, Phase::Removing);
        match self.run.backend.remove_network(name) {
            Ok(()) => self.tell(Kind::Network, name, Phase::Removed),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => self.tell(Kind::Network, name, Phase::Removed),
                ErrorKind::Conflict => {
                    let phase = Phase::Warning("Resource is still in use".to_owned());
                    self.tell(Kind::Network, name, phase);
                }
                _ => {
                    return Err(Failure::plain(
                        None,
                        format!("remove network `{name}`"),
                        error,
                    ));
                }
            },
        }
        Ok(None)
    }

    fn create_volume(&self, key: &str, name: &str) -> Outcome {
        let doing = || format!("create volume `{name}`");
        self.tell(Kind::Volume, name, Phase::Creating);
        let Some(spec) = self.run.stack.and_then(|stack| stack.volume(key)) else {
            return Err(missing_spec(None, doing()));
        };
        match self.run.backend.create_volume(spec) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Failure::plain(None, doing(), error))
            }
            _ => {
                self.tell(Kind::Volume, name, Phase::Created);
                Ok(None)
            }
        }
    }

    fn remove_volume(&self, name: &str) -> Outcome {
        self.tell(Kind::Volume, name, Phase::Removing);
        match self.run.backend.remove_volume(name) {
            Ok(()) => self.tell(Kind::Volume, name, Phase::Removed),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => self.tell(Kind::Volume, name, Phase::Removed),
                ErrorKind::Conflict => {
                    let phase = Phase::Warning("Resource is still in use".to_owned());
                    self.tell(Kind::Volume, name, phase);
                }
                _ => {
                    return Err(Failure::plain(
                        None,
                        format!("remove volume `{name}`"),
                        error,
                    ));
                }
            },
        }
        Ok(None)
    }

    fn remove_image(&self, reference: &str) -> Outcome {
        self.tell(Kind::Image, reference, Phase::Removing);
        match self.run.backend.remove_image(reference) {
            Ok(()) => self.tell(Kind::Image, reference, Phase::Removed),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => {
                    let phase = Phase::Warning("No image to remove".to_owned());
                    self.tell(Kind::Image, reference, phase);
                }
                ErrorKind::Conflict | ErrorKind::Unsupported => {
                    self.tell(Kind::Image, reference, Phase::Warning(error.to_string()));
                }
                _ => {
                    return Err(Failure::plain(
                        None,
                        format!("remove image `{reference}`"),
                        error,
                    ));
                }
            },
        }
        Ok(None)
    }

    // ---- containers -------------------------------------------------------------------------

    /// Makes a container, in the place of another if there is one. Killed between any two
    /// calls, the next plan sees what is left: a predecessor under another name is replaced
    /// again, or removed when its successor exists.
    fn create(
        &self,
        service: &str,
        number: u32,
        name: &str,
        inherit: &[(String, String)],
        replaces: Option<&Replaced>,
    ) -> Outcome {
        let stack = self.run.stack;
        let fail = |doing: &str, error| {
            Failure::plain(
                Some(service.to_owned()),
                format!("{doing} container `{name}`"),
                error,
            )
        };
        let Some(spec) = stack.and_then(|s| s.container(service, number, name, inherit, replaces))
        else {
            return Err(missing_spec(
                Some(service.to_owned()),
                format!("create container `{name}`"),
            ));
        };
        let phases = if replaces.is_some() {
            (Phase::Recreate, Phase::Recreated)
        } else {
            (Phase::Creating, Phase::Created)
        };
        self.tell(Kind::Container, name, phases.0);
        if let Some(old) = replaces {
            self.retire(service, name, old)
                .map_err(|error| fail("replace", error))?;
        }
        let made = self
            .run
            .backend
            .create(&spec)
            .map_err(|error| fail("create", error))?;
        self.warn(name, made.warnings);
        let id = made.id;
        if let Some(old) = replaces {
            let removal = Removal {
                force: Force::Yes,
                // They belong to the successor now.
                volumes: AnonymousVolumes::Keep,
            };
            let removed = self.run.backend.remove(&old.id, removal);
            gone_is_fine(removed).map_err(|error| fail("replace", error))?;
        }
        // A container that shares another's namespaces needs that one running, so it is made
        // ready when it is started.
        let tied = stack
            .and_then(|stack| stack.desired.services.get(service))
            .is_some_and(|service| !service.tied_to.is_empty());
        if !tied {
            let warnings = self
                .run
                .backend
                .prepare(&id)
                .map_err(|error| fail("prepare", error).with_logs(self.run, &id))?;
            self.warn(name, warnings);
        }
        self.tell(Kind::Container, name, phases.1);
        Ok(Some(id))
    }

    /// Stops a container and takes its name away.
    fn retire(&self, service: &str, name: &str, old: &Replaced) -> Result<(), BackendError> {
        if old.live {
            gone_is_fine(self.stop(service, &old.name, &old.id, old.timeout))?;
        }
        if old.name == name {
            let aside = format!("{}_{name}", old.id.short());
            gone_is_fine(self.run.backend.rename(&old.id, &aside))?;
        }
        Ok(())
    }

    fn start(&self, service: &str, name: &str, id: ContainerId) -> Outcome {
        self.tell(Kind::Container, name, Phase::Starting);
        let fail = |cause| {
            Box::new(Failure {
                service: Some(service.to_owned()),
                container: Some(name.to_owned()),
                doing: format!("start container `{name}`"),
                cause,
                logs: Vec::new(),
                probes: Vec::new(),
                waiting: Vec::new(),
            })
        };
        let warnings = self
            .run
            .backend
            .start(&id)
            .map_err(|error| fail(Cause::Engine(error)).with_logs(self.run, &id))?;
        self.warn(name, warnings);
        for hook in self.hooks(service, |service| &service.post_start) {
            self.hook(&id, hook).map_err(fail)?;
        }
        self.tell(Kind::Container, name, Phase::Started);
        Ok(Some(id))
    }

    fn stop(
        &self,
        service: &str,
        name: &str,
        id: &ContainerId,
        timeout: Option<Duration>,
    ) -> Result<(), BackendError> {
        for hook in self.hooks(service, |service| &service.pre_stop) {
            // A container must be stoppable even when its hook is broken.
            if let Err(cause) = self.hook(id, hook) {
                (self.run.events)(Event::Warning(format!(
                    "container `{name}`: pre_stop {}",
                    cause.text()
                )));
            }
        }
        self.run.backend.stop(id, timeout)
    }

    /// Sends a signal. After the one that cannot be survived, the end is on record when this
    /// returns, so that who looks next does not find the container running.
    fn kill(&self, id: &ContainerId, signal: &str) -> Result<(), BackendError> {
        if !is_fatal(signal) {
            return self.run.backend.kill(id, signal);
        }
        let project = [(labels::PROJECT, self.run.project)];
        let look = || {
            let containers = self.run.backend.containers(&project)?;
            Ok::<_, BackendError>(containers.into_iter().find(|c| c.id == *id))
        };
        let (changes, told) = mpsc::channel();
        let _subscription = self.run.backend.subscribe(&project, changes)?;
        let before = look()?.and_then(|container| container.started);
        self.run.backend.kill(id, signal)?;
        let deadline = Instant::now() + ENDS_WITHIN;
        // A run that began later is another one: a restart policy was quicker than we.
        let runs = |c: &Container| has_process(&c.state) && c.started == before;
        while look()?.is_some_and(|container| runs(&container)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let pause = LOOK_AGAIN.min(left);
            // The engine stopped telling: go on by looking.
            if told.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                std::thread::sleep(pause);
            }
        }
        Ok(())
    }

    fn remove(
        &self,
        service: &str,
        name: &str,
        id: &ContainerId,
        stop: StopFirst,
        volumes: bool,
    ) -> Outcome {
        let fail = |error| {
            let service = (!service.is_empty()).then(|| service.to_owned());
            Failure::plain(service, format!("remove container `{name}`"), error)
        };
        if let StopFirst::Yes(timeout) = stop {
            self.tell(Kind::Container, name, Phase::Stopping);
            gone_is_fine(self.stop(service, name, id, timeout)).map_err(fail)?;
            self.tell(Kind::Container, name, Phase::Stopped);
        }
        self.tell(Kind::Container, name, Phase::Removing);
        let removal = Removal {
            force: Force::Yes,
            volumes: if volumes {
                AnonymousVolumes::Remove
            } else {
                AnonymousVolumes::Keep
            },
        };
        gone_is_fine(self.run.backend.remove(id, removal)).map_err(fail)?;
        self.tell(Kind::Container, name, Phase::Removed);
        Ok(None)
    }

    // ---- hooks ------------------------------------------------------------------------------

    fn hooks(
        &self,
        service: &str,
        which: impl Fn(&crate::model::Service) -> &Vec<Hook>,
    ) -> &[Hook] {
        self.run
            .stack
            .and_then(|stack| stack.project.services.get(service))
            .map_or(&[], |service| which(service).as_slice())
    }

    fn hook(&self, id: &ContainerId, hook: &Hook) -> Result<(), Cause> {
        let argv = hook.command.0.clone().unwrap_or_default();
        let spec = ExecSpec {
            argv: argv.clone(),
            env: hook
                .environment
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            user: (!hook.user.is_empty()).then(|| hook.user.clone()),
            workdir: (!hook.working_dir.is_empty()).then(|| hook.working_dir.clone()),
            privileged: hook.privileged,
            ..ExecSpec::default()
        };
        let output = self
            .run
            .backend
            .exec_quiet(id, &spec)
            .map_err(Cause::Engine)?;
        if output.code == 0 {
            return Ok(());
        }
        Err(Cause::Hook {
            command: argv.join(" "),
            code: output.code,
            output: String::from_utf8_lossy(&output.text).into_owned(),
        })
    }
}

/// Whether a signal is KILL, as Docker lets it be written.
fn is_fatal(signal: &str) -> bool {
    let name = signal.to_ascii_uppercase();
    matches!(name.strip_prefix("SIG").unwrap_or(&name), "KILL" | "9")
}

fn has_process(state: &State) -> bool {
    matches!(state, State::Running | State::Stopping | State::Paused)
}

/// What should go away and is away already has gone away.
fn gone_is_fine(result: Result<(), BackendError>) -> Result<(), BackendError> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn missing_spec(service: Option<String>, doing: String) -> Box<Failure> {
    let error = BackendError::new(ErrorKind::Internal, "its specification is not known");
    Failure::plain(service, doing, error)
}

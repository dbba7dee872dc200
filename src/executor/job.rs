//! One step, on a thread of its own: backend calls and the events around them.

mod resources;

use std::collections::BTreeMap;
use std::time::Duration;

use gantry_engine::error::{Classify, ErrorKind};

use crate::backend::{
    AnonymousVolumes, BackendError, ContainerId, ExecSpec, Force, Removal, Warnings,
};
use crate::model::Hook;
use crate::plan::Operation;
use crate::plan::operation::{Replaced, StopFirst};

use super::{Cause, Event, Execution, Failure, Kind, Phase};

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
            Operation::RemoveNetwork { name, in_use } => work.remove_network(&name, in_use),
            Operation::CreateVolume { key, name } => work.create_volume(&key, &name),
            Operation::RemoveVolume { name, in_use } => work.remove_volume(&name, in_use),
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
                    run.backend.kill(&id, &signal)
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

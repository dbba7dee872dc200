//! An engine in memory, for tests of the executor: it keeps the promises of [`Backend`] that
//! the executor relies on, writes down every changing call, and lets a test say how the
//! containers of a service behave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use gantry_engine::error::ErrorKind;
use gantry_engine::spec::{ContainerSpec, Healthcheck, MountKind, NetworkMode, NetworkSpec};

use super::*;
use crate::plan::labels;

/// What containers of a service do once started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Run.
    #[default]
    Runs,
    /// Run and turn healthy at once.
    Healthy,
    /// Run and turn unhealthy at once.
    Unhealthy,
    /// End with a code.
    Ends(i32),
    /// Cannot be started.
    FailsToStart,
}

#[derive(Default)]
struct World {
    containers: BTreeMap<String, Container>,
    networks: BTreeMap<String, Network>,
    volumes: BTreeMap<String, Volume>,
    behaviour: BTreeMap<String, Behaviour>,
    calls: Vec<String>,
    next: u32,
    subscribers: Vec<Sender<Change>>,
}

/// The engine.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how a service's containers behave.
    pub fn behave(&self, service: &str, behaviour: Behaviour) {
        self.world().behaviour.insert(service.to_owned(), behaviour);
    }

    /// Changing calls so far, in order.
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    /// Forgets the calls.
    pub fn forget(&self) {
        self.world().calls.clear();
    }
}

fn not_found(what: &str) -> BackendError {
    BackendError::new(ErrorKind::NotFound, format!("no such thing: `{what}`"))
}

fn carries(all: &BTreeMap<String, String>, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(key, value)| {
        all.get(*key)
            .is_some_and(|found| value.is_empty() || found == value)
    })
}

impl World {
    fn container(&mut self, id: &ContainerId) -> Result<&mut Container> {
        self.containers
            .get_mut(&id.0)
            .ok_or_else(|| not_found(&id.0))
    }

    fn id_of(&self, name: &str) -> Option<ContainerId> {
        let mut containers = self.containers.values();
        containers
            .find(|container| container.name == name)
            .map(|container| container.id.clone())
    }

    fn note(&mut self, verb: &str, id: &ContainerId) {
        let name = self
            .containers
            .get(&id.0)
            .map_or_else(|| id.0.clone(), |c| c.name.clone());
        self.calls.push(format!("{verb} {name}"));
    }

    fn tell(&mut self, id: &ContainerId, action: &Action) {
        let attributes = BTreeMap::new();
        let change = Change {
            time: SystemTime::UNIX_EPOCH,
            id: id.clone(),
            action: action.clone(),
            attributes,
        };
        self.subscribers
            .retain(|subscriber| subscriber.send(change.clone()).is_ok());
    }
}

impl Backend for Fake {
    fn containers(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        let world = self.world();
        let all = world.containers.values();
        Ok(all
            .filter(|c| carries(&c.labels, labels))
            .cloned()
            .collect())
    }

    fn create(&self, spec: &ContainerSpec) -> Result<Made> {
        let mut world = self.world();
        let name = spec.name.clone().unwrap_or_default();
        if world.containers.values().any(|c| c.name == name) {
            let what = format!("the name `{name}` is in use");
            return Err(BackendError::new(ErrorKind::AlreadyExists, what));
        }
        let mut endpoints = Vec::new();
        if let NetworkMode::Networks(networks) = &spec.network {
            for endpoint in networks {
                if !world.networks.contains_key(&endpoint.network) {
                    return Err(not_found(&endpoint.network));
                }
                endpoints.push(Endpoint {
                    network: endpoint.network.clone(),
                    address: None,
                    aliases: endpoint.aliases.clone(),
                });
            }
        }
        world.next += 1;
        let id = ContainerId(format!("{:012}", world.next));
        let mounts = spec
            .mounts
            .iter()
            .map(|mount| Mounted {
                target: mount.target.clone(),
                source: match &mount.kind {
                    MountKind::Volume {
                        name: Some(name), ..
                    } if !name.starts_with("anon") => MountedSource::Volume(name.clone()),
                    MountKind::Volume { name, .. } => MountedSource::AnonymousVolume(
                        name.clone().unwrap_or_else(|| format!("anon-{}", id.0)),
                    ),
                    _ => MountedSource::Other,
                },
            })
            .collect();
        let container = Container {
            id: id.clone(),
            name: name.clone(),
            image: spec.image.clone(),
            image_id: spec.image.clone(),
            command: spec.command.clone().unwrap_or_default(),
            labels: spec.labels.clone(),
            created: SystemTime::UNIX_EPOCH,
            state: State::Created,
            started: None,
            finished: None,
            health: matches!(spec.healthcheck, Some(Healthcheck::Probe { .. })).then(|| Health {
                status: HealthStatus::Starting,
                failing_streak: 0,
                log: Vec::new(),
            }),
            ports: Vec::new(),
            networks: endpoints,
            mounts,
            joined: spec.joined().filter_map(|name| world.id_of(name)).collect(),
            tty: spec.tty,
            pid: None,
        };
        world.containers.insert(id.0.clone(), container);
        world.calls.push(format!("create {name}"));
        Ok(Made {
            id,
            warnings: Vec::new(),
        })
    }

    fn prepare(&self, id: &ContainerId) -> Result<Warnings> {
        let mut world = self.world();
        world.note("prepare", id);
        world.container(id).map(|_| Vec::new())
    }

    fn start(&self, id: &ContainerId) -> Result<Warnings> {
        let mut world = self.world();
        world.note("start", id);
        let service = world
            .container(id)?
            .label(labels::SERVICE)
            .unwrap_or_default()
            .to_owned();
        let behaviour = world.behaviour.get(&service).copied().unwrap_or_default();
        let container = world.container(id)?;
        let mut verdict = None;
        match behaviour {
            Behaviour::Runs => container.state = State::Running,
            Behaviour::Healthy | Behaviour::Unhealthy => {
                let status = if behaviour == Behaviour::Healthy {
                    HealthStatus::Healthy
                } else {
                    HealthStatus::Unhealthy
                };
                container.state = State::Running;
                container.health = Some(Health {
                    status,
                    failing_streak: u32::from(status == HealthStatus::Unhealthy) * 3,
                    log: vec![Probe {
                        exit_code: i32::from(status == HealthStatus::Unhealthy),
                        output: "probe says so".to_owned(),
                    }],
                });
                verdict = Some(status);
            }
            Behaviour::Ends(code) => {
                container.state = State::Exited(Ended {
                    code,
                    ..Ended::default()
                });
            }
            Behaviour::FailsToStart => {
                let what = "exec: no such file".to_owned();
                return Err(BackendError::new(ErrorKind::NotFound, what));
            }
        }
        world.tell(id, &Action::Start);
        if let Some(status) = verdict {
            world.tell(id, &Action::HealthStatus(status));
        }
        Ok(Vec::new())
    }

    fn stop(&self, id: &ContainerId, _timeout: Option<Duration>) -> Result<()> {
        let mut world = self.world();
        world.note("stop", id);
        let container = world.container(id)?;
        if container.state.is_live() {
            container.state = State::Exited(Ended::default());
        }
        world.tell(id, &Action::Die);
        Ok(())
    }

    fn kill(&self, id: &ContainerId, _signal: &str) -> Result<()> {
        let mut world = self.world();
        world.note("kill", id);
        world.container(id)?.state = State::Exited(Ended {
            code: 137,
            ..Ended::default()
        });
        world.tell(id, &Action::Die);
        Ok(())
    }

    fn pause(&self, id: &ContainerId) -> Result<()> {
        let mut world = self.world();
        world.note("pause", id);
        world.container(id)?.state = State::Paused;
        Ok(())
    }

    fn unpause(&self, id: &ContainerId) -> Result<()> {
        let mut world = self.world();
        world.note("unpause", id);
        world.container(id)?.state = State::Running;
        Ok(())
    }

    fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        let mut world = self.world();
        world.note("rename", id);
        name.clone_into(&mut world.container(id)?.name);
        Ok(())
    }

    fn remove(&self, id: &ContainerId, how: Removal) -> Result<()> {
        let mut world = self.world();
        world.note("remove", id);
        if world.container(id)?.state.is_live() && how.force == Force::No {
            let what = "the container runs".to_owned();
            return Err(BackendError::new(ErrorKind::Conflict, what));
        }
        world.containers.remove(&id.0);
        world.tell(id, &Action::Destroy);
        Ok(())
    }

    fn top(&self, _id: &ContainerId) -> Result<ProcessTable> {
        Ok(ProcessTable::default())
    }

    fn export(&self, id: &ContainerId, out: &mut dyn std::io::Write) -> Result<()> {
        out.write_all(id.0.as_bytes())
            .map_err(|error| BackendError::wrap("cannot export", error))
    }

    fn commit(&self, id: &ContainerId, _options: &CommitOptions) -> Result<String> {
        Ok(format!("sha256:{}", id.0))
    }

    fn stats(&self, _id: &ContainerId) -> Result<Usage> {
        Ok(Usage::default())
    }

    fn logs(
        &self,
        id: &ContainerId,
        _query: &LogQuery,
        sink: &mut dyn FnMut(LogLine) -> Flow,
    ) -> Result<()> {
        let text = format!("last words of {}", self.world().container(id)?.name);
        sink(LogLine {
            time: SystemTime::UNIX_EPOCH,
            stream: Stream::Stdout,
            text: text.into_bytes(),
        });
        Ok(())
    }

    fn subscribe(&self, _labels: &[(&str, &str)], sink: Sender<Change>) -> Result<Subscription> {
        self.world().subscribers.push(sink);
        Ok(Subscription(Box::new(())))
    }

    fn past_changes(&self, _labels: &[(&str, &str)], _since: SystemTime) -> Result<Vec<Change>> {
        Ok(Vec::new())
    }

    fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<i32> {
        self.exec_quiet(id, spec).map(|output| output.code)
    }

    fn exec_quiet(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Output> {
        let mut world = self.world();
        world.note(&format!("exec [{}] in", spec.argv.join(" ")), id);
        let failing = spec.argv.first().is_some_and(|word| word == "false");
        Ok(Output {
            code: i32::from(failing),
            text: b"hook output".to_vec(),
        })
    }

    fn attach(&self, id: &ContainerId, _spec: &AttachSpec) -> Result<i32> {
        self.start(id)?;
        Ok(0)
    }

    fn archive_get(
        &self,
        _id: &ContainerId,
        path: &str,
        _follow: FollowLink,
        _out: &mut dyn std::io::Write,
    ) -> Result<()> {
        Err(not_found(path))
    }

    fn archive_put(
        &self,
        id: &ContainerId,
        directory: &str,
        _tar: &mut dyn std::io::Read,
    ) -> Result<()> {
        self.world().note(&format!("put {directory} in"), id);
        Ok(())
    }

    fn path_kind(&self, _id: &ContainerId, _path: &str) -> Result<Option<PathKind>> {
        Ok(None)
    }

    fn delete_path(&self, id: &ContainerId, path: &str) -> Result<()> {
        self.world().note(&format!("delete {path} in"), id);
        Ok(())
    }

    fn networks(&self, labels: &[(&str, &str)]) -> Result<Vec<Network>> {
        let world = self.world();
        let all = world.networks.values();
        Ok(all
            .filter(|n| carries(&n.labels, labels))
            .cloned()
            .collect())
    }

    fn network(&self, name: &str) -> Result<Option<Network>> {
        Ok(self.world().networks.get(name).cloned())
    }

    fn create_network(&self, spec: &NetworkSpec) -> Result<Option<String>> {
        let mut world = self.world();
        world.calls.push(format!("create network {}", spec.name));
        let network = Network {
            name: spec.name.clone(),
            id: spec.name.clone(),
            driver: spec.driver.name().to_owned(),
            labels: spec.labels.clone(),
        };
        world.networks.insert(spec.name.clone(), network);
        Ok(None)
    }

    fn remove_network(&self, name: &str) -> Result<()> {
        let mut world = self.world();
        world.calls.push(format!("remove network {name}"));
        let used = world
            .containers
            .values()
            .any(|c| c.state.is_live() && c.networks.iter().any(|e| e.network == name));
        if used {
            let what = format!("network `{name}` is in use");
            return Err(BackendError::new(ErrorKind::Conflict, what));
        }
        world
            .networks
            .remove(name)
            .map(drop)
            .ok_or_else(|| not_found(name))
    }

    fn volumes(&self, labels: &[(&str, &str)]) -> Result<Vec<Volume>> {
        let world = self.world();
        let all = world.volumes.values();
        Ok(all
            .filter(|v| carries(&v.labels, labels))
            .cloned()
            .collect())
    }

    fn volume(&self, name: &str) -> Result<Option<Volume>> {
        Ok(self.world().volumes.get(name).cloned())
    }

    fn create_volume(&self, spec: &VolumeSpec) -> Result<()> {
        let mut world = self.world();
        world.calls.push(format!("create volume {}", spec.name));
        let volume = Volume {
            name: spec.name.clone(),
            driver: spec.driver.clone(),
            labels: spec.labels.clone(),
            mountpoint: PathBuf::from("/"),
        };
        world.volumes.insert(spec.name.clone(), volume);
        Ok(())
    }

    fn remove_volume(&self, name: &str) -> Result<()> {
        let mut world = self.world();
        world.calls.push(format!("remove volume {name}"));
        world
            .volumes
            .remove(name)
            .map(drop)
            .ok_or_else(|| not_found(name))
    }

    fn image(&self, reference: &str) -> Result<Option<Image>> {
        Ok(Some(Image {
            id: reference.to_owned(),
            tags: vec![reference.to_owned()],
            platform: "linux/amd64".to_owned(),
            size: 0,
            created: None,
            tagged: None,
            volumes: Vec::new(),
            has_healthcheck: false,
            working_dir: None,
        }))
    }

    fn pull(
        &self,
        reference: &str,
        _platform: Option<&str>,
        _progress: &(dyn Fn(ImageProgress) + Sync),
    ) -> Result<String> {
        Ok(reference.to_owned())
    }

    fn push(&self, _reference: &str, _progress: &(dyn Fn(ImageProgress) + Sync)) -> Result<()> {
        Ok(())
    }

    fn build(
        &self,
        request: &BuildSpec,
        _cancel: &BuildCancel,
        _progress: &(dyn Fn(BuildEvent) + Send + Sync),
    ) -> Result<String> {
        Ok(request.tags.first().cloned().unwrap_or_default())
    }

    fn remove_image(&self, reference: &str) -> Result<()> {
        self.world().calls.push(format!("remove image {reference}"));
        Ok(())
    }

    fn lock_project(
        &self,
        _project: &str,
        _waiting: &mut dyn FnMut(),
    ) -> Result<Box<dyn ProjectLock>> {
        Ok(Box::new(FakeLock))
    }
}

/// Nobody else changes what a test has made.
#[derive(Debug)]
struct FakeLock;

impl ProjectLock for FakeLock {
    fn release(&self) -> Result<()> {
        Ok(())
    }

    fn retake(&self) -> Result<()> {
        Ok(())
    }
}

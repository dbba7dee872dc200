//! Changes of a container that is made already: its networks, limits, restart policy and name.
//!
//! Each is written into the record first and then told to the supervisor, if there is one, which makes what
//! the container has fit it (`supervisor::reload`). A change that was interrupted is finished by
//! the next, or by a supervisor that takes over.

use crate::network::{Network, NetworkError, NetworkStore};
use crate::spec::{EndpointSpec, NetworkMode, Resources, RestartPolicy};
use crate::state::{ContainerId, Durability, Lock, Name, crash_point};

use super::control::{Connection, Reply, Request};
use super::events::{Action, Event};
use super::live::{self, Standing};
use super::machine::Machine;
use super::manage::Containers;
use super::record::Record;
use super::{ContainerError, check, oci};

/// What `update` changes; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Limits: only those that are given are changed.
    pub resources: Resources,
    /// When to start it again.
    pub restart: Option<RestartPolicy>,
}

impl Containers {
    /// Changes the record under the container's lock; the record as it was.
    fn change(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut Record) -> Result<(), ContainerError>,
    ) -> Result<Record, ContainerError> {
        let _lock = Lock::exclusive(&self.store.files(id).lock())?;
        let mut record = self.store.read(id)?;
        let old = record.clone();
        change(&mut record)?;
        if record != old {
            self.store.write(&record, Durability::Power)?;
        }
        Ok(old)
    }

    /// Has a supervisor, if there is one, take note. Returns what was asked for and is not so.
    fn reload(&self, id: &ContainerId) -> Result<Vec<String>, ContainerError> {
        loop {
            if matches!(self.settle(id)?, Standing::Idle) {
                return Ok(Vec::new());
            }
            let Ok(mut connection) = Connection::open(&self.store.files(id).run) else {
                self.wait_for_successor(id)?;
                continue;
            };
            match self.ask(&mut connection, &Request::Reload, id) {
                Ok(Reply::Reloaded { warnings }) => return Ok(warnings),
                // It ended, or was killed: then its successor has done it already.
                Ok(_) | Err(ContainerError::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a container on a further network; at once if it runs.
    pub fn connect_network(
        &self,
        networks: &NetworkStore,
        reference: &str,
        endpoint: &EndpointSpec,
    ) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let network = networks.get(&endpoint.network)?;
        let is_it = |spec: &EndpointSpec| names(networks, spec, &network.id);
        let old = self.change(&id, |record| {
            let list = endpoints(record)?;
            if list.iter().any(is_it) {
                if self.is_wired(&id, &network.id)? {
                    return Err(NetworkError::AlreadyConnected(network.name.clone()).into());
                }
                // An interrupted call: this one finishes it.
                list.retain(|spec| !is_it(spec));
            }
            list.push(endpoint.clone());
            Ok(())
        })?;
        crash_point("connect.recorded");
        if let Err(error) = self.reload(&id) {
            // What cannot be had is not wanted any more, or the next start would fail of it.
            self.change(&id, |record| {
                record.spec.network = old.spec.network.clone();
                Ok(())
            })?;
            return Err(error);
        }
        self.tell_network(&network, &id, Action::Connect);
        Ok(())
    }

    /// Takes a container off a network; at once if it runs.
    pub fn disconnect_network(
        &self,
        networks: &NetworkStore,
        reference: &str,
        network: &str,
    ) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let network = networks.get(network)?;
        self.change(&id, |record| {
            let list = endpoints(record)?;
            let before = list.len();
            list.retain(|spec| !names(networks, spec, &network.id));
            if list.len() == before && !self.is_wired(&id, &network.id)? {
                return Err(NetworkError::NotConnected(network.name.clone()).into());
            }
            if list.is_empty() {
                record.spec.network = NetworkMode::None;
            }
            Ok(())
        })?;
        crash_point("disconnect.recorded");
        self.reload(&id)?;
        self.tell_network(&network, &id, Action::Disconnect);
        Ok(())
    }

    /// Whether a container that runs has an interface on a network; true for one that does not run,
    /// of which the record says everything.
    fn is_wired(&self, id: &ContainerId, network: &str) -> Result<bool, ContainerError> {
        Ok(match live::standing(&self.store, id)? {
            Standing::Supervised(Some(live)) | Standing::Orphaned(live) => live
                .endpoints
                .iter()
                .any(|endpoint| endpoint.network_id == network),
            Standing::Supervised(None) | Standing::Idle => true,
        })
    }

    fn tell_network(&self, network: &Network, id: &ContainerId, action: Action) {
        let event = Event::network(&network.id, &network.name, network.driver.name(), action);
        // The journal is a courtesy.
        let _ = event
            .with("container", id.as_str())
            .append(self.store.paths());
    }

    /// Changes limits and restart policy; at once if it runs. Returns the limits that are not in force.
    pub fn update(&self, reference: &str, update: &Update) -> Result<Vec<String>, ContainerError> {
        let id = self.store.find(reference)?;
        let old = self.change(&id, |record| {
            if let Some(restart) = update.restart {
                if record.spec.auto_remove && restart != RestartPolicy::No {
                    return Err(ContainerError::Invalid(
                        "a container that is removed at its end cannot have a restart policy"
                            .to_owned(),
                    ));
                }
                record.spec.restart = restart;
            }
            record.spec.resources.change(&update.resources);
            let problems = check::limits(&record.spec.resources).into_iter();
            let beyond = check::beyond(&Machine::this(), &update.resources);
            if let Some(problem) = problems.chain(beyond).next() {
                return Err(ContainerError::Invalid(problem.message));
            }
            // What cannot be said to a cgroup is refused before it is written down.
            oci::resources(&record.spec.resources).map(drop)
        })?;
        crash_point("update.recorded");
        let warnings = match self.reload(&id) {
            Ok(warnings) => warnings,
            Err(error) => {
                self.change(&id, |record| {
                    record.spec.resources = old.spec.resources.clone();
                    record.spec.restart = old.spec.restart;
                    Ok(())
                })?;
                // Limits that were changed before the one that failed go back too.
                let _ = self.reload(&id);
                return Err(error);
            }
        };
        self.tell(&self.store.read(&id)?, Action::Update);
        Ok(warnings)
    }

    /// Gives it another name.
    pub fn rename(&self, reference: &str, new: &str) -> Result<(), ContainerError> {
        let id = self.store.find(reference)?;
        let name: Name = new.parse()?;
        let names = self.store.paths().names();
        let old = self.change(&id, |record| {
            if record.name == name {
                return Err(ContainerError::Invalid(format!(
                    "container `{name}` has that name already"
                )));
            }
            names.reserve(&name, &id, &|other| self.store.holds_name(other))?;
            crash_point("rename.reserved");
            record.name = name.clone();
            record.spec.name = Some(name.to_string());
            Ok(())
        })?;
        crash_point("rename.recorded");
        names.release(&old.name, &id)?;
        self.reload(&id)?;
        self.tell(
            &self.store.read(&id)?,
            Action::Rename {
                old: old.name.to_string(),
            },
        );
        Ok(())
    }
}

/// Whether an endpoint is on a network, by its name or id.
fn names(networks: &NetworkStore, spec: &EndpointSpec, id: &str) -> bool {
    networks
        .get(&spec.network)
        .is_ok_and(|network| network.id == id)
}

/// The networks of a container that has a namespace of its own.
fn endpoints(record: &mut Record) -> Result<&mut Vec<EndpointSpec>, ContainerError> {
    let shared = match &record.spec.network {
        NetworkMode::Host => Some("it uses the machine's own network".to_owned()),
        NetworkMode::Container(other) => {
            Some(format!("it uses the network of container `{other}`"))
        }
        NetworkMode::None | NetworkMode::Networks(_) => None,
    };
    if let Some(reason) = shared {
        return Err(ContainerError::State {
            action: "change the networks of",
            name: record.name.to_string(),
            reason,
        });
    }
    if let NetworkMode::Networks(list) = &record.spec.network
        && list.is_empty()
    {
        record.spec.network = NetworkMode::Networks(vec![EndpointSpec::default_network()]);
    }
    if record.spec.network == NetworkMode::None {
        record.spec.network = NetworkMode::Networks(Vec::new());
    }
    match &mut record.spec.network {
        NetworkMode::Networks(list) => Ok(list),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => Err(
            ContainerError::Invalid("the container has no networks".to_owned()),
        ),
    }
}

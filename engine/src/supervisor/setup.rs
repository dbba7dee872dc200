//! From a record to a parked container, on one thread and without a runtime.
//!
//! Each step is undone by [`super::finish`] if a later one fails, and found and undone by the next
//! supervisor if this one is killed: everything is named after the container's id.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::Pid;

use crate::cgroup::{Cgroup, Layout};
use crate::container::live::{self, Standing};
use crate::container::record::{Phase, ProcessRef, Record};
use crate::container::{ContainerError, ContainerStore, oci};
use crate::network::publish::{self, Listener};
use crate::network::{self, Endpoint, NetNs, NetworkStore, dns, resolv};
use crate::runtime::seccomp::Profile;
use crate::runtime::{Init, RuntimeError};
use crate::spec::{NetworkMode, SeccompSpec};
use crate::state::{
    ContainerId, Durability, Lock, StateError, create_private_dir, crash_point, failed, write_file,
};
use crate::sys::process::{Fork, Forked, exit_now};

use super::keeper::{self, Answer, Filter, Job, Order};
use super::pipes::Pipes;
use super::status::Status;
use super::wire;

/// A supervised container, as far as it has been made.
pub struct Assets {
    /// Its records.
    pub status: Status,
    /// What is to be given back.
    pub held: Held,
    /// What was asked for and is not so.
    pub warnings: Vec<String>,
}

/// What a supervisor holds, and gives back at the end.
#[derive(Default)]
pub struct Held {
    /// That we, and nobody else, supervise it. Given up before the last words to clients.
    pub lock: Option<Lock>,
    /// Its network.
    pub network: Network,
    /// Its cgroup.
    pub cgroup: Option<Cgroup>,
    /// Its first process's parent.
    pub keeper: Option<KeeperHandle>,
    /// The terminal's master side.
    pub terminal: Option<OwnedFd>,
    /// Where clients connect.
    pub control: Option<OwnedFd>,
}

/// The keeper, as the supervisor sees it.
pub struct KeeperHandle {
    /// The connection to it.
    pub socket: OwnedFd,
    /// Itself, when it is our child and must be reaped.
    pub child: Option<(Pid, OwnedFd)>,
}

/// What a container has of the network.
#[derive(Default)]
pub struct Network {
    /// Its namespace; `None` is the host's.
    pub netns: Option<NetNs>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The published ports' sockets.
    pub listeners: Vec<Listener>,
    /// Its name server.
    pub responder: Option<dns::Responder>,
}

fn host(
    action: &'static str,
    path: impl Into<String>,
) -> impl FnOnce(io::Error) -> ContainerError {
    let path = path.into();
    move |source| ContainerError::Host {
        action,
        path,
        source,
    }
}

impl Assets {
    /// Takes the container's supervision, clearing what a dead predecessor has left.
    pub fn claim(store: &ContainerStore, id: &ContainerId) -> Result<Self, ContainerError> {
        let record = store.read(id)?;
        let lock = take_lock(store, &record)?;
        super::finish::clear_leftovers(store, &record)?;
        let status = Status::new(store, record)?;
        Ok(Self {
            status,
            held: Held {
                lock: Some(lock),
                ..Held::default()
            },
            warnings: Vec::new(),
        })
    }

    /// Makes everything up to the moment before the program runs.
    pub fn launch(&mut self) -> Result<(), ContainerError> {
        self.status.save()?;
        crash_point("supervise.locked");
        self.connect()?;
        crash_point("supervise.connected");
        self.write_network_files()?;
        self.make_cgroup()?;
        crash_point("supervise.cgroup");
        self.fork_keeper()?;
        crash_point("supervise.keeper");
        self.prepare()?;
        crash_point("supervise.parked");
        self.listen()?;
        self.status.enter(Phase::Parked)?;
        crash_point("supervise.recorded");
        Ok(())
    }

    fn connect(&mut self) -> Result<(), ContainerError> {
        let store = self.status.store().clone();
        let record = &self.status.record;
        let network = &mut self.held.network;
        match &record.spec.network {
            NetworkMode::Host => {}
            NetworkMode::None => {
                network.netns = Some(network::loopback()?.netns);
            }
            NetworkMode::Container(other) => {
                let pid = init_of(&store, &other.parse()?)?;
                let netns = NetNs::of_process(pid as u32)
                    .map_err(host("enter the network of", other.as_str()))?;
                network.netns = Some(netns);
            }
            NetworkMode::Networks(endpoints) => {
                // The ports first: a conflict is the most likely failure and the cheapest to find.
                let ports = published(record);
                network.listeners = publish::bind(&ports)?;
                let networks = network_store(&store)?;
                let alive = |owner: &str| is_alive(&store, owner);
                let sandbox = network::connect(
                    &networks,
                    &network::Request {
                        owner: record.id.as_str(),
                        name: record.name.as_str(),
                        hostname: &record.resolved.hostname,
                        endpoints,
                        mac_address: record.spec.mac_address.as_deref(),
                        alive: &alive,
                    },
                )?;
                network.netns = Some(sandbox.netns);
                network.endpoints = sandbox.endpoints;
                network.responder = bind_responder(&networks, record, network)?;
            }
        }
        self.status.live.endpoints = self.held.network.endpoints.clone();
        self.status.live.ports = self
            .network
            .listeners
            .iter()
            .map(Listener::published)
            .collect();
        Ok(())
    }

    fn write_network_files(&self) -> Result<(), ContainerError> {
        let record = &self.status.record;
        let files = &self.status.files;
        let read_host = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (hosts, resolv_conf) = match &record.spec.network {
            NetworkMode::Container(other) => {
                let other = self.status.store().files(&other.parse()?);
                let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
                (read(other.hosts()), read(other.resolv_conf()))
            }
            NetworkMode::Host => {
                let mut hosts = read_host("/etc/hosts");
                hosts.push_str(&resolv::extra_hosts(&record.spec.extra_hosts, None));
                (
                    hosts,
                    resolv::resolv_conf(&record.spec.dns, &read_host("/etc/resolv.conf"), false),
                )
            }
            NetworkMode::None | NetworkMode::Networks(_) => (
                resolv::hosts(&resolv::HostsFile {
                    hostname: &record.resolved.hostname,
                    domainname: record.spec.domainname.as_deref(),
                    endpoints: &self.held.network.endpoints,
                    extra_hosts: &record.spec.extra_hosts,
                    host_gateway: host_gateway(&self.held.network.endpoints),
                }),
                resolv::resolv_conf(
                    &record.spec.dns,
                    &read_host("/etc/resolv.conf"),
                    self.held.network.responder.is_some(),
                ),
            ),
        };
        for (path, text) in [
            (files.hosts(), hosts),
            (files.resolv_conf(), resolv_conf),
            (files.hostname(), format!("{}\n", record.resolved.hostname)),
        ] {
            use std::os::unix::fs::PermissionsExt;
            write_file(&path, text.as_bytes(), Durability::Process)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
                .map_err(host("open", path.display().to_string()))?;
        }
        Ok(())
    }

    fn make_cgroup(&mut self) -> Result<(), ContainerError> {
        let record = &self.status.record;
        let layout = Layout::detect().map_err(RuntimeError::from)?;
        let limits = oci::cgroup_resources(&record.spec)?;
        let (cgroup, warnings) =
            Cgroup::create(&layout, &record.cgroup, &limits).map_err(RuntimeError::from)?;
        self.warnings.extend(
            warnings
                .into_iter()
                .map(|warning| format!("{}: {}", warning.limit, warning.reason)),
        );
        self.held.cgroup = Some(cgroup);
        Ok(())
    }

    fn fork_keeper(&mut self) -> Result<(), ContainerError> {
        let Some(cgroup) = self.held.cgroup.clone() else {
            return Ok(());
        };
        let record = &self.status.record;
        let files = &self.status.files;
        let run = files.run.display().to_string();
        let pipes = if record.spec.tty {
            Pipes::none(&files.run)
        } else {
            Pipes::make(&files.run, record.spec.open_stdin)
                .map_err(host("make the pipes in", &run))?
        };
        let store = self.status.store();
        let find_init = |other: &ContainerId| init_of(store, other);
        let netns = match &self.held.network.netns {
            Some(netns) => Some(
                netns
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(host("hold", "the network namespace"))?,
            ),
            None => None,
        };
        let job = Job {
            id: record.id.to_string(),
            spec: oci::spec(record, files, &find_init)?,
            root: record.root.clone(),
            netns,
            cgroup,
            seccomp: filter(record)?,
            init: if record.spec.init == Some(true) {
                Init::Reaper
            } else {
                Init::Payload
            },
            user: record.resolved.user.clone(),
            groups: record.spec.group_add.clone(),
            pipes,
            exit_file: files.exit(),
        };
        let listener = keeper::listen(&files.run).map_err(host("listen in", &run))?;
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| host("make a pair of", "sockets")(error.into()))?;
        match Fork::default()
            .run()
            .map_err(host("fork", "the keeper"))?
        {
            Forked::Child => {
                drop(ours);
                // The lock is ours as long as anybody holds a copy of its descriptor: it must not be the keeper.
                self.held.lock = None;
                self.held.network.listeners.clear();
                self.held.network.responder = None;
                let ended = keeper::run(job, theirs, listener);
                exit_now(u8::from(ended.is_err()))
            }
            Forked::Parent { pid, pidfd } => {
                self.status.live.keeper = ProcessRef::of(pid.as_raw_pid());
                self.held.keeper = Some(KeeperHandle {
                    socket: ours,
                    child: Some((pid, pidfd)),
                });
                Ok(())
            }
        }
    }

    fn prepare(&mut self) -> Result<(), ContainerError> {
        let Some(keeper) = &self.held.keeper else {
            return Ok(());
        };
        keeper::order(keeper.socket.as_fd(), Order::Prepare)
            .map_err(host("give an order to", "the keeper"))?;
        let answer = wire::receive::<Answer>(keeper.socket.as_fd())
            .map_err(host("hear from", "the keeper"))?;
        match answer {
            Some((Answer::Parked { init, warnings }, terminal)) => {
                self.status.live.init = Some(init);
                self.held.terminal = terminal;
                self.warnings.extend(warnings);
                Ok(())
            }
            Some((Answer::Failed(failure), _)) => Err(failure.into()),
            _ => Err(ContainerError::Lost(self.status.record.name.to_string())),
        }
    }

    /// Makes the socket for clients.
    pub fn listen(&mut self) -> Result<(), ContainerError> {
        let run = &self.status.files.run;
        let socket = wire::listen(run, crate::container::control::SOCKET, SocketType::STREAM)
            .map_err(host("listen in", run.display().to_string()))?;
        self.held.control = Some(socket);
        Ok(())
    }
}

/// Locks the run directory's lock file, the present one.
pub fn take_lock(store: &ContainerStore, record: &Record) -> Result<Lock, ContainerError> {
    let files = store.files(&record.id);
    let path = files.supervisor_lock();
    loop {
        create_private_dir(&files.run)?;
        let Some(lock) = Lock::try_exclusive(&path)? else {
            return Err(ContainerError::State {
                action: "supervise",
                name: record.name.to_string(),
                reason: "it has a supervisor already".to_owned(),
            });
        };
        // The predecessor removes the whole directory at its end: what we have locked may be gone.
        let same = || -> Result<bool, StateError> {
            let ours = rustix::fs::fstat(&lock).map_err(|e| failed("stat", &path)(e.into()))?;
            Ok(fs::metadata(&path).is_ok_and(|there| there.ino() == ours.st_ino))
        };
        if same()? {
            return Ok(lock);
        }
    }
}

/// The networks of the same root.
pub fn network_store(store: &ContainerStore) -> Result<NetworkStore, ContainerError> {
    Ok(NetworkStore::open(
        store.paths().root(),
        store.paths().run(),
    )?)
}

/// Whether an owner of leases still lives.
pub fn is_alive(store: &ContainerStore, owner: &str) -> bool {
    owner.parse().is_ok_and(|id: ContainerId| {
        !matches!(live::standing(store, &id), Ok(Standing::Idle))
    })
}

/// The first process of another container, which must be running.
pub fn init_of(store: &ContainerStore, id: &ContainerId) -> Result<i32, ContainerError> {
    let live = match live::standing(store, id)? {
        Standing::Supervised(live) => live,
        Standing::Orphaned(live) => Some(live),
        Standing::Idle => None,
    };
    live.and_then(|live| live.init)
        .filter(|init| init.exists())
        .map(|init| init.pid)
        .ok_or_else(|| ContainerError::State {
            action: "join",
            name: store
                .record(id)
                .ok()
                .flatten()
                .map_or_else(|| id.short().to_owned(), |record| record.name.to_string()),
            reason: "it is not running; start it first".to_owned(),
        })
}

/// The ports to publish: those asked for, and with `publish_all` every other documented one.
fn published(record: &Record) -> Vec<crate::spec::PortSpec> {
    let mut ports = record.spec.ports.clone();
    if record.spec.publish_all {
        for exposed in &record.resolved.exposed {
            let Some((port, protocol)) = exposed.split_once('/') else {
                continue;
            };
            let protocol = match protocol {
                "tcp" => crate::spec::Protocol::Tcp,
                "udp" => crate::spec::Protocol::Udp,
                _ => continue,
            };
            let Ok(container_port) = port.parse() else {
                continue;
            };
            if !ports
                .iter()
                .any(|p| p.container_port == container_port && p.protocol == protocol)
            {
                ports.push(crate::spec::PortSpec {
                    container_port,
                    host_ports: None,
                    host_ip: None,
                    protocol,
                });
            }
        }
    }
    ports
}

/// The address under which the container reaches the host.
fn host_gateway(endpoints: &[Endpoint]) -> Option<std::net::IpAddr> {
    endpoints
        .iter()
        .find_map(|endpoint| endpoint.gateway4)
        .map(std::net::IpAddr::V4)
}

/// Name server sockets in the container's namespace, unless it has no network to ask about.
pub fn bind_responder(
    networks: &NetworkStore,
    record: &Record,
    network: &Network,
) -> Result<Option<dns::Responder>, ContainerError> {
    let Some(netns) = &network.netns else {
        return Ok(None);
    };
    if network.endpoints.is_empty() {
        return Ok(None);
    }
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let config = dns::Config::new(
        networks,
        &network.endpoints,
        resolv::upstreams(&record.spec.dns, &host),
    );
    Ok(Some(dns::Responder::bind(netns, config)?))
}

fn filter(record: &Record) -> Result<Filter, ContainerError> {
    let security = &record.spec.security;
    if security.privileged {
        return Ok(Filter::Unconfined);
    }
    Ok(match &security.seccomp {
        SeccompSpec::Default => Filter::Default,
        SeccompSpec::Unconfined => Filter::Unconfined,
        SeccompSpec::File(path) => {
            Filter::Profile(Profile::read(path).map_err(RuntimeError::from)?)
        }
    })
}

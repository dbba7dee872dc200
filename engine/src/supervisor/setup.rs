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
use crate::container::ids::IdRange;
use crate::container::live::{self, Standing};
use crate::container::record::{Phase, ProcessRef, Record};
use crate::container::{ContainerError, ContainerStore, oci};
use crate::network::publish::Listener;
use crate::runtime::seccomp::Profile;
use crate::runtime::{Init, RuntimeError};
use crate::spec::{SeccompSpec, UserNamespace};
use crate::state::{ContainerId, Lock, StateError, crash_point, create_private_dir, failed};
use crate::sys::process::{Fork, Forked, exit_now};
use crate::sys::wire;

use super::job::{Filter, Job};
use super::keeper::{self, Answer, Order};
use super::net::{self, Network};
use super::pipes::Pipes;
use super::status::Status;

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
    /// Its user namespace; `None` is the host's.
    pub userns: Option<OwnedFd>,
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

/// An error on a thing of the host.
pub fn host(
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
        self.held.userns = userns(self.status.store(), &self.status.record)?;
        self.connect()?;
        crash_point("supervise.connected");
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
        let status = &mut self.status;
        let userns = self.held.userns.as_ref().map(AsFd::as_fd);
        self.held.network = net::connect(status.store(), &status.record, userns)?;
        status.live.endpoints = self.held.network.endpoints.clone();
        status.live.ports = self
            .held
            .network
            .listeners
            .iter()
            .map(Listener::published)
            .collect();
        net::write_files(
            status.store(),
            &status.record,
            &status.files,
            &status.live.endpoints,
        )
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
            // It is the keeper's from here on.
            userns: self.held.userns.take().zip(record.ids.map(IdRange::root)),
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
            bundle: files.run.join("bundle"),
            exit_file: files.exit(),
            foreign: match oci::foreign(record, files) {
                Some(foreign) => Some((foreign, oci::cgroup_resources(&record.spec)?)),
                None => None,
            },
        };
        let listener = keeper::listen(&files.run).map_err(host("listen in", &run))?;
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| host("make a pair of", "sockets")(error.into()))?;
        match Fork::default().run().map_err(host("fork", "the keeper"))? {
            Forked::Child => {
                // A name of its own in `ps`; without one it works as well.
                let _ = crate::sys::process::set_title("gantry __keeper");
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

/// A container's user namespace, if it has one of its own.
fn userns(store: &ContainerStore, record: &Record) -> Result<Option<OwnedFd>, ContainerError> {
    let Some(ids) = record.ids else {
        return Ok(None);
    };
    let made = match &record.spec.user_namespace {
        UserNamespace::Container(other) => {
            let init = init_of(store, &other.parse()?)?;
            fs::File::open(format!("/proc/{init}/ns/user")).map(OwnedFd::from)
        }
        UserNamespace::Private | UserNamespace::Host => ids.namespace(),
    };
    made.map(Some)
        .map_err(host("make", "the user namespace of the container"))
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

/// Whether an owner of leases still lives.
pub fn is_alive(store: &ContainerStore, owner: &str) -> bool {
    owner
        .parse()
        .is_ok_and(|id: ContainerId| !matches!(live::standing(store, &id), Ok(Standing::Idle)))
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

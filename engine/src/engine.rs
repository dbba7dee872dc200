//! The facade: everything a caller of the engine can do.
//!
//! An [`Engine`] is cheap to open: it reads nothing, starts no thread and no runtime. All calls
//! are synchronous and may come from several threads at once; what lasts longer than a
//! call (a container, a followed log) is held by processes and files, not by it.

mod build_cache;
mod commit;
mod disk;
mod doctor;
mod facts;
mod import;
mod processes;
mod volumes;

use std::path::PathBuf;

use crate::build::BuildError;
use crate::container::archive::ArchiveError;
use crate::container::control::WaitFor as Until;
use crate::container::events::{Action, Event, EventFilter, EventStream};
use crate::container::exec;
use crate::container::ids::IdRange;
use crate::container::manage::Containers;
use crate::container::{ContainerError, oci};
use crate::error::{Classify, ErrorKind};
use crate::image::{ImageError, ImageStore, Platform, Removed};
use crate::network::{Network, NetworkError, NetworkStore};
use crate::rootless::{self, RootlessError};
use crate::spec::{ContainerSpec, EndpointSpec, NetworkSpec};
use crate::state::{Paths, StateError};
use crate::volume::{VolumeError, VolumeStore};

pub use crate::container::archive::Tree;
pub use crate::container::attach::{AttachEnd, AttachOptions, Attachment, Frame, Interaction};
pub use crate::container::boot::{Attempt, Turn};
pub use crate::container::change::Update;
pub use crate::container::control::WaitFor;
pub use crate::container::create::Created;
pub use crate::container::diff::{Change, ChangeKind};
pub use crate::container::ending::{RemoveOptions, StopOptions, Waited};
pub use crate::container::exec::{ExecSpec, Streams};
pub use crate::container::logs::{LogEntry, LogQuery, LogReader};
pub use crate::container::{Container, ListFilter};
pub use crate::supervisor::log::json::Stream;
pub use build_cache::{CacheKind, CachePiece};
pub use commit::CommitOptions;
pub use disk::{DiskUsage, PruneFilter, PruneOptions, Pruned};
pub use doctor::{Condition, Finding};
pub use facts::Info;
pub use import::ImportOptions;
pub use processes::ProcessTable;
pub use volumes::Present;

/// Where an engine keeps its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Everything below this directory, instead of `/var/lib/gantry` and `/run/gantry`.
    pub root: Option<PathBuf>,
}

/// Any failure of the engine.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each is the error of the module it names")]
pub enum EngineError {
    #[error(transparent)]
    Container(#[from] ContainerError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Rootless(#[from] RootlessError),
    #[error("the container engine needs root, or a user namespace, and this is user {0}")]
    NotRoot(u32),
    #[error("the image cannot be changed")]
    Build(#[source] Box<BuildError>),
}

impl EngineError {
    /// The exit code `docker run` would give: 126 and 127 for the program, 125 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Container(error) => error.exit_code(),
            _ => 125,
        }
    }

    /// The exit code `docker exec` would give where the command could not be started in a container that runs: 127
    /// for a program that is not there, 126 for all else.
    pub fn exec_exit_code(&self) -> Option<u8> {
        match self {
            Self::Container(ContainerError::Supervisor(failure)) => {
                Some(failure.exit_code.max(126))
            }
            _ => None,
        }
    }
}

impl Classify for EngineError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Container(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Build(error) => error.kind(),
            Self::Rootless(error) => error.kind(),
            Self::NotRoot(_) => ErrorKind::Permission,
        }
    }
}

type Result<T, E = EngineError> = std::result::Result<T, E>;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    paths: Paths,
    containers: Containers,
    images: ImageStore,
    networks: NetworkStore,
}

impl Engine {
    /// Opens the engine. Only root can: an ordinary user's process calls [`rootless::enter`] first.
    pub fn open(options: EngineOptions) -> Result<Self> {
        let user = rustix::process::geteuid();
        if !user.is_root() {
            return Err(EngineError::NotRoot(user.as_raw()));
        }
        let paths = match options.root {
            Some(root) => {
                let root = std::path::absolute(&root)
                    .map_err(crate::state::failed("use the root", &root))?;
                Paths::below(&root)
            }
            None => match rootless::places() {
                Some(user) => Paths::new(user.data().to_owned(), user.run().to_owned()),
                None => Paths::system(),
            },
        };
        paths.close()?;
        Ok(Self {
            containers: Containers::open(&paths),
            images: ImageStore::open(paths.root())?,
            networks: NetworkStore::open(&paths),
            paths,
        })
    }

    /// Where everything is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The images.
    pub fn images(&self) -> &ImageStore {
        &self.images
    }

    /// The networks.
    pub fn networks(&self) -> &NetworkStore {
        &self.networks
    }

    /// The volumes.
    pub fn volumes(&self) -> &VolumeStore {
        self.containers.volumes()
    }

    /// The containers that fit, the newest first.
    pub fn list(&self, filter: &ListFilter) -> Result<Vec<Container>> {
        Ok(self.containers.list(filter)?)
    }

    /// One container, by name, id or beginning of an id.
    pub fn inspect(&self, reference: &str) -> Result<Container> {
        Ok(self.containers.inspect(reference)?)
    }

    /// A container's file system: as the container sees it while it runs, else its root with its
    /// volumes, binds and image mounts.
    pub fn files(&self, reference: &str) -> Result<Tree> {
        let container = self.containers.inspect(reference)?;
        let record = self.containers.store().read(&container.id)?;
        let tree = match container.state.pid {
            Some(pid) => Tree::of_process(pid, record.ids.map(IdRange::root)),
            None => Tree::with_mounts(&record.root, &oci::kept_mounts(&record)?),
        };
        Ok(tree?)
    }

    /// Writes a container's root file system, without what is mounted in it, as a tar archive.
    pub fn export(&self, reference: &str, out: &mut dyn std::io::Write) -> Result<()> {
        let id = self.containers.store().find(reference)?;
        let record = self.containers.store().read(&id)?;
        let tree = match self.inspect(id.as_str())?.state.pid {
            Some(pid) => Tree::of_process(pid, record.ids.map(IdRange::root))?,
            None => Tree::of_root(&record.root)?,
        };
        tree.export(out)?;
        self.containers.tell(&record, Action::Export);
        Ok(())
    }

    /// What a container has changed in its root file system.
    pub fn changes(&self, reference: &str) -> Result<Vec<Change>> {
        let store = self.containers.store();
        let record = store.read(&store.find(reference)?)?;
        Ok(crate::container::diff::changes(&record)?)
    }

    /// Changes limits and restart policy; at once if it runs. Returns the limits that are not in force.
    pub fn update(&self, reference: &str, update: &Update) -> Result<Vec<String>> {
        Ok(self.containers.update(reference, update)?)
    }

    /// Puts a container on a further network; at once if it runs.
    pub fn connect_network(&self, reference: &str, endpoint: &EndpointSpec) -> Result<()> {
        Ok(self
            .containers
            .connect_network(&self.networks, reference, endpoint)?)
    }

    /// Takes a container off a network; at once if it runs.
    pub fn disconnect_network(&self, reference: &str, network: &str) -> Result<()> {
        Ok(self
            .containers
            .disconnect_network(&self.networks, reference, network)?)
    }

    /// Removes an image's name, and the image with its last one. With `force` it loses all its
    /// names, and stays only as long as a container uses it.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let removed = self.images.remove(name, force, &self.image_roots()?)?;
        self.tell_removed(&removed);
        Ok(removed)
    }

    /// Removes the images that a name has for these platforms, and the name with the last one.
    pub fn remove_platforms(
        &self,
        name: &str,
        platforms: &[Platform],
        force: bool,
    ) -> Result<Vec<Removed>> {
        let roots = self.image_roots()?;
        let removed = self
            .images
            .remove_platforms(name, platforms, force, &roots)?;
        self.tell_removed(&removed);
        Ok(removed)
    }

    /// Makes a container. Nothing runs yet.
    pub fn create(&self, spec: ContainerSpec) -> Result<Created> {
        if let crate::spec::NetworkMode::Networks(endpoints) = &spec.network {
            for endpoint in endpoints {
                self.networks.get(&endpoint.network)?;
            }
        }
        Ok(self.containers.create(&self.images, spec)?)
    }

    /// Does everything up to the moment before the program runs; ends with this engine if nobody starts it.
    /// Returns what was asked for and is not so.
    pub fn prepare(&self, reference: &str) -> Result<Vec<String>> {
        Ok(self.containers.prepare(reference)?)
    }

    /// Starts a container; one that runs already is left alone.
    /// Returns what was asked for and is not so.
    pub fn start(&self, reference: &str) -> Result<Vec<String>> {
        Ok(self.containers.start(reference)?)
    }

    /// Attaches to a container and then starts it, so that no output is missed.
    pub fn start_attached(&self, reference: &str, options: &AttachOptions) -> Result<Attachment> {
        Ok(self.containers.start_attached(reference, options)?)
    }

    /// Attaches to a container that runs.
    pub fn attach(&self, reference: &str, options: &AttachOptions) -> Result<Attachment> {
        Ok(self.containers.attach(reference, options)?)
    }

    /// Stops a container; one that does not run is left alone.
    pub fn stop(&self, reference: &str, options: &StopOptions) -> Result<()> {
        Ok(self.containers.stop(reference, options)?)
    }

    /// After the start of the machine: starts what the restart policies say.
    pub fn boot(&self) -> Result<Vec<Attempt>> {
        Ok(self.containers.boot()?)
    }

    /// Before the end of the machine: stops all, to be started again by [`Engine::boot`].
    pub fn shut_down(&self) -> Result<Vec<Attempt>> {
        Ok(self.containers.shut_down()?)
    }

    /// Stops it, if it runs, and starts it.
    pub fn restart(&self, reference: &str, options: &StopOptions) -> Result<()> {
        Ok(self.containers.restart(reference, options)?)
    }

    /// Sends a signal, by name or number, to its first process.
    pub fn kill(&self, reference: &str, signal: &str) -> Result<()> {
        Ok(self.containers.kill(reference, signal)?)
    }

    /// Freezes it.
    pub fn pause(&self, reference: &str) -> Result<()> {
        Ok(self.containers.pause(reference)?)
    }

    /// Lets it run on.
    pub fn unpause(&self, reference: &str) -> Result<()> {
        Ok(self.containers.unpause(reference)?)
    }

    /// Removes it.
    pub fn remove(&self, reference: &str, options: &RemoveOptions) -> Result<()> {
        self.containers.remove(reference, options)?;
        self.sweep_later();
        Ok(())
    }

    /// Gives it another name.
    pub fn rename(&self, reference: &str, new: &str) -> Result<()> {
        Ok(self.containers.rename(reference, new)?)
    }

    /// Waits, without polling.
    pub fn wait(&self, reference: &str, until: Until) -> Result<Waited> {
        Ok(self.containers.wait(reference, until)?)
    }

    /// Runs a further process in a container and waits for it; its exit code.
    /// With a terminal, the caller's is used raw until the end.
    pub fn exec(&self, reference: &str, spec: &ExecSpec, streams: Streams<'_>) -> Result<u8> {
        let shield =
            exec::Shield::new(streams, spec.tty).map_err(|source| ContainerError::Host {
                action: "make pipes for",
                path: reference.to_owned(),
                source,
            })?;
        let session = self
            .containers
            .exec(reference, spec, shield.inner(&streams))?;
        let keys = spec.detach_keys.as_deref();
        Ok(exec::attend(&session, streams, shield, keys, reference)?)
    }

    /// Runs a further process and leaves it alone.
    pub fn exec_detached(&self, reference: &str, spec: &ExecSpec) -> Result<()> {
        Ok(self.containers.exec_detached(reference, spec)?)
    }

    /// Reads its log.
    pub fn logs(&self, reference: &str, query: &LogQuery) -> Result<LogReader<'_>> {
        Ok(self.containers.logs(reference, query)?)
    }

    /// Hears of what happens from now on.
    pub fn subscribe(&self, filter: EventFilter) -> Result<EventStream> {
        Ok(EventStream::open(&self.paths, filter)?)
    }

    /// A courtesy: nothing fails because nobody can be told.
    fn tell_network(&self, network: &Network, action: Action) {
        let event = Event::network(&network.id, &network.name, network.driver.name(), action);
        let _ = event.append(&self.paths);
    }

    fn tell_volume(&self, name: &str, action: Action) {
        let _ = Event::volume(name, action).append(&self.paths);
    }

    /// Tells those who listen what happened to an image, called so (an id or a name).
    pub fn tell_image(&self, id: &str, name: &str, action: Action) {
        let _ = Event::of("image", id, action)
            .with("name", name)
            .append(&self.paths);
    }

    fn tell_removed(&self, removed: &[Removed]) {
        for one in removed {
            match one {
                Removed::Untagged(name) => {
                    let name = name.familiar().to_string();
                    self.tell_image(&name, &name, Action::Untag);
                }
                Removed::Deleted(id) => {
                    let id = id.to_string();
                    self.tell_image(&id, &id, Action::Delete);
                }
            }
        }
    }

    /// Makes a network.
    pub fn create_network(&self, spec: &NetworkSpec) -> Result<Network> {
        let network = self.networks.create(spec)?;
        self.tell_network(&network, Action::Create);
        Ok(network)
    }

    /// Removes a network that no live container is on.
    pub fn remove_network(&self, reference: &str) -> Result<Network> {
        let alive = |owner: &str| self.is_alive(owner);
        let network = self.networks.remove(reference, &alive)?;
        self.tell_network(&network, Action::Remove);
        Ok(network)
    }

    fn is_alive(&self, owner: &str) -> bool {
        use crate::container::live::{Standing, standing};
        owner
            .parse()
            .is_ok_and(|id| !matches!(standing(self.containers.store(), &id), Ok(Standing::Idle)))
    }

    /// Has the trash emptied by a process of its own, with nobody waiting. What removes calls it
    /// itself; call it after a build.
    pub fn sweep_later(&self) {
        let trash = self.paths.trash();
        if trash.is_empty() {
            return;
        }
        // Whoever cannot start it leaves the trash to the next one.
        let Ok(executable) = self.containers.executable() else {
            return;
        };
        let arguments = [
            std::ffi::OsStr::new("gantry"),
            std::ffi::OsStr::new(crate::role::SWEEP),
            trash.path().as_os_str(),
        ];
        let _ = crate::sys::spawn_role(executable, &arguments, &[]);
    }
}

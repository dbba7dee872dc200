//! What a backend tells: plain data.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use gantry_engine::spec::Protocol;

/// 64 hexadecimal digits, or whatever a backend uses to name a container for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The first 12 digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A container, as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// The image as asked for.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// Entrypoint and command.
    pub command: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created.
    pub created: SystemTime,
    /// What it does now.
    pub state: State,
    /// When its process began, if it ever did.
    pub started: Option<SystemTime>,
    /// When its process ended.
    pub finished: Option<SystemTime>,
    /// What its probe says.
    pub health: Option<Health>,
    /// Ports in use on this machine.
    pub ports: Vec<PublishedPort>,
    /// Networks it is, or will be, on.
    pub networks: Vec<Endpoint>,
    /// What is mounted.
    pub mounts: Vec<Mounted>,
    /// Containers whose namespaces it shares.
    pub joined: Vec<ContainerId>,
    /// It has a terminal.
    pub tty: bool,
    /// First process on this machine, while running.
    pub pid: Option<u32>,
}

impl Container {
    /// A label's value.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, never started (its process may be parked).
    Created,
    /// Running.
    Running,
    /// Running, and told to stop: it ends within its grace.
    Stopping,
    /// Frozen.
    Paused,
    /// Between two runs; how the last one ended.
    Restarting(Ended),
    /// Being removed.
    Removing,
    /// Ended.
    Exited(Ended),
    /// Could not be cleaned up.
    Dead,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 + signal for a killed one.
    pub code: i32,
    /// The kernel killed something in it for lack of memory.
    pub oom: bool,
    /// Why it could not even start.
    pub error: Option<String>,
}

impl State {
    /// Docker's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running | Self::Stopping => "running",
            Self::Paused => "paused",
            Self::Restarting(_) => "restarting",
            Self::Removing => "removing",
            Self::Exited(_) => "exited",
            Self::Dead => "dead",
        }
    }

    /// A process exists.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Running | Self::Stopping | Self::Paused | Self::Restarting(_)
        )
    }
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last probes, oldest first.
    pub log: Vec<Probe>,
}

/// Verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Not known yet.
    Starting,
    /// Works.
    Healthy,
    /// Does not.
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Exit code; -1 when it timed out or could not run.
    pub exit_code: i32,
    /// What it printed.
    pub output: String,
}

/// A port that is reachable on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Address listened on; `None` for a port that is exposed and not published.
    pub host_ip: Option<IpAddr>,
    /// Port listened on.
    pub host_port: Option<u16>,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Network name.
    pub network: String,
    /// Address, while it has one.
    pub address: Option<IpAddr>,
    /// Names it answers to.
    pub aliases: Vec<String>,
}

/// Something mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Where.
    pub target: String,
    /// What.
    pub source: MountedSource,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountedSource {
    /// A path of this machine.
    Bind(PathBuf),
    /// A named volume.
    Volume(String),
    /// An anonymous volume, by its generated name.
    AnonymousVolume(String),
    /// Anything else.
    Other,
}

/// A network, as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name.
    pub name: String,
    /// Id.
    pub id: String,
    /// Driver.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume, as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where it lives.
    pub mountpoint: PathBuf,
}

/// A volume to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Name.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A local image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id, `sha256:…`.
    pub id: String,
    /// Names.
    pub tags: Vec<String>,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// Bytes.
    pub size: u64,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// When it was last pulled, built or tagged here.
    pub tagged: Option<SystemTime>,
    /// Paths that get an anonymous volume.
    pub volumes: Vec<String>,
    /// It has a health probe of its own.
    pub has_healthcheck: bool,
    /// Its working directory.
    pub working_dir: Option<String>,
}

/// How to remove a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Kill it when it runs.
    pub force: Force,
    /// What becomes of its anonymous volumes.
    pub volumes: AnonymousVolumes,
}

/// Whether a running container may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// No: that is an error.
    No,
    /// Yes: it is killed.
    Yes,
}

/// What becomes of anonymous volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousVolumes {
    /// They stay.
    Keep,
    /// They go.
    Remove,
}

/// Processes of a container, as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// Column titles.
    pub titles: Vec<String>,
    /// A row per process.
    pub rows: Vec<Vec<String>>,
}

/// Resource use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time used so far.
    pub cpu: Duration,
    /// Bytes.
    pub memory: u64,
    /// Bytes; the machine's memory when there is no limit.
    pub memory_limit: u64,
    /// Bytes received.
    pub network_in: u64,
    /// Bytes sent.
    pub network_out: u64,
    /// Bytes read.
    pub block_in: u64,
    /// Bytes written.
    pub block_out: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// Which output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Not before.
    pub since: Option<SystemTime>,
    /// Not after.
    pub until: Option<SystemTime>,
    /// Only the last lines.
    pub tail: Option<usize>,
    /// And what is written from now on.
    pub follow: bool,
}

/// A line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub time: SystemTime,
    /// Where to.
    pub stream: Stream,
    /// What, without the line end.
    pub text: Vec<u8>,
}

/// Output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Whether a sink wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It does not.
    Stop,
}

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub time: SystemTime,
    /// To which.
    pub id: ContainerId,
    /// What.
    pub action: Action,
    /// Name, image and labels, and what belongs to the action (`exitCode`, `signal`).
    pub attributes: BTreeMap<String, String>,
}

/// What happened, as Docker calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Docker's own words")]
pub enum Action {
    Create,
    Start,
    Restart,
    Die,
    Oom,
    Stop,
    Kill,
    Pause,
    Unpause,
    Rename,
    Destroy,
    HealthStatus(HealthStatus),
    Other(String),
}

impl Action {
    /// Docker's word.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Create => "create".to_owned(),
            Self::Start => "start".to_owned(),
            Self::Restart => "restart".to_owned(),
            Self::Die => "die".to_owned(),
            Self::Oom => "oom".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Kill => "kill".to_owned(),
            Self::Pause => "pause".to_owned(),
            Self::Unpause => "unpause".to_owned(),
            Self::Rename => "rename".to_owned(),
            Self::Destroy => "destroy".to_owned(),
            Self::HealthStatus(status) => format!("health_status: {}", status.word()),
            Self::Other(word) => word.clone(),
        }
    }
}

/// A program to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Argument vector.
    pub argv: Vec<String>,
    /// Variables over the container's; `None` takes it away.
    pub env: Vec<(String, Option<String>)>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
    /// With all capabilities.
    pub privileged: bool,
    /// In the background.
    pub detach: bool,
}

/// What a program printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Both streams, in order.
    pub text: Vec<u8>,
}

/// A container just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: ContainerId,
    /// What was asked for and is not so.
    pub warnings: Vec<String>,
}

/// How to attach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachSpec {
    /// Pass standard input on.
    pub stdin: bool,
    /// Pass signals on.
    pub signals: bool,
    /// Keys that detach; `None` is Docker's `ctrl-p,ctrl-q`.
    pub detach_keys: Option<String>,
    /// Start the container once attached, so that no output is missed.
    pub start: bool,
}

/// Whether symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowLink {
    /// The link itself.
    No,
    /// What it points to.
    Yes,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// Progress of a pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProgress {
    /// Which layer, or the whole.
    pub id: String,
    /// What happens to it.
    pub status: String,
    /// Bytes done.
    pub current: Option<u64>,
    /// Of how many.
    pub total: Option<u64>,
}

/// Progress of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step begins.
    Started(String),
    /// A step was in the cache.
    Cached(String),
    /// A step is done.
    Done(String),
    /// A step failed.
    Failed(String),
    /// A step printed a line.
    Log {
        /// The step.
        step: String,
        /// The line.
        line: String,
    },
    /// A warning, drawn with its place.
    Warning(String),
}

//! What can be planned, and why.

use std::fmt;
use std::time::Duration;

use crate::backend::ContainerId;

use super::desired::Condition;

/// What becomes of a network or volume that is to be removed and that somebody else still uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// It stays, and the user is told.
    Stays,
    /// It cannot be made anew: an error.
    Fails,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Make the network with this key.
    CreateNetwork {
        /// Its key in the project.
        key: String,
        /// Its real name.
        name: String,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Its real name.
        name: String,
        /// What becomes of it when somebody else is on it.
        in_use: InUse,
    },
    /// Make the volume with this key.
    CreateVolume {
        /// Its key in the project.
        key: String,
        /// Its real name.
        name: String,
    },
    /// Remove a volume and its data.
    RemoveVolume {
        /// Its real name.
        name: String,
        /// What becomes of it when somebody else mounts it.
        in_use: InUse,
    },
    /// Remove an image.
    RemoveImage {
        /// Its reference.
        reference: String,
    },
    /// Make a container and bring it to the point just before its program begins.
    Create {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
        /// Anonymous volumes taken over from a predecessor: target and volume.
        inherit: Vec<(String, String)>,
        /// The container whose place it takes.
        replaces: Option<Replaced>,
    },
    /// Bring an existing container to the point just before its program begins, wait for its
    /// dependencies, let it begin.
    Start {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// Its name.
        name: String,
        /// The container; `None`: the one an earlier step creates.
        id: Option<ContainerId>,
        /// What must be true before.
        waits: Vec<Wait>,
    },
    /// Stop a container.
    Stop {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
        /// Its service.
        service: String,
        /// Grace period; `None` is the container's own.
        timeout: Option<Duration>,
    },
    /// Stop and start a container.
    Restart {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
        /// Its service.
        service: String,
        /// Grace period; `None` is the container's own.
        timeout: Option<Duration>,
    },
    /// Send a signal.
    Kill {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
        /// The signal.
        signal: String,
    },
    /// Freeze.
    Pause {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
    },
    /// Thaw.
    Unpause {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
    },
    /// Stop a container if it runs, then remove it.
    Remove {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: String,
        /// Its service.
        service: String,
        /// It runs: stop it first, with this grace period.
        stop: StopFirst,
        /// Remove its anonymous volumes.
        volumes: bool,
    },
}

/// Whether a container is stopped before it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopFirst {
    /// It does not run.
    No,
    /// With this grace period; `None` is the container's own.
    Yes(Option<Duration>),
}

/// A container whose place another takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Which.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// It runs.
    pub live: bool,
    /// Grace period for stopping it.
    pub timeout: Option<Duration>,
}

/// Something a start waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The service.
    pub service: String,
    /// What it must reach.
    pub condition: Condition,
    /// If it cannot: fail, or warn and go on.
    pub required: bool,
}

/// Why an operation is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the texts below say it")]
pub enum Reason {
    NotFound,
    NoContainer,
    ScaleUp,
    ScaleDown,
    ConfigChanged,
    ImageChanged,
    Forced,
    VolumesRenewed,
    DependencyRecreated(String),
    DependencyRestarts(String),
    NetworkChanged(String),
    VolumeChanged(String),
    NotOnNetwork(String),
    NotMounted(String),
    Misnamed(String),
    Duplicate,
    Orphan,
    OneOff,
    Created,
    Exited(i32),
    NotRunning,
    Stopping,
    Requested,
    Unused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::NoContainer => f.write_str("no container"),
            Self::ScaleUp => f.write_str("scale up"),
            Self::ScaleDown => f.write_str("scale down"),
            Self::ConfigChanged => f.write_str("config changed"),
            Self::ImageChanged => f.write_str("image changed"),
            Self::Forced => f.write_str("forced"),
            Self::VolumesRenewed => f.write_str("anonymous volumes renewed"),
            Self::DependencyRecreated(service) => write!(f, "dependency {service} recreated"),
            Self::DependencyRestarts(service) => write!(f, "dependency {service} restarts"),
            Self::NetworkChanged(name) => write!(f, "network {name} changed"),
            Self::VolumeChanged(name) => write!(f, "volume {name} changed"),
            Self::NotOnNetwork(name) => write!(f, "not on network {name}"),
            Self::NotMounted(name) => write!(f, "volume {name} not mounted"),
            Self::Misnamed(name) => write!(f, "named {name}"),
            Self::Duplicate => f.write_str("replaced before"),
            Self::Orphan => f.write_str("orphan"),
            Self::OneOff => f.write_str("one-off"),
            Self::Created => f.write_str("created"),
            Self::Exited(code) => write!(f, "exited ({code})"),
            Self::NotRunning => f.write_str("not running"),
            Self::Stopping => f.write_str("is being stopped"),
            Self::Requested => f.write_str("requested"),
            Self::Unused => f.write_str("unused"),
        }
    }
}

/// What the user should know although the plan goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Containers of services that the file no longer has.
    Orphans {
        /// The project.
        project: String,
        /// Names.
        containers: Vec<String>,
    },
    /// A volume whose declaration changed is left alone, with its data.
    VolumeKept {
        /// Its name.
        name: String,
    },
    /// A network or volume that nobody labelled as this project's is used anyway.
    Unlabelled {
        /// `network` or `volume`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The project it belongs to, if any.
        project: Option<String>,
    },
    /// Nothing to do.
    NothingFound {
        /// The project.
        project: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphans {
                project,
                containers,
            } => write!(
                f,
                "found orphan containers ({}) for project `{project}`: remove or rename of a service leaves them; `--remove-orphans` cleans them up",
                containers.join(", ")
            ),
            Self::VolumeKept { name } => write!(
                f,
                "volume `{name}` exists but its declaration has changed since; it is kept with its data, `-y` recreates it without"
            ),
            Self::Unlabelled {
                kind,
                name,
                project: None,
            } => write!(
                f,
                "{kind} `{name}` exists but was not created by Compose; `external: true` says that you mean it"
            ),
            Self::Unlabelled {
                kind,
                name,
                project: Some(project),
            } => write!(
                f,
                "{kind} `{name}` exists but was created for project `{project}`; `external: true` says that you mean it"
            ),
            Self::NothingFound { project } => {
                write!(f, "no resource found to remove for project `{project}`")
            }
        }
    }
}

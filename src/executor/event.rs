//! What happens while a plan is executed: told to whoever renders it.

use crate::backend::{BuildEvent, ImageProgress};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something of the project entered a phase.
    Phase {
        /// Kind of thing.
        kind: Kind,
        /// Its name.
        name: String,
        /// The phase.
        phase: Phase,
    },
    /// An image moves.
    Image {
        /// Its reference.
        reference: String,
        /// How far.
        progress: ImageProgress,
    },
    /// A build goes on.
    Build {
        /// The service whose image it is.
        service: String,
        /// What happened.
        event: BuildEvent,
    },
    /// Something the user should know.
    Warning(String),
}

/// Kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    Image,
    Network,
    Volume,
    Container,
}

impl Kind {
    /// As Docker Compose writes it before a name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Network => "Network",
            Self::Volume => "Volume",
            Self::Container => "Container",
        }
    }
}

/// Phases; the words are Docker Compose's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Phase {
    Creating,
    Created,
    Recreate,
    Recreated,
    Starting,
    Started,
    Running,
    Waiting,
    Healthy,
    Exited,
    Restarting,
    Stopping,
    Stopped,
    Killing,
    Killed,
    Pausing,
    Paused,
    Unpausing,
    Unpaused,
    Removing,
    Removed,
    Pulling,
    Pulled,
    Building,
    Built,
    Pushing,
    Pushed,
    Skipped(String),
    Warning(String),
    Error(String),
}

impl Phase {
    /// The word shown.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Created => "Created",
            Self::Recreate => "Recreate",
            Self::Recreated => "Recreated",
            Self::Starting => "Starting",
            Self::Started => "Started",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Healthy => "Healthy",
            Self::Exited => "Exited",
            Self::Restarting => "Restarting",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Killing => "Killing",
            Self::Killed => "Killed",
            Self::Pausing => "Pausing",
            Self::Paused => "Paused",
            Self::Unpausing => "Unpausing",
            Self::Unpaused => "Unpaused",
            Self::Removing => "Removing",
            Self::Removed => "Removed",
            Self::Pulling => "Pulling",
            Self::Pulled => "Pulled",
            Self::Building => "Building",
            Self::Built => "Built",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::Skipped(_) => "Skipped",
            Self::Warning(_) => "Warning",
            Self::Error(_) => "Error",
        }
    }

    /// Nothing more will happen to the thing in this round.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Creating
                | Self::Recreate
                | Self::Starting
                | Self::Waiting
                | Self::Restarting
                | Self::Stopping
                | Self::Killing
                | Self::Pausing
                | Self::Unpausing
                | Self::Removing
                | Self::Pulling
                | Self::Building
                | Self::Pushing
        )
    }

    /// It went wrong, or not quite right.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Skipped(text) | Self::Warning(text) | Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

/// Where events go. Called from several threads.
pub type Sink<'a> = &'a (dyn Fn(Event) + Sync);

//! Model and observation in, operations with their reasons out. Pure: no I/O, no clock, the
//! same input gives the same text.
//!
//! [`desired`] is what the Compose file asks for, boiled down to what a decision needs;
//! [`observed`] sorts what exists; [`up`], [`down`] and [`lifecycle`] compare; [`graph`] holds
//! the result and [`render`] prints it: `--dry-run`'s output and the tests' oracle.

pub mod desired;
pub mod down;
pub mod graph;
pub mod images;
pub mod labels;
pub mod lifecycle;
pub mod observed;
pub mod operation;
pub mod render;
pub mod up;

pub use desired::{Condition, Dependency, Desired, Resource, Service};
pub use graph::{Plan, Step, StepId};
pub use observed::Observed;
pub use operation::{Operation, Reason, Replaced, Wait, Warning};

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A service was named that the project does not have.
    #[error("no such service: `{service}`")]
    NoSuchService {
        /// What was named.
        service: String,
        /// The nearest declared name.
        suggestion: Option<String>,
    },
    /// An external network is missing.
    #[error("network `{name}` is declared as external, but could not be found")]
    ExternalNetwork {
        /// Its name.
        name: String,
    },
    /// An external volume is missing.
    #[error("volume `{name}` is declared as external, but could not be found")]
    ExternalVolume {
        /// Its name.
        name: String,
    },
    /// A network of that name belongs to something else of Compose.
    #[error(
        "network `{name}` was found but has the label `{label}` set to `{found}`, not `{expected}`"
    )]
    ForeignNetwork {
        /// Its name.
        name: String,
        /// The label.
        label: &'static str,
        /// Its value.
        found: String,
        /// The value wanted.
        expected: String,
    },
    /// `start` of a project that has no container.
    #[error("service `{service}` has no container to start")]
    NothingToStart {
        /// The first service that should have one.
        service: String,
    },
    /// More than one container for a service with a fixed name.
    #[error("service `{service}` has a fixed container name and cannot have {replicas} containers")]
    FixedName {
        /// The service.
        service: String,
        /// How many were asked for.
        replicas: u32,
    },
}

impl PlanError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchService { suggestion, .. } => suggestion
                .as_ref()
                .map(|name| format!("did you mean `{name}`?")),
            Self::ExternalNetwork { name } => {
                Some(format!("create it with `gantry network create {name}`"))
            }
            Self::ExternalVolume { name } => {
                Some(format!("create it with `gantry volume create {name}`"))
            }
            Self::ForeignNetwork { .. } => {
                Some("give one of the two networks another `name:`".to_owned())
            }
            Self::NothingToStart { .. } => {
                Some("create and start it with `gantry up -d`".to_owned())
            }
            Self::FixedName { .. } => Some("remove `container_name`".to_owned()),
        }
    }
}

//! Containers: records and life cycle.
//!
//! [`record`] is what is kept of a container, [`create`] makes one, [`oci`] turns its record
//! into the specification a runtime takes, [`live`] finds out what it does now, [`control`]
//! talks to its supervisor. Nothing here is a daemon: each call reads the records, asks the
//! supervisor where one lives, and replaces it where it has died.

pub mod archive;
pub mod attach;
pub mod boot;
pub mod change;
pub mod check;
pub mod control;
pub mod create;
pub mod diff;
pub mod ending;
mod error;
pub mod events;
pub mod exec;
pub mod ids;
pub mod info;
pub mod live;
pub mod logs;
pub mod machine;
pub mod manage;
mod mount_points;
mod names;
pub mod oci;
pub mod record;
pub mod signal;
pub mod store;
pub mod terminal;

pub use error::{ContainerError, Failure};
pub use info::{
    Container, Health, HealthStatus, ListFilter, MountPoint, MountType, Probe, State, Status,
};
pub use store::ContainerStore;

//! An OCI specification, a root mount and standard streams in; a parked process out.
//!
//! [`prepare`] clones the container's first process with all its namespaces and lets it
//! set everything up: mounts, devices, masks, user, capabilities. It then waits, so all
//! containers of a project can be prepared in parallel; [`Parked::release`] loads the system
//! call filter and executes the program, and a failed execve comes back as a typed error
//! (127 and 126 are told apart). [`exec`] runs a further process in a running container.
//!
//! Everything here is synchronous and refuses to run in a process with a second thread:
//! the child goes on in a copy of our memory, where another thread's locks never open.
//! What the module will not do: networks and user namespaces (it takes a namespace's fd), images and snapshots
//! (it takes a [`crate::mount::RootMount`]), restart policies, logs. `intelRdt`, `timeOffsets`
//! and SELinux labels of the specification are refused by name.

mod bundle;
mod caps;
mod child;
pub mod defaults;
mod error;
mod exec;
pub mod foreign;
pub mod hook;
mod init;
mod launch;
mod parking;
mod plan;
mod process;
mod report;
mod rootfs;
pub mod seccomp;
mod terminal;
pub mod user;

pub use crate::sys::process::Exit;
pub use bundle::make as bundle;
pub use error::{RuntimeError, Stage, Warning};
pub use exec::{Exec, ExecTarget, exec};
pub use launch::{
    Init, Launch, Lookup, NetNs, NsRoot, Parked, Started, Stdio, UserNs, WindowSize, is_waiting,
    prepare, release_waiting,
};

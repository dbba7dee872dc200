//! Gantry's container engine: images, snapshots, runtime, supervision, networks,
//! volumes and builds, as a library without a daemon. It knows no Compose word.
//!
//! [`spec`] is what a caller asks for. ARCHITECTURE.md has the map of the modules and
//! who may know whom; a test holds it.
#![warn(missing_docs)]

pub mod build;
pub mod cdi;
pub mod cgroup;
pub mod container;
pub mod content;
pub mod engine;
pub mod error;
pub mod image;
pub mod layer;
pub mod mount;
pub mod network;
pub mod oci;
pub mod registry;
pub mod role;
pub mod rootless;
pub mod runtime;
pub mod snapshot;
pub mod spec;
pub mod state;
pub mod supervisor;
pub mod sys;
pub mod volume;

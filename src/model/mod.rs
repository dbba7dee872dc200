//! The typed, canonical Compose model. No I/O, no YAML: short forms, merges, variables and
//! relative paths are gone when a `Project` exists.
//!
//! Begin with [`Project`]; [`Service`] has every attribute of the specification. Serde writes each
//! element with canonical keys in docker compose's order; `canonical` turns that into what
//! `config` prints and `hash` into the configuration hash.

mod build;
pub mod canonical;
mod deploy;
mod hash;
mod mounts;
mod network;
mod project;
mod record;
mod scalar;
mod service;

pub use build::*;
pub use deploy::*;
pub use hash::{config_hash, network_hash, volume_hash};
pub use mounts::*;
pub use network::*;
pub use project::*;
pub use record::{Always, EXTENSIONS, Extensions, Nullable, SCALAR};
pub use scalar::*;
pub use service::*;

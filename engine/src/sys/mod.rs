//! Thin, typed system calls that nix and rustix lack. All of the engine's `unsafe` lives here.
//!
//! One file a topic. Nothing here knows a container; nothing decides anything.

pub mod process;
pub mod spawn;

pub use spawn::{Executable, RoleChild, spawn_role};

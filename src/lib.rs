//! Gantry: `compose.yaml` on Linux from one executable, with its own container engine.
//!
//! `loader -> model -> plan -> executor -> engine`; ARCHITECTURE.md has the map.

pub mod backend;
pub mod cli;
pub mod executor;
pub mod loader;
pub mod lower;
pub mod lsp;
pub mod model;
pub mod plan;
pub mod ui;
pub mod watch;

//! The engine's own grammar, as Docker's nouns: `container`, `image`, `network`, `volume`, `system`.

pub mod container;
pub mod image;
pub mod network;
pub mod system;
pub mod volume;

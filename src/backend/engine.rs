//! `gantry-engine` behind the [`Backend`](super::Backend) trait.

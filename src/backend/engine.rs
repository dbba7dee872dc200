//! `gantry-engine` behind the [`Backend`](super::Backend) trait.

use std::path::Path;

use gantry_engine::error::ErrorKind;

use super::{Backend, BackendError, Result};

/// The engine below `root` (default: the system's).
///
/// # Errors
/// When it cannot be opened.
pub fn open(_root: Option<&Path>) -> Result<Box<dyn Backend>> {
    Err(BackendError::new(
        ErrorKind::Unsupported,
        "the engine is not connected yet",
    ))
}

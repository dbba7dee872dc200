//! What the builder asks of registries and web servers.

use std::path::Path;

use super::progress::StepId;
use super::solve::Solver;
use crate::error::ErrorKind;
use crate::image::{Image, Reference};

/// What a web server answered.
pub(super) struct Fetched {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// Pulls an image into the store.
pub(super) fn pull(
    _: &Solver<'_>,
    reference: &Reference,
    _: StepId,
) -> Result<Image, (ErrorKind, String)> {
    Err((
        ErrorKind::NotFound,
        format!(
            "`{}` is not in the store and cannot be pulled yet",
            reference.familiar()
        ),
    ))
}

/// Downloads a file.
pub(super) fn fetch(
    url: &str,
    _: &[(String, String)],
    _: &Path,
) -> Result<Fetched, (ErrorKind, String)> {
    Err((
        ErrorKind::Unsupported,
        format!("cannot fetch `{url}`: downloads are not there yet"),
    ))
}

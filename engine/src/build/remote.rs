//! What the builder asks of registries and web servers.

use std::path::Path;

use super::progress::StepId;
use super::solve::Solver;
use crate::error::{Classify, ErrorKind};
use crate::image::{Image, Reference};
use crate::registry::{self, Fetched};

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
    headers: &[(String, String)],
    to: &Path,
) -> Result<Fetched, (ErrorKind, String)> {
    block_on(registry::fetch(url, headers, to))?.map_err(|error| {
        (
            error.kind(),
            format!("cannot fetch `{url}`: {}", chain(&error)),
        )
    })
}

/// A runtime for one exchange; the caller's thread may block.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, (ErrorKind, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| {
        (
            ErrorKind::Internal,
            format!("cannot start a runtime: {error}"),
        )
    })?;
    Ok(runtime.block_on(future))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        next = source.source();
    }
    text
}

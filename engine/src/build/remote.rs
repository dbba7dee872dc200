//! What the builder asks of registries and web servers.

use std::path::Path;
use std::sync::PoisonError;

use super::progress::{BuildProgress, StepId};
use super::solve::Solver;
use crate::error::{Classify, ErrorKind};
use crate::image::{Image, Platform, Reference, Transfer};
use crate::registry::{self, Fetched, RegistryOptions};

/// Pulls an image into the store, for the platform of the build.
pub(super) fn pull(
    solver: &Solver<'_>,
    reference: &Reference,
    step: StepId,
) -> Result<Image, (ErrorKind, String)> {
    // The sink outlives this call by its type, so what it tells goes through a channel.
    let (sender, receiver) = std::sync::mpsc::channel::<Transfer>();
    let sender = std::sync::Mutex::new(sender);
    let sink = move |transfer: Transfer| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more when the pull has failed elsewhere.
        let _ = sender.send(transfer);
    };
    let platform = Platform::parse(&solver.platform.to_string())
        .map_err(|error| (error.kind(), chain(&error)))?;
    let options = RegistryOptions {
        platform: Some(platform),
        ..RegistryOptions::of_machine()
    };
    let pulled = std::thread::scope(|scope| {
        scope.spawn(move || {
            for transfer in receiver {
                solver.tell(BuildProgress::Transfer {
                    step,
                    item: transfer.layer,
                    done: transfer.current,
                    total: transfer.total,
                });
            }
        });
        let sink = sink;
        block_on(registry::pull(solver.images, reference, &options, &sink))
    })?;
    pulled
        .map(|pulled| pulled.image)
        .map_err(|error| (error.kind(), chain(&error)))
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

//! What the builder asks of registries and web servers.

use std::path::Path;
use std::sync::PoisonError;

use super::platform::Platform;
use super::progress::{BuildProgress, StepId};
use super::solve::Solver;
use crate::error::{Classify, ErrorKind, with_causes};
use crate::image::{Descriptor, Image, Manifest, ProgressSink, Reference, Staged, Transfer};
use crate::layer::DiffId;
use crate::registry::{self, Fetched, RegistryError, RegistryOptions};

type Failure = (ErrorKind, String);

/// Pulls an image into the store.
pub(super) fn pull(
    solver: &Solver<'_>,
    reference: &Reference,
    platform: &Platform,
    step: StepId,
) -> Result<Image, Failure> {
    let options = options(platform);
    let pulled = with_progress(solver, step, async |sink| {
        registry::pull(solver.images, reference, &options, sink).await
    })?;
    Ok(pulled.image)
}

/// The manifest of a shared cache, or of an image, and its configuration.
pub(super) fn artifact(
    solver: &Solver<'_>,
    reference: &Reference,
) -> Result<(Manifest, Vec<u8>), Failure> {
    let options = options(&solver.platform);
    block_on(registry::artifact(solver.images, reference, &options))?.map_err(failure)
}

/// A layer of a shared cache.
pub(super) fn layer(
    solver: &Solver<'_>,
    reference: &Reference,
    blob: &Descriptor,
    diff_id: &DiffId,
    step: StepId,
) -> Result<Staged, Failure> {
    let options = options(&solver.platform);
    with_progress(solver, step, async |sink| {
        registry::layer(solver.images, reference, (blob, diff_id), &options, sink).await
    })
}

/// Pushes a shared cache.
pub(super) fn push(
    solver: &Solver<'_>,
    reference: &Reference,
    manifest: &Manifest,
    bytes: &[u8],
    step: StepId,
) -> Result<(), Failure> {
    let options = options(&solver.platform);
    with_progress(solver, step, async |sink| {
        registry::push_artifact(solver.images, reference, (manifest, bytes), &options, sink).await
    })
    .map(drop)
}

/// What the machine says about registries, and a platform.
fn options(platform: &Platform) -> RegistryOptions {
    RegistryOptions {
        platform: Some(platform.of_image()),
        ..RegistryOptions::of_machine()
    }
}

/// Talks to a registry and tells what moves as that of a step.
fn with_progress<T>(
    solver: &Solver<'_>,
    step: StepId,
    talk: impl AsyncFnOnce(&ProgressSink<'_>) -> Result<T, RegistryError>,
) -> Result<T, Failure> {
    // The sink outlives this call by its type, so what it tells goes through a channel.
    let (sender, receiver) = std::sync::mpsc::channel::<Transfer>();
    let sender = std::sync::Mutex::new(sender);
    let sink = move |transfer: Transfer| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more when the exchange has failed elsewhere.
        let _ = sender.send(transfer);
    };
    let answer = std::thread::scope(|scope| {
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
        block_on(talk(&sink))
    })?;
    answer.map_err(failure)
}

fn failure(error: RegistryError) -> Failure {
    (error.kind(), with_causes(&error))
}

/// Downloads a file.
pub(super) fn fetch(
    url: &str,
    headers: &[(String, String)],
    to: &Path,
) -> Result<Fetched, Failure> {
    block_on(registry::fetch(url, headers, to))?.map_err(|error| {
        (
            error.kind(),
            format!("cannot fetch `{url}`: {}", with_causes(&error)),
        )
    })
}

/// A runtime for one exchange; the caller's thread may block.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
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

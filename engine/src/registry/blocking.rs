//! Pull and push for callers without an asynchronous runtime: each gets one of its own, on a
//! thread of its own, for as long as it lasts. Progress is told on the calling thread.

use std::path::Path;
use std::sync::mpsc::channel;

use crate::content::Digest;
use crate::image::{ImageStore, Reference, Transfer};

use super::{
    FetchError, Fetched, Keeper, Pulled, Pushed, RegistryError, RegistryOptions, digest, fetch,
    login, probe, pull, push, tags,
};

/// [`pull`], returning when it is done.
///
/// # Errors
/// As [`pull`].
pub fn pull_blocking(
    store: &ImageStore,
    reference: &Reference,
    options: &RegistryOptions,
    progress: &dyn Fn(Transfer),
) -> Result<Pulled, RegistryError> {
    with_runtime(progress, async |tell| {
        pull(store, reference, options, tell).await
    })
}

/// [`push`], returning when it is done.
///
/// # Errors
/// As [`push`].
pub fn push_blocking(
    store: &ImageStore,
    reference: &Reference,
    options: &RegistryOptions,
    progress: &dyn Fn(Transfer),
) -> Result<Pushed, RegistryError> {
    with_runtime(progress, async |tell| {
        push(store, reference, options, tell).await
    })
}

/// [`digest`], returning when it is known.
///
/// # Errors
/// As [`digest`].
pub fn digest_blocking(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Digest, RegistryError> {
    with_runtime(&|_| {}, async |_| digest(reference, options).await)
}

/// [`tags`], returning when they are known.
///
/// # Errors
/// As [`tags`].
pub fn tags_blocking(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Vec<String>, RegistryError> {
    with_runtime(&|_| {}, async |_| tags(reference, options).await)
}

/// Whether a registry has what a name means; an error says why not.
///
/// # Errors
/// As [`digest`].
pub fn probe_blocking(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<(), RegistryError> {
    with_runtime(&|_| {}, async |_| probe(reference, options).await)
}

/// [`login`], returning when it is done.
///
/// # Errors
/// As [`login`].
pub fn login_blocking(
    host: &str,
    username: &str,
    password: &str,
    options: &RegistryOptions,
) -> Result<Keeper, RegistryError> {
    with_runtime(&|_| {}, async |_| {
        login(host, username, password, options).await
    })
}

/// [`fetch`] without headers of one's own, returning when it is done.
///
/// # Errors
/// As [`fetch`], and when no runtime can be made.
pub fn fetch_blocking(url: &str, to: &Path) -> Result<Fetched, FetchError> {
    std::thread::scope(|scope| {
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(FetchError::Runtime)?;
            runtime.block_on(fetch(url, &[], to))
        };
        let worker = scope.spawn(work);
        worker.join().unwrap_or(Err(FetchError::Abandoned))
    })
}

fn with_runtime<T: Send>(
    progress: &dyn Fn(Transfer),
    work: impl AsyncFnOnce(&crate::image::ProgressSink) -> Result<T, RegistryError> + Send,
) -> Result<T, RegistryError> {
    let (sender, transfers) = channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| RegistryError::Runtime { source })?;
            let tell = move |transfer| {
                // The caller's thread listens to the end.
                let _ = sender.send(transfer);
            };
            runtime.block_on(work(&tell))
        });
        transfers.into_iter().for_each(progress);
        worker.join().unwrap_or(Err(RegistryError::Abandoned))
    })
}

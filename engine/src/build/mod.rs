//! Dockerfile to image, in this process and on this store.
//!
//! Begin with [`BuildRequest`] and [`build`]. A Dockerfile is parsed (`parse`), its stages become a
//! graph of which only the target's part is kept (`graph`), each needed stage is walked on a thread of its
//! own, and each instruction that makes files becomes a layer: looked up in the content-keyed cache first.
//!
//! Refused by name: frontends from images (`# syntax=` is ignored, as BuildKit does for its own name),
//! several platforms in one build, cache export.

mod chmod;
mod copy;
mod diagnostic;
mod digest;
mod error;
mod expand;
mod glob;
mod graph;
mod ignore;
mod parse;
mod progress;
mod request;
mod select;
mod stages;
mod tree;
mod values;

pub use diagnostic::{Diagnostic, Severity, Source, Span};
pub use error::BuildError;
pub use progress::{BuildProgress, Cancel, LogStream, ProgressSink, StepId};
pub use request::{
    BuildRequest, ContextSource, DockerfileSource, NoCache, Output, PullPolicy, RunNetwork,
    SecretSource,
};

/// What a build gave.
#[derive(Clone, Debug)]
pub struct BuildOutcome {
    /// Id of the image (`sha256:…` of its configuration); `None` for outputs without an image.
    pub image_id: Option<String>,
    /// The references it got.
    pub tags: Vec<String>,
    /// Steps whose result came from the cache.
    pub cached: usize,
    /// Steps that ran.
    pub executed: usize,
    /// Lint warnings, in file order.
    pub warnings: Vec<Diagnostic>,
    /// What `--metadata-file` writes.
    pub metadata: serde_json::Value,
}

/// What a build works with.
#[derive(Clone, Copy)]
pub struct BuildDeps<'a> {
    /// The engine's directories.
    pub paths: &'a std::path::Path,
    /// The executable that is run again in the role `__build-run`.
    pub executable: &'a std::path::Path,
}

/// Builds an image. Blocking: call it from a thread that may block (`spawn_blocking`).
pub fn build(
    _request: &BuildRequest,
    _deps: BuildDeps<'_>,
    _progress: ProgressSink<'_>,
    _cancel: &Cancel,
) -> Result<BuildOutcome, BuildError> {
    Err(BuildError::Unsupported {
        option: "build".into(),
        reason: "the executor is not wired to the image store yet".into(),
    })
}

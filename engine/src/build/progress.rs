//! What a build tells while it runs. Rendering is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::diagnostic::Diagnostic;

/// Number of a step within one build, counted from 1 in order of appearance.
pub type StepId = usize;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum BuildProgress {
    /// A step has begun. `name` is in BuildKit's form: `[build 2/5] RUN make`.
    Started {
        /// The step.
        step: StepId,
        /// What it is.
        name: String,
    },
    /// The step's result was there already.
    Cached {
        /// The step.
        step: StepId,
        /// What it is.
        name: String,
    },
    /// Output of the step's command; lines as they come, without the line end.
    Log {
        /// The step.
        step: StepId,
        /// Standard output or standard error.
        stream: LogStream,
        /// One line.
        line: String,
    },
    /// Bytes moved by the step (pull, download).
    Transfer {
        /// The step.
        step: StepId,
        /// What moves: a layer's digest, a URL.
        item: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// The step is done.
    Done {
        /// The step.
        step: StepId,
        /// How long it took.
        elapsed: Duration,
    },
    /// The step failed; the build's error says more.
    Failed {
        /// The step.
        step: StepId,
        /// One line.
        error: String,
    },
    /// The step was given up because another one failed.
    Cancelled {
        /// The step.
        step: StepId,
    },
    /// Something that deserves attention but does not stop the build.
    Warning(Diagnostic),
}

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Receives [`BuildProgress`] from several threads.
pub type ProgressSink<'a> = &'a (dyn Fn(BuildProgress) + Send + Sync);

/// Lets a caller stop a build: running commands are killed, the build returns `Cancelled`.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ask the build to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

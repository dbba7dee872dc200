//! Health probes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the supervisor finds out whether a container works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Healthcheck {
    /// Switch off the image's probe.
    Disabled,
    /// Run a command in the container.
    Probe {
        /// Argument vector; a shell form has been wrapped in `/bin/sh -c` (or the image's `SHELL`).
        /// `None` keeps the image's test and changes only the timing.
        test: Option<Vec<String>>,
        /// Time between probes; default 30 s.
        interval: Option<Duration>,
        /// Time a probe may take; default 30 s.
        timeout: Option<Duration>,
        /// Failures in a row that make the container unhealthy; default 3.
        retries: Option<u32>,
        /// Failures that begin within this time after start do not count; default 0.
        start_period: Option<Duration>,
        /// Time between probes during `start_period`; default 5 s.
        start_interval: Option<Duration>,
    },
}

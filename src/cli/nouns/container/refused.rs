//! Flags of `docker run` that Gantry refuses, each with its reason. What asks for nothing else
//! than Gantry does anyway is accepted.

use clap::Args;

use crate::cli::error::CliError;

/// What was typed of them.
#[derive(Debug, Args)]
pub struct RefusedOptions {
    /// Skip image verification, which there is none of.
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: bool,
    /// Isolation technology: default.
    #[arg(long, hide = true)]
    isolation: Option<String>,
    /// Kernel memory limit (refused).
    #[arg(long, hide = true)]
    kernel_memory: Option<String>,
    /// Options of the storage driver (refused).
    #[arg(long, hide = true)]
    storage_opt: Vec<String>,
    /// Give the container the engine's API socket (refused).
    #[arg(long, hide = true)]
    use_api_socket: bool,
    /// Volume driver: local.
    #[arg(long, hide = true)]
    volume_driver: Option<String>,
}

/// A refusal.
pub fn refuse(flag: &str, reason: &'static str) -> CliError {
    CliError::Unsupported {
        what: format!("--{flag}"),
        reason,
    }
}

impl RefusedOptions {
    /// Refuses what was given.
    ///
    /// # Errors
    /// The first refusal.
    pub fn check(&self) -> Result<(), CliError> {
        let other = |value: &Option<String>, ours: &str| {
            value
                .as_deref()
                .is_some_and(|value| !["", ours].contains(&value))
        };
        let given = [
            (
                !self.disable_content_trust,
                "disable-content-trust=false",
                "there is no notary to ask; pull by digest instead",
            ),
            (
                other(&self.isolation, "default"),
                "isolation",
                "it chooses between technologies of Windows",
            ),
            (
                self.kernel_memory.is_some(),
                "kernel-memory",
                "Linux has given this limit up; --memory counts kernel memory too",
            ),
            (
                !self.storage_opt.is_empty(),
                "storage-opt",
                "the writable layer has no options; limit space with a tmpfs or a volume",
            ),
            (
                self.use_api_socket,
                "use-api-socket",
                "there is no daemon whose socket could be given to the container",
            ),
            (
                other(&self.volume_driver, "local"),
                "volume-driver",
                "the only volume driver is `local`",
            ),
        ];
        match given.into_iter().find(|(given, ..)| *given) {
            Some((_, flag, reason)) => Err(refuse(flag, reason)),
            None => Ok(()),
        }
    }
}

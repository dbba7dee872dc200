//! Flags of Docker's builders that Gantry refuses, each with its reason, and those that ask for nothing else than
//! it does anyway.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::nouns::container::refuse;
use crate::cli::nouns::image::trust::TrustOption;

/// What was typed of them.
#[derive(Debug, Args)]
pub struct RefusedOptions {
    /// Annotations of the manifest (refused).
    #[arg(long, hide = true)]
    annotation: Vec<String>,
    /// Attestations (refused).
    #[arg(long, hide = true)]
    attest: Vec<String>,
    /// Another builder (refused).
    #[arg(long, hide = true)]
    builder: Option<String>,
    /// Compress what is sent to the builder. Nothing is sent.
    #[arg(long, hide = true)]
    compress: bool,
    /// Limit of a step's time in each period (refused).
    #[arg(long, hide = true)]
    cpu_period: Option<i64>,
    /// Limit of a step's time (refused).
    #[arg(long, hide = true)]
    cpu_quota: Option<i64>,
    /// Weight of a step (refused).
    #[arg(short = 'c', long, hide = true)]
    cpu_shares: Option<i64>,
    /// Processors of a step (refused).
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    /// Memory nodes of a step (refused).
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
    /// Log what the builder does (refused).
    #[arg(short = 'D', long, hide = true)]
    debug: bool,
    /// Remove what steps leave, always. They leave nothing.
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Isolation technology: default.
    #[arg(long, hide = true)]
    isolation: Option<String>,
    /// Memory limit of a step (refused).
    #[arg(short = 'm', long, hide = true)]
    memory: Option<String>,
    /// Limit of a step's memory and swap (refused).
    #[arg(long, hide = true)]
    memory_swap: Option<String>,
    /// Attestation of how the image was made: false.
    #[arg(long, hide = true)]
    provenance: Option<String>,
    /// Remove the containers of steps. There are none.
    #[arg(long, hide = true, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: bool,
    /// Attestation of what is in the image: false.
    #[arg(long, hide = true)]
    sbom: Option<String>,
    /// Security options of steps (refused).
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
    #[command(flatten)]
    trust: TrustOption,
}

impl RefusedOptions {
    /// Refuses what was given.
    pub(super) fn check(&self) -> Result<(), CliError> {
        self.trust.check()?;
        let limits = "steps are limited by a cgroup of yours: give it with --cgroup-parent";
        let attested = "attestations are not made";
        let wanted = |value: &Option<String>| {
            value
                .as_deref()
                .is_some_and(|value| !["", "false"].contains(&value))
        };
        let other = |value: &Option<String>| {
            value
                .as_deref()
                .is_some_and(|value| !["", "default"].contains(&value))
        };
        let given = [
            (
                !self.annotation.is_empty(),
                "annotation",
                "an image gets its manifest when it leaves; put a --label on it",
            ),
            (!self.attest.is_empty(), "attest", attested),
            (
                other(&self.builder),
                "builder",
                "there is one builder, Gantry itself",
            ),
            (self.cpu_period.is_some(), "cpu-period", limits),
            (self.cpu_quota.is_some(), "cpu-quota", limits),
            (self.cpu_shares.is_some(), "cpu-shares", limits),
            (self.cpuset_cpus.is_some(), "cpuset-cpus", limits),
            (self.cpuset_mems.is_some(), "cpuset-mems", limits),
            (
                self.debug,
                "debug",
                "there is no log beside the progress; --explain tells why steps ran",
            ),
            (
                other(&self.isolation),
                "isolation",
                "it chooses between technologies of Windows",
            ),
            (self.memory.is_some(), "memory", limits),
            (self.memory_swap.is_some(), "memory-swap", limits),
            (wanted(&self.provenance), "provenance", attested),
            (
                !self.rm,
                "rm=false",
                "steps leave no containers that could be kept",
            ),
            (wanted(&self.sbom), "sbom", attested),
            (
                !self.security_opt.is_empty(),
                "security-opt",
                "a step asks for it: RUN --security=insecure, with --allow security.insecure",
            ),
        ];
        match given.into_iter().find(|(given, ..)| *given) {
            Some((_, flag, reason)) => Err(refuse(flag, reason)),
            None => Ok(()),
        }
    }
}

//! `build`: build or rebuild services.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Set build-time variables for services.
    #[arg(long)]
    pub build_arg: Vec<String>,
    /// Set builder to use.
    #[arg(long)]
    pub builder: Option<String>,
    /// Check build configuration.
    #[arg(long)]
    pub check: bool,
    /// Set memory limit for the build container. Not supported by BuildKit.
    #[arg(short = 'm', long)]
    pub memory: Option<String>,
    /// Do not use cache when building the image.
    #[arg(long)]
    pub no_cache: bool,
    /// Print equivalent bake file.
    #[arg(long)]
    pub print: bool,
    /// Add a provenance attestation.
    #[arg(long)]
    pub provenance: Option<String>,
    /// Always attempt to pull a newer version of the image.
    #[arg(long)]
    pub pull: bool,
    /// Push service images.
    #[arg(long)]
    pub push: bool,
    /// Suppress the build output.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Add a SBOM attestation.
    #[arg(long)]
    pub sbom: Option<String>,
    /// Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent).
    #[arg(long)]
    pub ssh: Option<String>,
    /// Also build dependencies (transitively).
    #[arg(long)]
    pub with_dependencies: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: BuildArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "build" })
}

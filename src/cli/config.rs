//! `config`: the canonical model, printed.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;

/// What was typed after `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print environment used for interpolation.
    #[arg(long)]
    pub environment: bool,
    /// Format the output. Values: [yaml | json].
    #[arg(long)]
    pub format: Option<String>,
    /// Print the service config hash, one per line.
    #[arg(long)]
    pub hash: Option<String>,
    /// Print the image names, one per line.
    #[arg(long)]
    pub images: bool,
    /// Produces an override file with image digests.
    #[arg(long)]
    pub lock_image_digests: bool,
    /// Print the model names, one per line.
    #[arg(long)]
    pub models: bool,
    /// Print the network names, one per line.
    #[arg(long)]
    pub networks: bool,
    /// Don't check model consistency - warning: may produce invalid Compose output.
    #[arg(long)]
    pub no_consistency: bool,
    /// Don't resolve service env files.
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Don't interpolate environment variables.
    #[arg(long)]
    pub no_interpolate: bool,
    /// Don't normalize compose model.
    #[arg(long)]
    pub no_normalize: bool,
    /// Don't resolve file paths.
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Save to file.
    #[arg(short = 'o', long)]
    pub output: Option<String>,
    /// Print the profile names, one per line.
    #[arg(long)]
    pub profiles: bool,
    /// Only validate the configuration, don't print anything.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Pin image tags to digests.
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print the service names, one per line.
    #[arg(long = "services")]
    pub names_of_services: bool,
    /// Print model variables and default values.
    #[arg(long)]
    pub variables: bool,
    /// Print the volume names, one per line.
    #[arg(long)]
    pub volumes: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(_global: &Global, _args: ConfigArgs) -> Result<Exit, CliError> {
    Err(CliError::NotYet { verb: "config" })
}

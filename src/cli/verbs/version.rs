//! `version`: show the Docker Compose version information.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{print, print_json};

/// What was typed after `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Format the output. Values: [pretty | json]. (Default: pretty).
    #[arg(short = 'f', long)]
    pub format: Option<String>,
    /// Shows only Compose's version number.
    #[arg(long)]
    pub short: bool,
}

/// Runs the verb.
pub fn run(_global: &Global, args: VersionArgs) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    match args.format.as_deref() {
        _ if args.short => print(&format!("{version}\n"))?,
        None | Some("" | "pretty") => print(&format!("Gantry version {version}\n"))?,
        Some("json") => print_json(&serde_json::json!({ "version": version }))?,
        Some(other) => {
            return Err(CliError::usage(format!(
                "unknown format `{other}`: pretty or json"
            )));
        }
    }
    Ok(Exit::Success)
}

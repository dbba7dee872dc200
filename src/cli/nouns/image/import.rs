//! `image import`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::Args;
use gantry_engine::engine::{Engine, ImportOptions};
use gantry_engine::image::Platform;
use gantry_engine::registry;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{print, read_archive};
use crate::cli::platform;

/// What was typed after `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A line of a Dockerfile that changes the image's settings.
    #[arg(short = 'c', long)]
    change: Vec<String>,
    /// What stands in the image's history.
    #[arg(short = 'm', long)]
    message: Option<String>,
    /// What its programs run on, os/arch[/variant].
    #[arg(long)]
    platform: Option<String>,
    /// The archive: a file, a URL, or - for standard input.
    #[arg(value_name = "FILE|URL|-")]
    source: String,
    /// The image's name.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

/// Runs the command.
pub fn run(engine: &Engine, args: &ImportArgs) -> Result<Exit, CliError> {
    let platform = platform::or_default(args.platform.as_deref())?;
    let platform = platform.as_deref().map(Platform::parse).transpose();
    let options = ImportOptions {
        reference: args.reference.clone(),
        message: args
            .message
            .clone()
            .unwrap_or_else(|| format!("Imported from {}", args.source)),
        changes: args.change.clone(),
        platform: platform.map_err(super::wrap)?,
    };
    let id = engine.import(open(&args.source)?, &options)?;
    print(&format!("{id}\n"))?;
    Ok(Exit::Success)
}

fn open(source: &str) -> Result<Box<dyn Read>, CliError> {
    if source.starts_with("http://") || source.starts_with("https://") {
        return download(source);
    }
    read_archive("import", (source != "-").then(|| Path::new(source)))
}

/// Brings the archive of a URL into a file without a name.
fn download(url: &str) -> Result<Box<dyn Read>, CliError> {
    let failed = |source| CliError::Io {
        what: format!("fetch `{url}`"),
        source,
    };
    let memory = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|errno| failed(errno.into()))?;
    let file = File::from(memory);
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let fetched = registry::fetch_blocking(url, path.as_ref())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    if !(200..300).contains(&fetched.status) {
        let answer = format!("the server answers {}", fetched.status);
        return Err(failed(std::io::Error::other(answer)));
    }
    Ok(Box::new(File::open(&path).map_err(failed)?))
}

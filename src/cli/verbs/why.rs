//! `why`: a value of the project, and every source of it in order of precedence.
//!
//! ```text
//! services.web.environment.DB_URL = "postgres://db/prod"
//!   won   compose.override.yaml:5:15  compose file
//!         written as "postgres://${DB_HOST:-db}/prod"
//!           DB_HOST won   "db"  .env:1:9  env file
//!           DB_HOST lost  "db"  default in the text
//!   lost  compose.yaml:6:15  "postgres://db/dev"  compose file, replaced by the value above
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::{output, session};
use crate::loader::why::{Origin, Why, why};
use crate::loader::{self, KeepResources, Loaded};
use crate::ui::text::printable;

/// What was typed after `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Format the output. Values: [text | json].
    #[arg(long, default_value = "text")]
    pub format: String,
    /// Dotted path of a value, such as `services.web.environment.DB_URL`; what has parts shows
    /// the winner of each.
    #[arg(value_name = "PATH")]
    pub path: String,
}

/// Runs the verb.
///
/// # Errors
/// Every problem of the compose files; a path that nothing has.
pub fn run(global: &Global, args: WhyArgs) -> Result<Exit, CliError> {
    let mut options = session::options(global)?;
    options.resources = KeepResources::All;
    let colour = session::colour(global);
    let loaded = loader::load(&options).map_err(|p| CliError::Load(p.render(colour)))?;
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(loaded.warnings.render(colour).as_bytes());
    let found = why(&loaded, &args.path).map_err(|error| CliError::NotFound {
        what: "value",
        name: args.path.clone(),
        hint: Some(format!("{error}; {}", error.help)),
    })?;
    let text = match args.format.as_str() {
        "json" => {
            let list: Vec<_> = found.iter().map(Why::to_json).collect();
            serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
        }
        "text" => found.iter().map(|why| render(why, &loaded)).collect(),
        other => {
            return Err(CliError::usage(format!(
                "unsupported format `{other}`: use `text` or `json`"
            )));
        }
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

fn render(why: &Why, loaded: &Loaded) -> String {
    let mut text = format!("{} = {}\n", printable(&why.path), show(&why.value));
    let base = &loaded.project.working_dir;
    for (rank, origin) in why.origins.iter().enumerate() {
        let value = (rank > 0).then(|| show(&origin.value));
        let _ = writeln!(
            text,
            "  {}{}",
            verdict(rank),
            line(origin, value.as_deref(), base)
        );
        let Some(written) = &origin.written else {
            continue;
        };
        let _ = writeln!(
            text,
            "        written as {}",
            show(&written.as_str().into())
        );
        for variable in &origin.variables {
            let name = printable(&variable.name);
            if variable.origins.is_empty() {
                let _ = writeln!(text, "          {name} is not set");
            }
            for (rank, origin) in variable.origins.iter().enumerate() {
                let value = show(&origin.value);
                let _ = writeln!(
                    text,
                    "          {name} {}{}",
                    verdict(rank),
                    line(origin, Some(&value), base)
                );
            }
        }
    }
    text
}

fn verdict(rank: usize) -> &'static str {
    if rank == 0 { "won   " } else { "lost  " }
}

/// Place, value, kind, and why it lost.
fn line(origin: &Origin, value: Option<&str>, base: &Path) -> String {
    let mut parts = Vec::new();
    if let Some(place) = &origin.location {
        let file = place.file.strip_prefix(base).unwrap_or(&place.file);
        let place = format!("{}:{}:{}", file.display(), place.line, place.column);
        parts.push(printable(&place).to_string());
    }
    parts.extend(value.map(str::to_owned));
    let reason = if origin.lost_to.is_empty() {
        String::new()
    } else {
        format!(", {}", origin.lost_to)
    };
    parts.push(format!("{}{reason}", printable(&origin.kind)));
    parts.join("  ")
}

fn show(value: &serde_json::Value) -> String {
    printable(&value.to_string()).to_string()
}

//! The engine's own grammar, as Docker's nouns: `container`, `image`, `network`, `volume`, `system`; `login` and `logout`; `oci`,
//! the runtime by itself.

mod boot;
mod check;
pub mod container;
mod disk;
mod doctor;
mod events;
pub mod image;
pub mod listing;
pub mod login;
pub mod network;
pub mod oci;
mod shape;
pub mod system;
pub mod volume;

use std::io::{IsTerminal as _, Write as _};

use gantry_engine::engine::{Engine, EngineError, EngineOptions};
use gantry_engine::error::{Classify as _, ErrorKind};
use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::output::{print, print_made};
use crate::ui::template::{Format, Shape, Template};

/// The engine below the root that the flags name.
fn open(global: &Global) -> Result<Engine, CliError> {
    Ok(Engine::open(EngineOptions {
        root: global.root.clone(),
    })?)
}

/// Removes each thing and prints its name; with `missing_is_fine`, what does not exist is
/// passed over. Failures are told at once, and the exit code says that there were some.
fn each<T>(
    names: &[String],
    missing_is_fine: bool,
    act: impl Fn(&str) -> Result<T, EngineError>,
) -> Result<Exit, CliError> {
    let mut exit = Exit::Success;
    for name in names {
        match act(name) {
            Ok(_) => print(&format!("{name}\n"))?,
            Err(error) if missing_is_fine && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                eprint!("{}", CliError::from(error).render());
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

/// Asks before something is removed that cannot be brought back. The answer may come from a pipe, as of yes(1).
fn confirm(force: bool, what: &str) -> Result<(), CliError> {
    if force {
        return Ok(());
    }
    eprint!("{what} Are you sure? [y/N] ");
    // The question is on the terminal; the answer follows it.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin()
        .read_line(&mut answer)
        .map_err(|source| CliError::Io {
            what: "read the answer".to_owned(),
            source,
        })?;
    if read == 0 && !std::io::stdin().is_terminal() {
        eprintln!();
        return Err(CliError::usage(
            "nobody answers here: use --force".to_owned(),
        ));
    }
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(CliError::Declined)
    }
}

/// Prints things of a shape as `inspect` does: one JSON array, or a template a line. What does not
/// exist is told at the end.
fn print_inspected(
    format: Option<&str>,
    shape: Shape,
    names: &[String],
    mut look: impl FnMut(&str) -> Result<Value, EngineError>,
) -> Result<Exit, CliError> {
    let mut found = Vec::new();
    let mut failures = String::new();
    for name in names {
        match look(name) {
            Ok(value) => found.push(value),
            Err(error) => failures += &CliError::from(error).render(),
        }
    }
    match format {
        None => {
            let text = serde_json::to_string_pretty(&found).unwrap_or_default();
            print(&format!("{text}\n"))?;
        }
        Some(format) => {
            for value in &found {
                print_made(&render(format, value, shape)?)?;
            }
        }
    }
    if failures.is_empty() {
        return Ok(Exit::Success);
    }
    eprint!("{failures}");
    Ok(Exit::Failure)
}

fn render(format: &str, value: &Value, shape: Shape) -> Result<String, CliError> {
    Ok(match Format::parse(format)? {
        Format::Json | Format::Table => format!("{value}\n"),
        Format::Template(template) => template.render_as(value, shape)? + "\n",
        Format::Columns(_) => Template::parse(format)?.render_as(value, shape)? + "\n",
    })
}

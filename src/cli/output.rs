//! Standard output: data, and nothing else; warnings go to standard error. A reader that went away ends it quietly.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::ui::table::Table;
use crate::ui::template::Format;
use crate::ui::text::printable;

/// Prints text as it is.
///
/// # Errors
/// When standard output cannot be written, unless its reader went away.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Io {
            what: "write to standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Prints what a template has made of others' names, labels and the like: on a terminal they are shown, and do nothing
/// to it; a pipe gets them as they are.
///
/// # Errors
/// As [`print()`].
pub fn print_made(text: &str) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        return print(&tamed(text));
    }
    print(text)
}

/// Control characters but ends of lines and tabs made visible.
fn tamed(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let body = line.strip_suffix('\n');
        printable(body.unwrap_or(line)) + if body.is_some() { "\n" } else { "" }
    });
    lines.collect()
}

/// Tells, on standard error, what was asked for and is not so.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {}", printable(warning));
    }
}

/// Prints a value on one line.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &Value) -> Result<(), CliError> {
    print(&format!("{value}\n"))
}

/// Has an archive written to a file or to standard output, which must be no terminal. A file appears
/// whole or not at all.
///
/// # Errors
/// Those of `write`, and when the file cannot be made.
pub fn write_archive(
    verb: &str,
    output: Option<&Path>,
    write: impl FnOnce(&mut dyn io::Write) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let Some(path) = output else {
        if io::stdout().is_terminal() {
            return Err(CliError::usage(format!(
                "{verb} does not write to a terminal: use --output, or a pipe"
            )));
        }
        return write(&mut io::BufWriter::new(io::stdout().lock()));
    };
    // Beside the target and renamed: a failure leaves no half of an archive there.
    let mut partial = path.to_owned().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let failed = |source| CliError::Io {
        what: format!("write `{}`", path.display()),
        source,
    };
    let mut file = io::BufWriter::new(File::create(&partial).map_err(failed)?);
    let written = write(&mut file).and_then(|()| {
        file.flush().map_err(failed)?;
        std::fs::rename(&partial, path).map_err(failed)
    });
    if written.is_err() {
        // The first failure is what the user must read.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Opens the archive that a verb reads: a file, or standard input.
pub fn read_archive(verb: &str, input: Option<&Path>) -> Result<Box<dyn io::Read>, CliError> {
    let Some(path) = input else {
        if io::stdin().is_terminal() {
            return Err(CliError::usage(format!(
                "{verb} reads an archive: name one, or pipe one in"
            )));
        }
        return Ok(Box::new(io::stdin()));
    };
    let file = File::open(path).map_err(|error| CliError::Io {
        what: format!("open `{}`", path.display()),
        source: error,
    })?;
    Ok(Box::new(file))
}

/// Rows to be shown as `--format` asks.
pub struct List {
    /// What was asked for.
    pub format: Format,
    /// One object a row; its fields are what templates name.
    pub rows: Vec<Value>,
}

impl List {
    /// Prints them; `table` makes the command's own table when that is wanted.
    ///
    /// # Errors
    /// When a template names a field that does not exist, or as [`print()`].
    pub fn print(&self, table: impl FnOnce() -> Table) -> Result<(), CliError> {
        match &self.format {
            Format::Table => print(&table().render()),
            Format::Json => print(
                &self
                    .rows
                    .iter()
                    .map(|row| format!("{row}\n"))
                    .collect::<String>(),
            ),
            Format::Template(template) => {
                let mut text = String::new();
                for row in &self.rows {
                    text += &template.render(row)?;
                    text.push('\n');
                }
                print_made(&text)
            }
            Format::Columns(template) => {
                let titles = template.titles();
                let mut table = Table::new(&titles.split('\t').collect::<Vec<_>>(), 10);
                for row in &self.rows {
                    table.row(template.render(row)?.split('\t'));
                }
                print(&table.render())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tamed;

    #[test]
    fn a_label_does_nothing_to_a_terminal() {
        assert_eq!(tamed("a\tb\nc\x1b[2J\r\nd"), "a\tb\nc\\x1b[2J\\r\nd");
        assert_eq!(tamed(""), "");
    }
}

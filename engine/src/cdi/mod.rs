//! Devices by name, as their makers describe them (Container Device Interface, CNCF, `SPEC.md` of version 1.0).
//!
//! `nvidia.com/gpu=all` stands for everything that a container needs to use the device: nodes, libraries, variables,
//! hooks. The descriptions are files below [`directories`]; they are read again at every start, because a new driver
//! writes new ones. What a description asks for and we do not do is refused by its name.

mod edits;
mod file;

use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

pub use edits::Edits;

use crate::error::{Classify, ErrorKind};
use file::File;

/// What is wrong with a device's name, or its description.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// Not of the form `vendor.com/class=name`.
    #[error("`{0}` is not the name of a device: `/dev/…`, or `vendor.com/class=name`")]
    Name(String),
    /// Nobody describes it.
    #[error("no device `{name}` is described below {}{}", list(directories), broken.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Unknown {
        /// Which.
        name: String,
        /// Where its description was looked for.
        directories: Vec<PathBuf>,
        /// A description that could not be read.
        broken: Option<String>,
    },
    /// Two files of one directory describe it.
    #[error("both `{}` and `{}` describe the device `{name}`; remove one", one.display(), other.display())]
    Conflict {
        /// Which.
        name: String,
        /// A description.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
    /// A description asks for something.
    #[error("the device `{name}` needs {what}, which is not supported")]
    Unsupported {
        /// Which.
        name: String,
        /// What its description asks for.
        what: String,
    },
    /// A description asks for a device node that the machine does not have.
    #[error("the device `{name}` needs `{}`", path.display())]
    Node {
        /// Which.
        name: String,
        /// The node on the machine.
        path: PathBuf,
        /// What is the matter with it.
        source: io::Error,
    },
    /// A request for devices by their number.
    #[error("{0}")]
    Request(String),
}

impl Classify for CdiError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Node { source, .. } => Classify::kind(source),
            Self::Name(_) | Self::Conflict { .. } | Self::Request(_) => ErrorKind::Invalid,
        }
    }
}

fn list(directories: &[PathBuf]) -> String {
    let names = directories
        .iter()
        .map(|path| format!("`{}`", path.display()));
    names.collect::<Vec<_>>().join(" and ")
}

/// Where descriptions lie, the ones that count more last. `GANTRY_CDI_DIRS`, separated by colons, names others.
pub fn directories() -> Vec<PathBuf> {
    match env::var_os("GANTRY_CDI_DIRS") {
        Some(given) => env::split_paths(&given).collect(),
        None => ["/etc/cdi", "/var/run/cdi"].map(PathBuf::from).to_vec(),
    }
}

/// A device's name: `vendor.com/class=name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name<'a> {
    kind: &'a str,
    device: &'a str,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (kind, device) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let is_word = |word: &str, marks: &str, first: fn(&char) -> bool| {
            let last = word.chars().last();
            word.chars().next().as_ref().is_some_and(first)
                && last.is_some_and(|last| last.is_ascii_alphanumeric())
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
        };
        (is_word(vendor, "_-.", char::is_ascii_alphabetic)
            && is_word(class, "_-", char::is_ascii_alphabetic)
            && is_word(device, "_-.:", char::is_ascii_alphanumeric))
        .then_some(Self { kind, device })
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

/// Whether this is the name of a device, and not the path of one.
pub fn is_name(text: &str) -> bool {
    Name::parse(text).is_some()
}

/// The names of GPUs, or what else a driver has, that are asked for by number or by id; a count below zero is all of them.
///
/// # Errors
/// A driver that we know no names of.
pub fn request(driver: &str, count: i64, ids: &[String]) -> Result<Vec<String>, CdiError> {
    let kind = match driver {
        "" | "nvidia" => "nvidia.com/gpu",
        "amd" | "amd.com" => "amd.com/gpu",
        "intel" | "intel.com" => "intel.com/gpu",
        "cdi" if ids.is_empty() => {
            return Err(CdiError::Request(
                "the driver `cdi` needs the names of devices, `vendor.com/class=name`".to_owned(),
            ));
        }
        "cdi" => return ids.iter().map(|id| checked(id.clone())).collect(),
        other => {
            return Err(CdiError::Request(format!(
                "the device driver `{other}` is not known; there are `nvidia`, `amd`, `intel`, and `cdi` with the names of devices"
            )));
        }
    };
    let named = |device: &dyn fmt::Display| checked(format!("{kind}={device}"));
    match ids {
        [] if count < 0 => Ok(vec![named(&"all")?]),
        [] => (0..count).map(|number| named(&number)).collect(),
        ids => ids.iter().map(|id| named(id)).collect(),
    }
}

fn checked(name: String) -> Result<String, CdiError> {
    match is_name(&name) {
        true => Ok(name),
        false => Err(CdiError::Name(name)),
    }
}

/// What these devices add to a container.
///
/// # Errors
/// The first device that nobody describes, or that needs something that is not there.
pub fn find(names: &[String]) -> Result<Edits, CdiError> {
    find_below(&directories(), names)
}

fn find_below(directories: &[PathBuf], names: &[String]) -> Result<Edits, CdiError> {
    let mut edits = Edits::default();
    if names.is_empty() {
        return Ok(edits);
    }
    let mut broken = None;
    let known: Vec<Vec<(PathBuf, File)>> = directories
        .iter()
        .map(|directory| read_all(directory, &mut broken))
        .collect();
    // What a description says of all its devices counts once.
    let mut general: Vec<&Path> = Vec::new();
    for text in names {
        let name = Name::parse(text).ok_or_else(|| CdiError::Name(text.clone()))?;
        let Some((path, file, device)) = known
            .iter()
            .rev()
            .find_map(|files| {
                let mut of_this = files.iter().filter_map(|(path, file)| {
                    let device = file.device(name.kind, name.device)?;
                    Some((path, file, device))
                });
                let first = of_this.next()?;
                Some(match of_this.next() {
                    None => Ok(first),
                    Some((other, ..)) => Err(CdiError::Conflict {
                        name: text.clone(),
                        one: first.0.clone(),
                        other: other.clone(),
                    }),
                })
            })
            .transpose()?
        else {
            return Err(CdiError::Unknown {
                name: text.clone(),
                directories: directories.to_vec(),
                broken,
            });
        };
        if !general.contains(&path.as_path()) {
            general.push(path);
            edits.add(text, &file.edits)?;
        }
        edits.add(text, &device.edits)?;
    }
    Ok(edits)
}

/// The descriptions of a directory by name. One that is damaged hides no other; it is told when a device is missing.
fn read_all(directory: &Path, broken: &mut Option<String>) -> Vec<(PathBuf, File)> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                *broken = Some(format!("`{}`: {error}", directory.display()));
            }
            Vec::new()
        }
    };
    paths.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml"))
    });
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        match File::read(&path) {
            Ok(file) => files.push((path, file)),
            Err(reason) => *broken = Some(format!("`{}`: {reason}", path.display())),
        }
    }
    files
}

#[cfg(test)]
mod tests;

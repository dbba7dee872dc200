//! Where the user wrote what could not be run.
//!
//! The engine knows containers and no files. Its errors name what they are about (a path, a user, a program, a port);
//! a service that has just one such thing has it at a place of its file, which is shown after the error.

use std::error::Error as _;

use crate::backend::BackendError;
use crate::cli::error::CliError;
use crate::cli::findings;
use crate::cli::global::Global;
use crate::executor::{Cause, ExecuteError, Failure};
use crate::loader::{Diagnostics, Loaded, Severity};
use crate::model::Service;

/// Notes that point at the attributes that an error is about; empty where there are none.
#[must_use]
pub fn notes(global: &Global, error: &CliError) -> String {
    let refusals = refusals(error);
    if refusals.is_empty() {
        return String::new();
    }
    // The model knows no places: the files are loaded once more.
    let Some(loaded) = findings::load(global) else {
        return String::new();
    };
    let mut all = Diagnostics {
        sources: loaded.warnings.sources.clone(),
        ..Diagnostics::default()
    };
    for (service, causes) in refusals {
        if let Some(path) = path(&loaded, service, &causes) {
            let message = "it is written here";
            all.push(loaded.problem(Severity::Note, "written-here", &path, message));
        }
    }
    all.render(crate::cli::session::colour(global))
}

/// Services that the engine refused to run, each with the causes, which name what they are about.
fn refusals(error: &CliError) -> Vec<(&str, String)> {
    match error {
        CliError::Execute(ExecuteError::Failed(failures)) => {
            failures.iter().filter_map(refusal).collect()
        }
        CliError::OneOff { service, error } => vec![(service, causes(error))],
        CliError::BeforeRun(error) => refusals(error),
        _ => Vec::new(),
    }
}

fn refusal(failure: &Failure) -> Option<(&str, String)> {
    let Cause::Engine(error) = &failure.cause else {
        return None;
    };
    Some((failure.service.as_deref()?, causes(error)))
}

/// Not the error itself, which names the service's container.
fn causes(error: &BackendError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let lines: Vec<_> = causes.map(ToString::to_string).collect();
    lines.join("\n")
}

/// The dotted path of the attribute that causes are about.
fn path(loaded: &Loaded, name: &str, causes: &str) -> Option<String> {
    let service = loaded.project.services.get(name)?;
    let mut things = things(service).into_iter();
    let (attribute, _) = things.find(|(_, thing)| is_named(causes, thing))?;
    let path = format!("services.{name}.{attribute}");
    // What came from somewhere else, such as the image, is not there.
    loaded.tree.locate(&path).map(|_| path)
}

/// What errors of the engine may be about, and the attributes that it stands in.
fn things(service: &Service) -> Vec<(String, String)> {
    let mut things = Vec::new();
    let mut add = |attribute: String, thing: &str| things.push((attribute, thing.to_owned()));
    for (index, mount) in service.volumes.iter().enumerate() {
        add(format!("volumes[{index}]"), &mount.target);
        add(format!("volumes[{index}]"), &mount.source);
    }
    for (index, mount) in service.tmpfs.iter().enumerate() {
        let target = mount.split(':').next().unwrap_or(mount);
        add(format!("tmpfs[{index}]"), target);
    }
    for (index, device) in service.devices.iter().enumerate() {
        add(format!("devices[{index}]"), &device.source);
    }
    for (index, port) in service.ports.iter().enumerate() {
        let protocol = match port.protocol.as_str() {
            "" => "tcp",
            protocol => protocol,
        };
        let (first, last) = port.host_ports().unwrap_or((1, 0));
        for number in first..=last {
            add(format!("ports[{index}]"), &format!("{number}/{protocol}"));
        }
    }
    for (index, group) in service.group_add.iter().enumerate() {
        add(format!("group_add[{index}]"), group);
    }
    for part in service.user.split(':') {
        add("user".to_owned(), part);
    }
    add("working_dir".to_owned(), &service.working_dir);
    for (attribute, words) in [
        ("entrypoint", service.entrypoint.as_ref()),
        ("command", service.command.as_ref()),
    ] {
        if let Some(program) = words.and_then(|words| words.first()) {
            add(attribute.to_owned(), program);
        }
    }
    things
}

/// Whether a text names a thing: as a whole, and not as a part of another.
fn is_named(text: &str, thing: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_none_or(|c| " `'\"():,;\n".contains(c));
    !thing.is_empty()
        && text.match_indices(thing).any(|(start, _)| {
            is_edge(text[..start].chars().next_back())
                && is_edge(text[start + thing.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn a_thing_is_named_as_a_whole() {
        let text = "127.0.0.1:8080/tcp is taken; cannot mount at `/data (nfs of :/)` for `bob`";
        for thing in ["8080/tcp", "/data", "bob"] {
            assert!(is_named(text, thing), "{thing}");
        }
        for thing in ["80/tcp", "/dat", "data", "ob", ""] {
            assert!(!is_named(text, thing), "{thing}");
        }
    }
}

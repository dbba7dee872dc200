//! `extends`: a service laid over another one, of this file or another.
//!
//! Runs inside one file, after interpolation and before the file is merged with others. The
//! paths of a service from another file are rewritten relative to the project directory.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use super::diagnostic::{Diagnostic, did_you_mean};
use super::discover::absolute;
use super::merge::{Merging, merge};
use super::paths::{self, relative};
use super::pipeline::{Pipeline, Scope};
use super::reset;
use super::source::{Reached, Span};
use super::tree::{Map, Node, Path, Rival, Value};

/// Services of files that were read for `extends`, ready for merging.
#[derive(Debug, Default)]
pub struct Bases {
    files: HashMap<PathBuf, Option<Base>>,
}

#[derive(Clone, Debug)]
struct Base {
    services: Map,
    resets: Vec<Path>,
    span: Span,
}

/// A service on the way from child to base, for showing a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    file: PathBuf,
    service: String,
    span: Span,
}

/// Resolves every `extends` of a document.
pub fn apply(
    pipeline: &mut Pipeline<'_>,
    root: &mut Node,
    resets: &[Path],
    file: &FilePath,
    scope: &mut Scope,
) {
    let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
        return;
    };
    let names: Vec<String> = services
        .iter()
        .filter(|(_, s)| s.get("extends").is_some())
        .map(|(n, _)| n.clone())
        .collect();
    for name in names {
        resolve(
            pipeline,
            &name,
            services,
            resets,
            file,
            scope,
            &mut Vec::new(),
        );
    }
}

/// Resolves one service in place; false when it cannot be.
fn resolve(
    pipeline: &mut Pipeline<'_>,
    name: &str,
    services: &mut Map,
    resets: &[Path],
    file: &FilePath,
    scope: &mut Scope,
    steps: &mut Vec<Step>,
) -> bool {
    let Some(service) = services.get(name) else {
        return true;
    };
    let Some(extends) = service.get("extends").cloned() else {
        return true;
    };
    let place = extends.place();
    let at = Path::of(&["services", name, "extends"]);
    let step = Step {
        file: file.to_owned(),
        service: name.to_owned(),
        span: place,
    };
    if let Some(i) = steps
        .iter()
        .position(|s| s.file == step.file && s.service == step.service)
    {
        let chain: Vec<String> = steps[i..]
            .iter()
            .chain([&step])
            .map(|s| format!("`{}`", s.service))
            .collect();
        let mut problem = Diagnostic::error(
            "extends-cycle",
            steps[i].span,
            format!(
                "Circular reference: service {} extends itself: {}",
                chain[0],
                chain.join(" extends ")
            ),
        )
        .at(&at)
        .help("remove one of these `extends`");
        for s in &steps[i + 1..] {
            problem = problem.related(s.span, format!("`{}` extends here", s.service));
        }
        pipeline.problem(problem);
        drop_extends(services, name);
        return false;
    }
    let (base_name, base_file) = match &extends.value {
        Value::Str(base) => (base.clone(), None),
        Value::Map(map) => {
            let Some(base) = map.get("service").and_then(Node::as_str) else {
                pipeline.problem(
                    Diagnostic::error(
                        "missing-key",
                        place,
                        format!("extends.{name}.service is required"),
                    )
                    .at(&at)
                    .help("add `service:` with the service to extend"),
                );
                drop_extends(services, name);
                return false;
            };
            let file = match map.get("file") {
                None => None,
                Some(node) => match node.as_str() {
                    Some(text) => Some((text.to_owned(), node.place())),
                    None => {
                        pipeline.problem(
                            Diagnostic::error(
                                "bad-type",
                                node.place(),
                                format!("`{at}.file` must be a string, not {}", node.kind()),
                            )
                            .at(&at)
                            .help("name a file"),
                        );
                        drop_extends(services, name);
                        return false;
                    }
                },
            };
            (base.to_owned(), file)
        }
        // Other kinds are for the schema.
        _ => return false,
    };
    steps.push(step);
    let base = match base_file {
        None => {
            if !services.contains_key(&base_name) {
                missing(pipeline, &at, place, name, &base_name, file, services);
                drop_extends(services, name);
                steps.pop();
                return false;
            }
            resolve(pipeline, &base_name, services, resets, file, scope, steps);
            services.get(&base_name).cloned()
        }
        Some((base_file, file_place)) => from_file(
            pipeline, name, &base_name, &base_file, file_place, &at, scope, steps,
        ),
    };
    steps.pop();
    let Some(mut base) = base else {
        drop_extends(services, name);
        return false;
    };
    let Some(service) = services.get(name).cloned() else {
        return false;
    };
    if base.is_null() {
        // A base without attributes: the service alone, its `extends` kept for the schema to see.
        drop_extends(services, name);
        return true;
    }
    if !resets.is_empty() {
        let mut inner = Map::new();
        inner.insert(name.to_owned(), base);
        let mut outer = Map::new();
        outer.insert("services".to_owned(), Node::map(inner, Span::NONE));
        let mut wrapped = Node::map(outer, Span::NONE);
        reset::apply(&mut wrapped, resets);
        let taken = wrapped
            .get_mut("services")
            .and_then(Node::as_map_mut)
            .and_then(|m| m.shift_remove(name));
        base = taken.unwrap_or_else(|| Node::map(Map::new(), Span::NONE));
    }
    let (key, span) = (service.key, service.span);
    let mut merging = Merging {
        rival: Rival::Extending(place),
        problems: &mut pipeline.problems,
    };
    let mut merged = merge(base, service, &Path::of(&["services", name]), &mut merging);
    merged.key = key;
    merged.span = span;
    if let Some(map) = merged.as_map_mut() {
        map.shift_remove("extends");
    }
    services.insert(name.to_owned(), merged);
    true
}

fn drop_extends(services: &mut Map, name: &str) {
    if let Some(map) = services.get_mut(name).and_then(Node::as_map_mut) {
        map.shift_remove("extends");
    }
}

fn missing(
    pipeline: &mut Pipeline<'_>,
    at: &Path,
    place: Span,
    name: &str,
    base: &str,
    file: &FilePath,
    services: &Map,
) {
    let help = did_you_mean(
        base,
        services.keys().map(String::as_str).filter(|n| *n != name),
    );
    pipeline.problem(
        Diagnostic::error(
            "unknown-service",
            place,
            format!(
                "cannot extend service \"{name}\" in {}: service \"{base}\" not found",
                file.display()
            ),
        )
        .at(at)
        .help(
            help.unwrap_or_else(|| {
                format!("define `{base}`, or name the file it is in with `file:`")
            }),
        ),
    );
}

#[expect(
    clippy::too_many_arguments,
    reason = "the place of one `extends`, passed on once"
)]
fn from_file(
    pipeline: &mut Pipeline<'_>,
    name: &str,
    base_name: &str,
    base_file: &str,
    place: Span,
    at: &Path,
    scope: &mut Scope,
    steps: &mut Vec<Step>,
) -> Option<Node> {
    let path = absolute(&scope.absolute, FilePath::new(base_file));
    if !scope.bases.files.contains_key(&path) {
        pipeline.sources.reach(&path, Reached::Extends(place));
        let loaded = read(pipeline, &path, place, scope);
        scope.bases.files.insert(path.clone(), loaded);
    }
    // Taken out while it is worked on: a file that leads back to itself is read again.
    let mut base = scope.bases.files.remove(&path)??;
    if !base.services.contains_key(base_name) {
        let help = did_you_mean(base_name, base.services.keys().map(String::as_str));
        pipeline.problem(
            Diagnostic::error("unknown-service", place, format!("cannot extend service \"{name}\": service \"{base_name}\" not found in {base_file}"))
                .at(at)
                .related(base.span, "services of that file")
                .help(help.unwrap_or_else(|| format!("define `{base_name}` there"))),
        );
        scope.bases.files.insert(path, Some(base));
        return None;
    }
    let resets = base.resets.clone();
    let resolved = resolve(
        pipeline,
        base_name,
        &mut base.services,
        &resets,
        &path,
        scope,
        steps,
    );
    let found = base.services.get(base_name).filter(|_| resolved).cloned();
    scope.bases.files.insert(path, Some(base));
    found
}

fn read(
    pipeline: &mut Pipeline<'_>,
    path: &FilePath,
    place: Span,
    scope: &mut Scope,
) -> Option<Base> {
    if path.is_dir() || !(path.exists() || pipeline.sources.is_file(path)) {
        pipeline.problem(
            Diagnostic::error(
                "no-such-file",
                place,
                format!("extends: file {} not found", path.display()),
            )
            .help("the path is relative to the directory of this file"),
        );
        return None;
    }
    let (mut root, resets) = pipeline.base_document(path, scope)?;
    let mut span = Span::NONE;
    let services = match root.get("services") {
        Some(node) => {
            span = node.key.or(node.span);
            node.as_map().cloned()
        }
        None => None,
    };
    if services.is_none() {
        let problem = match root.get("services") {
            None => format!("cannot extend from {}: no services section", path.display()),
            Some(_) => format!(
                "cannot extend from {}: services must be a mapping",
                path.display()
            ),
        };
        pipeline.problem(
            Diagnostic::error("no-services", place, problem)
                .help("name a Compose file with `services:`"),
        );
        return None;
    }
    let directory = path.parent().unwrap_or(FilePath::new("/"));
    let base = relative(&scope.absolute, directory);
    paths::resolve(&mut root, &base, pipeline.home(), paths::Links::Follow);
    let services = root.get("services").and_then(Node::as_map).cloned()?;
    Some(Base {
        services,
        resets,
        span,
    })
}

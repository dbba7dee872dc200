//! `extends`: a service laid over another one, of this file or another.
//!
//! Runs inside one file, after interpolation and before the file is merged with others. The
//! paths of a service from another file are rewritten relative to the project directory.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};

use super::diagnostic::{Diagnostic, did_you_mean};
use super::discover::{absolute, missing_file};
use super::merge::{Merging, merge};
use super::paths::{self, relative};
use super::pipeline::{Pipeline, Scope};
use super::reset;
use super::source::{Reached, Span};
use super::trail::Trail;
use super::tree::{Map, Node, Path, Rival, Value};
use super::yaml;

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

/// Longest way from a service to its last base.
const MAX_CHAIN: usize = 200;

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
    let mut walk = Walk {
        pipeline,
        scope,
        steps: Vec::new(),
    };
    for name in names {
        walk.resolve(&name, services, Home { file, resets });
    }
}

/// The file that services stand in, and the paths it resets.
#[derive(Clone, Copy)]
struct Home<'f> {
    file: &'f FilePath,
    resets: &'f [Path],
}

/// What `extends` names.
struct Target {
    service: String,
    file: Option<(String, Span)>,
}

/// The way from one service to its last base.
struct Walk<'w, 'a> {
    pipeline: &'w mut Pipeline<'a>,
    scope: &'w mut Scope,
    steps: Vec<Step>,
}

impl Walk<'_, '_> {
    /// Resolves one service in place; false when it cannot be.
    fn resolve(&mut self, name: &str, services: &mut Map, home: Home<'_>) -> bool {
        let Some(extends) = services.get(name).and_then(|s| s.get("extends")).cloned() else {
            return true;
        };
        let at = Path::of(&["services", name, "extends"]);
        let step = Step {
            file: home.file.to_owned(),
            service: name.to_owned(),
            span: extends.place(),
        };
        if let Some(problem) = self.cycle(&step) {
            self.pipeline.problem(problem.at(&at));
            drop_extends(services, name);
            return false;
        }
        let target = match target(&extends, name, &at) {
            Ok(Some(target)) => target,
            // Other kinds are for the schema.
            Ok(None) => return false,
            Err(problem) => {
                self.pipeline.problem(*problem);
                drop_extends(services, name);
                return false;
            }
        };
        self.steps.push(step);
        let base = self.base(name, &target, extends.place(), services, home);
        self.steps.pop();
        let Some(base) = base else {
            drop_extends(services, name);
            return false;
        };
        // A base without attributes: the service alone, for the schema to see.
        if base.is_null() {
            drop_extends(services, name);
            return true;
        }
        self.lay_over(
            name,
            services,
            without(base, name, home.resets),
            extends.place(),
        )
    }

    /// The error for a way that leads back to itself, or that is too long.
    fn cycle(&self, step: &Step) -> Option<Diagnostic> {
        let same = |s: &Step| s.file == step.file && s.service == step.service;
        let Some(i) = self.steps.iter().position(same) else {
            return (self.steps.len() >= MAX_CHAIN).then(|| {
                Diagnostic::error(
                    "too-deep",
                    step.span,
                    format!("more than {MAX_CHAIN} services extend each other in a row"),
                )
                .help("extend a service nearer to the last base")
            });
        };
        let chain: Vec<String> = self.steps[i..]
            .iter()
            .chain([step])
            .map(|s| format!("`{}`", s.service))
            .collect();
        let mut problem = Diagnostic::error(
            "extends-cycle",
            self.steps[i].span,
            format!(
                "Circular reference: service {} extends itself: {}",
                chain[0],
                chain.join(" extends ")
            ),
        )
        .help("remove one of these `extends`");
        for s in &self.steps[i + 1..] {
            problem = problem.related(s.span, format!("`{}` extends here", s.service));
        }
        Some(problem)
    }

    /// The base, itself resolved.
    fn base(
        &mut self,
        name: &str,
        target: &Target,
        place: Span,
        services: &mut Map,
        home: Home<'_>,
    ) -> Option<Node> {
        let base = match &target.file {
            Some((file, file_place)) => self.in_file(name, &target.service, file, *file_place)?,
            None => {
                if !services.contains_key(&target.service) {
                    let problem = missing(name, &target.service, place, home.file, services);
                    self.pipeline.problem(problem);
                    return None;
                }
                self.resolve(&target.service, services, home);
                services.get(&target.service).cloned()?
            }
        };
        self.afford(&base, place).then_some(base)
    }

    /// Whether one more copy of a base is within bounds; said once.
    fn afford(&mut self, base: &Node, place: Span) -> bool {
        let before = self.pipeline.copied;
        self.pipeline.copied = before.saturating_add(base.count());
        let fits = self.pipeline.copied <= yaml::MAX_NODES;
        if !fits && before <= yaml::MAX_NODES {
            self.pipeline.problem(
                Diagnostic::error(
                    "too-big",
                    place,
                    format!("`extends` copies more than {} values", yaml::MAX_NODES),
                )
                .help("keep what many services extend small"),
            );
        }
        fits
    }

    fn lay_over(&mut self, name: &str, services: &mut Map, base: Node, place: Span) -> bool {
        let Some(slot) = services.get_mut(name) else {
            return false;
        };
        let service = std::mem::replace(slot, Node::new(Value::Null, Span::NONE));
        let (key, span) = (service.key, service.span);
        let mut merging = Merging {
            rival: Rival::Extending(place),
            problems: &mut self.pipeline.problems,
        };
        let mut merged = merge(
            base,
            service,
            &Trail::ROOT.key("services").key(name),
            &mut merging,
        );
        merged.key = key;
        merged.span = span;
        if let Some(map) = merged.as_map_mut() {
            map.shift_remove("extends");
        }
        *slot = merged;
        true
    }

    fn in_file(
        &mut self,
        name: &str,
        base_name: &str,
        base_file: &str,
        place: Span,
    ) -> Option<Node> {
        let path = absolute(&self.scope.absolute, FilePath::new(base_file));
        if !self.scope.bases.files.contains_key(&path) {
            self.pipeline.sources.reach(&path, Reached::Extends(place));
            let at = Path::of(&["services", name, "extends"]);
            let loaded = read(self.pipeline, &path, (place, &at), self.scope);
            self.scope.bases.files.insert(path.clone(), loaded);
        }
        // Taken out while it is worked on: a file that leads back to itself is read again.
        let mut base = self.scope.bases.files.remove(&path)??;
        let found = if base.services.contains_key(base_name) {
            let resets = base.resets.clone();
            let home = Home {
                file: &path,
                resets: &resets,
            };
            let resolved = self.resolve(base_name, &mut base.services, home);
            base.services.get(base_name).filter(|_| resolved).cloned()
        } else {
            let help = did_you_mean(base_name, base.services.keys().map(String::as_str));
            self.pipeline.problem(
                Diagnostic::error("unknown-service", place, format!("cannot extend service \"{name}\": service \"{base_name}\" not found in {base_file}"))
                    .at(Path::of(&["services", name, "extends"]))
                    .related(base.span, "services of that file")
                    .help(help.unwrap_or_else(|| format!("define `{base_name}` there"))),
            );
            None
        };
        self.scope.bases.files.insert(path, Some(base));
        found
    }
}

/// What an `extends` names; `None` when it is neither a name nor a mapping.
fn target(extends: &Node, name: &str, at: &Path) -> Result<Option<Target>, Box<Diagnostic>> {
    let map = match &extends.value {
        Value::Str(base) => {
            return Ok(Some(Target {
                service: base.clone(),
                file: None,
            }));
        }
        Value::Map(map) => map,
        _ => return Ok(None),
    };
    let Some(service) = map.get("service").and_then(Node::as_str) else {
        return Err(Box::new(
            Diagnostic::error(
                "missing-key",
                extends.place(),
                format!("extends.{name}.service is required"),
            )
            .at(at)
            .help("add `service:` with the service to extend"),
        ));
    };
    let file = match map.get("file") {
        None => None,
        Some(node) if node.is_null() => None,
        Some(node) => match node.as_str() {
            Some(text) => Some((text.to_owned(), node.place())),
            None => {
                return Err(Box::new(
                    Diagnostic::error(
                        "bad-type",
                        node.place(),
                        format!("`{at}.file` must be a string, not {}", node.kind()),
                    )
                    .at(at)
                    .help("name a file"),
                ));
            }
        },
    };
    Ok(Some(Target {
        service: service.to_owned(),
        file,
    }))
}

/// A base without what the extending file resets.
fn without(base: Node, name: &str, resets: &[Path]) -> Node {
    if resets.is_empty() {
        return base;
    }
    let mut inner = Map::new();
    inner.insert(name.to_owned(), base);
    let mut outer = Map::new();
    outer.insert("services".to_owned(), Node::map(inner, Span::NONE));
    let mut wrapped = Node::map(outer, Span::NONE);
    reset::apply(&mut wrapped, resets);
    wrapped
        .get_mut("services")
        .and_then(Node::as_map_mut)
        .and_then(|m| m.shift_remove(name))
        .unwrap_or_else(|| Node::map(Map::new(), Span::NONE))
}

fn drop_extends(services: &mut Map, name: &str) {
    if let Some(map) = services.get_mut(name).and_then(Node::as_map_mut) {
        map.shift_remove("extends");
    }
}

fn missing(name: &str, base: &str, place: Span, file: &FilePath, services: &Map) -> Diagnostic {
    let help = did_you_mean(
        base,
        services.keys().map(String::as_str).filter(|n| *n != name),
    );
    Diagnostic::error(
        "unknown-service",
        place,
        format!(
            "cannot extend service \"{name}\" in {}: service \"{base}\" not found",
            file.display()
        ),
    )
    .at(Path::of(&["services", name, "extends"]))
    .help(
        help.unwrap_or_else(|| format!("define `{base}`, or name the file it is in with `file:`")),
    )
}

fn read(
    pipeline: &mut Pipeline<'_>,
    path: &FilePath,
    (place, at): (Span, &Path),
    scope: &mut Scope,
) -> Option<Base> {
    if path.is_dir() || !(path.exists() || pipeline.sources.is_file(path)) {
        pipeline.problem(
            Diagnostic::error(
                "no-such-file",
                place,
                format!("extends: file {} not found", path.display()),
            )
            .at(at)
            .help(missing_file(path, "the directory of this file")),
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
                .at(at)
                .help("name a Compose file with `services:`"),
        );
        return None;
    }
    let directory = path.parent().unwrap_or(FilePath::new("/"));
    let base = relative(&scope.absolute, directory);
    paths::resolve(&mut root, &base, pipeline.home());
    let services = root.get("services").and_then(Node::as_map).cloned()?;
    Some(Base {
        services,
        resets,
        span,
    })
}

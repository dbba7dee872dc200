//! `env_file` and `label_file` of the enabled services, merged into environment and labels.

use std::path::Path as FilePath;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::diagnostic::Diagnostic;
use super::discover::{Purpose, env_problem, read_text};
use super::env::{self, Parsed};
use super::source::{Sources, Span};
use super::tree::{Map, Node, Rival};
use super::{LoadOptions, LoadedTree};
use crate::model::{Environment, Project, Service, StringMap};

/// Reads the files and drops the attributes, unless environment resolution is off.
pub fn resolve(
    project: &mut Project,
    tree: &mut LoadedTree,
    options: &LoadOptions,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) {
    let variables = project.environment.clone();
    let mut read: Vec<(String, Read)> = Vec::new();
    for (name, service) in &mut project.services {
        let mut reader = Reader {
            tree: &tree.root,
            name,
            variables: &variables,
            sources,
            problems,
            read: Read::new(),
        };
        if options.resolve_environment {
            reader.environment(service);
        }
        reader.labels(service);
        read.push((name.clone(), reader.read));
    }
    for (name, entries) in read {
        for ((attribute, key), node) in entries {
            note(&mut tree.root, &name, attribute, &key, node);
        }
    }
}

/// Attribute, key and value of what files hold.
type Read = IndexMap<(&'static str, String), Node>;

/// Puts what a file holds into the tree: below what is there.
fn note(root: &mut Node, service: &str, attribute: &str, key: &str, node: Node) {
    let service = root.get_mut("services").and_then(|s| s.get_mut(service));
    let Some(service) = service.and_then(Node::as_map_mut) else {
        return;
    };
    let map = service
        .entry(attribute.to_owned())
        .or_insert_with(|| Node::map(Map::new(), Span::NONE));
    let Some(map) = map.as_map_mut() else { return };
    match map.get_mut(key) {
        Some(own) => own.replace(node, Rival::Attribute),
        None => {
            map.insert(key.to_owned(), node);
        }
    }
}

/// Adds a value of a file; later files take precedence over earlier ones.
fn layer(read: &mut Read, attribute: &'static str, key: &str, value: &str, span: Span) {
    let mut node = Node::str(value, span);
    node.key = span;
    match read.entry((attribute, key.to_owned())) {
        Entry::Occupied(mut slot) => {
            let old = slot.insert(node);
            slot.get_mut().replace(old, Rival::Later);
        }
        Entry::Vacant(slot) => {
            slot.insert(node);
        }
    }
}

struct Reader<'a> {
    tree: &'a Node,
    name: &'a str,
    variables: &'a StringMap,
    sources: &'a mut Sources,
    problems: &'a mut Vec<Diagnostic>,
    read: Read,
}

impl Reader<'_> {
    fn place(&self, attribute: &str, index: usize) -> Span {
        self.tree
            .find(&["services", self.name, attribute, &index.to_string()])
            .map_or(Span::NONE, Node::place)
    }

    fn environment(&mut self, service: &mut Service) {
        for (key, value) in &mut service.environment {
            if value.is_none() {
                *value = self.variables.get(key).cloned();
            }
        }
        let mut read: StringMap = service
            .environment
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), v.clone()?)))
            .collect();
        let own: Environment = service.environment.clone();
        for (i, file) in service.env_file.iter().enumerate() {
            let place = self.place("env_file", i);
            let path = FilePath::new(&file.path);
            if !path.exists() {
                if *file.required {
                    self.missing(
                        "env file",
                        path,
                        place,
                        &format!("services.{}.env_file[{i}]", self.name),
                        "create it, or write it as `path:` with `required: false`",
                    );
                }
                continue;
            }
            if !matches!(file.format.as_str(), "" | ".env" | "raw") {
                self.problems.push(
                    Diagnostic::error(
                        "bad-value",
                        place,
                        format!("unsupported env_file format \"{}\"", file.format),
                    )
                    .at(format!("services.{}.env_file[{i}].format", self.name))
                    .help("use `raw`, or leave `format` out"),
                );
                continue;
            }
            let variables = self.variables;
            let lookup = |name: &str| {
                variables
                    .get(name)
                    .or_else(|| own.get(name).and_then(Option::as_ref))
                    .cloned()
            };
            let raw = file.format == "raw";
            for (key, (value, span)) in self.entries(path, raw, &lookup, read.clone()) {
                layer(&mut self.read, "environment", &key, &value, span);
                read.insert(key, value);
            }
        }
        service.environment = read.into_iter().map(|(k, v)| (k, Some(v))).collect();
        // What `environment` says wins, also when it is only a name without a value.
        service.environment.extend(own);
        service.env_file.clear();
    }

    fn labels(&mut self, service: &mut Service) {
        let mut labels = StringMap::new();
        for (i, file) in service.label_file.iter().enumerate() {
            let path = FilePath::new(file);
            if !path.exists() {
                let place = self.place("label_file", i);
                self.missing(
                    "label file",
                    path,
                    place,
                    &format!("services.{}.label_file[{i}]", self.name),
                    "create it",
                );
                continue;
            }
            let known = labels.clone();
            for (key, (value, span)) in self.entries(
                path,
                false,
                &|name| known.get(name).cloned(),
                StringMap::new(),
            ) {
                layer(&mut self.read, "labels", &key, &value, span);
                labels.insert(key, value);
            }
        }
        labels.append(&mut service.labels);
        service.labels = labels;
        service.label_file.clear();
    }

    fn missing(&mut self, what: &str, path: &FilePath, place: Span, at: &str, help: &str) {
        self.problems.push(
            Diagnostic::error(
                "no-such-file",
                place,
                format!("{what} {} not found", path.display()),
            )
            .at(at)
            .help(help),
        );
    }

    fn entries(
        &mut self,
        path: &FilePath,
        raw: bool,
        lookup: &dyn Fn(&str) -> Option<String>,
        earlier: StringMap,
    ) -> Vec<(String, env::Variable)> {
        let Some((id, text)) = read_text(path, self.sources, self.problems, Purpose::Variables)
        else {
            return Vec::new();
        };
        let parsed = if raw {
            env::parse_raw(&text, id, lookup)
        } else {
            env::parse(&text, id, lookup, earlier)
        };
        match parsed {
            Ok(Parsed { entries, unset }) => {
                for (name, span) in unset {
                    self.problems.push(Diagnostic::warning(
                        "unset-variable",
                        span,
                        format!(
                            "The \"{name}\" variable is not set. Defaulting to a blank string."
                        ),
                    ));
                }
                entries
            }
            Err(error) => {
                self.problems.push(env_problem(path, id, error));
                Vec::new()
            }
        }
    }
}

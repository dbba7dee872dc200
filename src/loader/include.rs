//! `include`: other Compose files with their own directory and environment, copied in.
//!
//! An included model is complete in itself; a name that both define must be defined equally.

use std::path::{Path as FilePath, PathBuf};

use super::diagnostic::Diagnostic;
use super::discover::{absolute, missing_file, read_env_files};
use super::paths::relative;
use super::pipeline::{Pipeline, Scope};
use super::source::{Reached, Span};
use super::tree::{Map, Node, Path, Value};

const SECTIONS: [&str; 6] = [
    "services", "volumes", "networks", "secrets", "configs", "models",
];

/// Most files that are loaded because others include them, counted as often as they are.
const MAX_INCLUDED: usize = 2000;

/// One entry of `include`.
struct Entry {
    paths: Vec<(String, Span)>,
    directory: Option<String>,
    env_files: Vec<(String, Span)>,
    place: Span,
}

/// Loads what a document includes and copies it into the document.
pub fn apply(pipeline: &mut Pipeline<'_>, root: &mut Node, file: &FilePath, scope: &Scope) {
    let Some(map) = root.as_map_mut() else { return };
    let Some(node) = map.shift_remove("include") else {
        return;
    };
    let items = match node.value {
        Value::Null => return,
        Value::Seq(items) => items,
        _ => {
            pipeline.problem(
                Diagnostic::error(
                    "bad-type",
                    node.place(),
                    format!("`include` must be a list, not {}", node.kind()),
                )
                .at("include")
                .help("begin each item with `- `"),
            );
            return;
        }
    };
    for (i, item) in items.iter().enumerate() {
        let at = Path::of(&["include"]).index(i);
        if let Some(entry) = entry(pipeline, item, &at)
            && let Some(imported) = load(pipeline, &entry, file, scope, &at)
        {
            import(pipeline, imported, root, &entry);
        }
    }
}

fn entry(pipeline: &mut Pipeline<'_>, item: &Node, at: &Path) -> Option<Entry> {
    let texts = |node: Option<&Node>| -> Option<Vec<(String, Span)>> {
        match node {
            None => Some(Vec::new()),
            Some(n) => match &n.value {
                Value::Str(s) => Some(vec![(s.clone(), n.place())]),
                Value::Seq(items) => items
                    .iter()
                    .map(|i| Some((i.as_str()?.to_owned(), i.place())))
                    .collect(),
                _ => None,
            },
        }
    };
    let place = item.place();
    if item.as_str().is_some() {
        return Some(Entry {
            paths: texts(Some(item))?,
            directory: None,
            env_files: Vec::new(),
            place,
        });
    }
    let bad = |what: &str| {
        Diagnostic::error(
            "bad-type",
            place,
            format!("`{at}` must be a path or a mapping with `path`, {what}"),
        )
        .at(at)
        .help("write `- path.yaml`, or `- path: …` with `project_directory` and `env_file`")
    };
    let Some(map) = item.as_map() else {
        pipeline.problem(bad(&format!("not {}", item.kind())));
        return None;
    };
    for (key, node) in map {
        if !matches!(key.as_str(), "path" | "project_directory" | "env_file") {
            pipeline.problem(
                Diagnostic::error(
                    "unknown-key",
                    node.key,
                    format!("`{key}` is not allowed in `{at}`"),
                )
                .at(at.key(key))
                .maybe_help(super::diagnostic::did_you_mean(
                    key,
                    ["path", "project_directory", "env_file"],
                )),
            );
            return None;
        }
    }
    let directory = match map.get("project_directory") {
        None => None,
        Some(n) => match n.as_str() {
            Some(s) => Some(s.to_owned()),
            None => {
                pipeline.problem(bad("`project_directory` must be a string"));
                return None;
            }
        },
    };
    let (Some(paths), Some(env_files)) = (texts(map.get("path")), texts(map.get("env_file")))
    else {
        pipeline.problem(bad("with texts"));
        return None;
    };
    if paths.is_empty() {
        pipeline.problem(bad("`path` is missing"));
        return None;
    }
    Some(Entry {
        paths,
        directory: directory.filter(|d| !d.is_empty()),
        env_files,
        place,
    })
}

fn load(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    file: &FilePath,
    scope: &Scope,
    at: &Path,
) -> Option<Node> {
    let mut files: Vec<PathBuf> = Vec::new();
    for (text, place) in &entry.paths {
        let path = absolute(&scope.absolute, FilePath::new(text));
        if !pipeline.sources.is_file(&path) {
            pipeline.problem(
                Diagnostic::error(
                    "no-such-file",
                    *place,
                    format!("include: file {} not found", path.display()),
                )
                .at(at)
                .help(missing_file(&path, "the project directory of this file")),
            );
            return None;
        }
        pipeline.sources.reach(&path, Reached::Include(*place));
        files.push(path);
    }
    let main = files.first()?;
    let mut chain = scope.chain.clone();
    if chain.last().is_none_or(|f| f != file) {
        chain.push(file.to_owned());
    }
    if !may_include(pipeline, entry, main, &chain, at) {
        return None;
    }
    let directory = match &entry.directory {
        None => main.parent().unwrap_or(FilePath::new("/")).to_owned(),
        Some(directory) => absolute(&scope.absolute, FilePath::new(directory)),
    };
    let env_files = env_files(pipeline, entry, scope, &directory, at)?;
    let read = read_env_files(
        &env_files,
        &scope.variables,
        &mut pipeline.sources,
        &mut pipeline.problems,
    );
    let mut variables = scope.variables.clone();
    variables.fill_from(&read);
    let mut inner = Scope::new(
        directory.clone(),
        relative(&scope.absolute, &directory),
        variables,
    );
    inner.chain = chain;
    pipeline.model(&files, &mut inner)
}

/// Whether a file may be included once more: not by itself, nor too often, nor too deep. What is
/// wrong is reported.
fn may_include(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    main: &PathBuf,
    chain: &[PathBuf],
    at: &Path,
) -> bool {
    if let Some(i) = chain.iter().position(|f| f == main) {
        let list: Vec<String> = chain[i..]
            .iter()
            .chain([main])
            .map(|f| f.display().to_string())
            .collect();
        pipeline.problem(
            Diagnostic::error(
                "include-cycle",
                entry.place,
                format!("include cycle detected: {}", list.join(" includes ")),
            )
            .at(at)
            .help("remove one of these includes"),
        );
        return false;
    }
    pipeline.included += 1;
    if pipeline.included > MAX_INCLUDED {
        if pipeline.included == MAX_INCLUDED + 1 {
            pipeline.problem(
                Diagnostic::error(
                    "too-big",
                    entry.place,
                    format!("more than {MAX_INCLUDED} files are included"),
                )
                .at(at)
                .help("include each file once, from one place"),
            );
        }
        return false;
    }
    if chain.len() > 50 {
        pipeline.problem(
            Diagnostic::error(
                "too-deep",
                entry.place,
                "includes are nested more than 50 deep",
            )
            .at(at),
        );
        return false;
    }
    true
}

/// The env files of an include; `None` when one is not there, which is reported.
fn env_files(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    scope: &Scope,
    directory: &FilePath,
    at: &Path,
) -> Option<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (text, place) in &entry.env_files {
        let path = absolute(&scope.absolute, FilePath::new(text));
        if !pipeline.sources.is_file(&path) {
            pipeline.problem(
                Diagnostic::error(
                    "no-such-file",
                    *place,
                    format!("include: env file {} not found", path.display()),
                )
                .at(at)
                .help("the path is relative to the project directory of this file"),
            );
            return None;
        }
        files.push(path);
    }
    if entry.env_files.is_empty() && pipeline.sources.is_file(&directory.join(".env")) {
        files.push(directory.join(".env"));
    }
    Some(files)
}

fn import(pipeline: &mut Pipeline<'_>, mut imported: Node, root: &mut Node, entry: &Entry) {
    let (Some(from), Some(to)) = (imported.as_map_mut(), root.as_map_mut()) else {
        return;
    };
    for section in SECTIONS {
        let Some(Node {
            value: Value::Map(entries),
            ..
        }) = from.shift_remove(section)
        else {
            continue;
        };
        let target = to
            .entry(section.to_owned())
            .or_insert_with(|| Node::map(Map::new(), entry.place));
        if target.is_null() {
            target.value = Value::Map(Map::new());
        }
        let Some(target) = target.as_map_mut() else {
            continue;
        };
        for (name, node) in entries {
            match target.get(&name) {
                None => {
                    target.insert(name, node);
                }
                Some(own) if own.same(&node) => {}
                Some(own) => pipeline.problem(
                    Diagnostic::error(
                        "include-conflict",
                        own.key.or(own.span),
                        format!("{section}.{name} conflicts with imported resource"),
                    )
                    .at(Path::of(&[section, &name]))
                    .related(node.key.or(node.span), "included definition")
                    .related(entry.place, "included here")
                    .help("rename one of the two, or change the included one in an override file"),
                ),
            }
        }
    }
}

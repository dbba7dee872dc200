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

/// Deepest nesting of includes. Each takes 3 KiB of the stack, which the depth of a file shares.
const MAX_DEPTH: usize = 100;

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

/// As docker compose reads it: what is missing or null is empty, and an entry without a path
/// includes nothing.
fn entry(pipeline: &mut Pipeline<'_>, item: &Node, at: &Path) -> Option<Entry> {
    let mut entry = Entry {
        paths: Vec::new(),
        directory: None,
        env_files: Vec::new(),
        place: item.place(),
    };
    let bad = |node: &Node, at: &Path, what: &str| {
        Diagnostic::error(
            "bad-type",
            node.place(),
            format!("`{at}` must be {what}, not {}", node.kind()),
        )
        .at(at)
        .help("write `- path.yaml`, or `- path: …` with `project_directory` and `env_file`")
    };
    let map = match &item.value {
        Value::Null => return Some(entry),
        Value::Str(path) => {
            entry.paths.push((path.clone(), item.place()));
            return Some(entry);
        }
        Value::Map(map) => map,
        _ => {
            pipeline.problem(bad(item, at, "a path or a mapping with `path`"));
            return None;
        }
    };
    unknown_keys(pipeline, map, at);
    entry.directory = match directory(map.get("project_directory")) {
        Ok(directory) => directory,
        Err(node) => {
            pipeline.problem(bad(node, &at.key("project_directory"), "a path"));
            return None;
        }
    };
    let mut lists = [Vec::new(), Vec::new()];
    for (list, key) in lists.iter_mut().zip(["path", "env_file"]) {
        match texts(map.get(key)) {
            Ok(texts) => *list = texts,
            Err(node) => {
                pipeline.problem(bad(node, &at.key(key), "a path or a list of paths"));
                return None;
            }
        }
    }
    let [paths, env_files] = lists;
    entry.paths = paths;
    entry.env_files = env_files;
    Some(entry)
}

/// A directory, unless it is empty; `Err` is what is none.
fn directory(node: Option<&Node>) -> Result<Option<String>, &Node> {
    let Some(node) = node else { return Ok(None) };
    match &node.value {
        Value::Null => Ok(None),
        Value::Str(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Value::Int(number) => Ok(Some(number.to_string())),
        _ => Err(node),
    }
}

/// A text, or a list of texts; `Err` is what is neither.
fn texts(node: Option<&Node>) -> Result<Vec<(String, Span)>, &Node> {
    let Some(node) = node else {
        return Ok(Vec::new());
    };
    let text = |node: &Node| Some((node.as_str()?.to_owned(), node.place()));
    match &node.value {
        Value::Null => Ok(Vec::new()),
        Value::Seq(items) => items.iter().map(|item| text(item).ok_or(item)).collect(),
        _ => text(node).map(|text| vec![text]).ok_or(node),
    }
}

/// Docker compose passes over keys that it does not know; here one is told of them.
fn unknown_keys(pipeline: &mut Pipeline<'_>, map: &Map, at: &Path) {
    const KNOWN: [&str; 3] = ["path", "project_directory", "env_file"];
    for (key, node) in map {
        if KNOWN.contains(&key.as_str()) || key.starts_with("x-") {
            continue;
        }
        let message = format!("`{key}` means nothing in `{at}`");
        let help = super::diagnostic::did_you_mean(key, KNOWN);
        pipeline.problem(
            Diagnostic::warning("no-effect", node.key, message)
                .at(at.key(key))
                .maybe_help(help),
        );
    }
}

/// The model that an entry includes; what is wrong is reported.
fn load(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    file: &FilePath,
    scope: &Scope,
    at: &Path,
) -> Option<Node> {
    let files = files(pipeline, entry, scope, at)?;
    let Some(main) = files.first() else {
        // Nothing is included, but what is named must be there.
        env_files(pipeline, entry, scope, &scope.absolute, at);
        return None;
    };
    let mut chain = scope.chain.clone();
    if chain.last().is_none_or(|f| f != file) {
        chain.push(file.to_owned());
    }
    if !may_include(pipeline, entry, main, &chain, at) {
        return None;
    }
    let mut inner = inner_scope(pipeline, entry, scope, main, at)?;
    inner.chain = chain;
    pipeline.model(&files, &mut inner)
}

/// The files of an include; `None` when one is not there.
fn files(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    scope: &Scope,
    at: &Path,
) -> Option<Vec<PathBuf>> {
    let mut files = Vec::new();
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
    Some(files)
}

/// The directory and the variables of an include.
fn inner_scope(
    pipeline: &mut Pipeline<'_>,
    entry: &Entry,
    scope: &Scope,
    main: &FilePath,
    at: &Path,
) -> Option<Scope> {
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
    // As in docker compose, paths are relative to the directory above one that is not there.
    let of_paths = match &entry.directory {
        Some(written) if FilePath::new(written).is_relative() && !directory.is_dir() => {
            directory.parent().unwrap_or(FilePath::new("/"))
        }
        _ => &directory,
    };
    let of_paths = relative(&scope.absolute, of_paths);
    Some(Scope::new(directory, of_paths, variables))
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
    if chain.len() > MAX_DEPTH {
        pipeline.problem(
            Diagnostic::error(
                "too-deep",
                entry.place,
                format!("includes are nested more than {MAX_DEPTH} deep"),
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
        // The usual way to say none; editors have nothing to read there.
        if text == "/dev/null" {
            continue;
        }
        let path = absolute(&scope.absolute, FilePath::new(text));
        // What is no regular file can be read too.
        if !pipeline.sources.is_file(&path) && (path.is_dir() || !path.exists()) {
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
                Some(own) if own.identical(&node) => {}
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

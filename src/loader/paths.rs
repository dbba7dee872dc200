//! Relative paths made absolute, `~` expanded; in watched paths symbolic links are followed.

use std::path::{Path as FilePath, PathBuf};

use super::discover::clean;
use super::tree::{Node, Value};

/// Resolves every path of a document against a directory, which may itself be relative.
pub fn resolve(root: &mut Node, base: &FilePath, home: Option<&str>) {
    let paths = Paths { base, home };
    let Some(map) = root.as_map_mut() else { return };
    for service in map
        .get_mut("services")
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|m| m.values_mut())
    {
        paths.service(service);
    }
    for section in ["configs", "secrets"] {
        for entry in map
            .get_mut(section)
            .and_then(Node::as_map_mut)
            .into_iter()
            .flat_map(|m| m.values_mut())
        {
            if let Some(file) = entry.get_mut("file") {
                paths.mount_source(file);
            }
        }
    }
    for volume in map
        .get_mut("volumes")
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|m| m.values_mut())
    {
        if volume.get("driver").and_then(Node::as_str) == Some("local")
            && volume.find(&["driver_opts", "o"]).and_then(Node::as_str) == Some("bind")
            && let Some(device) = volume
                .get_mut("driver_opts")
                .and_then(|o| o.get_mut("device"))
        {
            paths.mount_source(device);
        }
    }
}

struct Paths<'a> {
    base: &'a FilePath,
    home: Option<&'a str>,
}

impl Paths<'_> {
    fn service(&self, service: &mut Node) {
        if let Some(build) = service.get_mut("build") {
            if let Some(context) = build.get_mut("context") {
                self.context(context);
            }
            // It stays a list when variables are not filled in.
            for context in seq(build, "additional_contexts") {
                self.context(context);
            }
            for context in build
                .get_mut("additional_contexts")
                .and_then(Node::as_map_mut)
                .into_iter()
                .flat_map(|m| m.values_mut())
            {
                self.context(context);
            }
            for key in build
                .get_mut("ssh")
                .and_then(Node::as_map_mut)
                .into_iter()
                .flat_map(|m| m.values_mut())
            {
                self.mount_source(key);
            }
        }
        for entry in seq(service, "env_file") {
            if let Some(path) = entry.get_mut("path") {
                self.path(path);
            }
        }
        for entry in seq(service, "label_file") {
            self.path(entry);
        }
        if let Some(file) = service.get_mut("extends").and_then(|e| e.get_mut("file")) {
            self.path(file);
        }
        if let Some(develop) = service.get_mut("develop") {
            for rule in seq(develop, "watch") {
                if let Some(path) = rule.get_mut("path") {
                    self.path(path);
                    follow(path);
                }
            }
        }
        for mount in seq(service, "volumes") {
            if mount.get("type").and_then(Node::as_str) == Some("bind")
                && let Some(source) = mount.get_mut("source")
            {
                self.mount_source(source);
            }
        }
    }

    fn home(&self, text: &str) -> String {
        match (text.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => {
                let joined = format!("{home}/{rest}");
                clean(FilePath::new(&joined)).to_string_lossy().into_owned()
            }
            _ => text.to_owned(),
        }
    }

    fn join(&self, text: &str) -> String {
        clean(&self.base.join(text)).to_string_lossy().into_owned()
    }

    fn path(&self, node: &mut Node) {
        if let Value::Str(text) = &mut node.value {
            let path = self.home(text);
            *text = if path.starts_with('/') || path.is_empty() {
                path
            } else {
                self.join(&path)
            };
        }
    }

    fn mount_source(&self, node: &mut Node) {
        if let Value::Str(text) = &mut node.value {
            let path = self.home(text);
            *text = if path.starts_with('/') || is_windows(&path) {
                path
            } else {
                self.join(&path)
            };
        }
    }

    fn context(&self, node: &mut Node) {
        let Some(text) = node.as_str() else { return };
        let remote = text.contains("://")
            || text.starts_with("service:")
            || ["github.com/", "git@"].iter().any(|p| text.starts_with(p));
        if !remote {
            self.path(node);
        }
    }
}

fn seq<'a>(node: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> {
    node.get_mut(key)
        .and_then(Node::as_seq_mut)
        .into_iter()
        .flatten()
}

/// A drive or a network share.
fn is_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with("\\\\")
        || bytes.len() > 2
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && matches!(bytes[2], b'\\' | b'/')
}

/// A watched path that exists, without symbolic links.
fn follow(node: &mut Node) {
    if let Value::Str(text) = &mut node.value
        && let Ok(real) = std::fs::canonicalize(&*text)
        && text.starts_with('/')
    {
        *text = real.to_string_lossy().into_owned();
    }
}

/// The way from one absolute directory to another.
pub fn relative(from: &FilePath, to: &FilePath) -> PathBuf {
    let (from, to) = (clean(from), clean(to));
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let mut path = PathBuf::new();
    for _ in from.components().skip(shared) {
        path.push("..");
    }
    for part in to.components().skip(shared) {
        path.push(part);
    }
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    path
}

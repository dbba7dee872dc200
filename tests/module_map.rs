//! Holds the map of ARCHITECTURE.md: which module may use which, and where each
//! outside package is at home. Change the page and this table together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the engine and what they must not use.
const ENGINE_BORDERS: &[(&str, &[&str])] = &[
    ("sys", &["*"]),
    ("spec", &["*"]),
    (
        "state",
        &[
            "build",
            "cgroup",
            "container",
            "content",
            "engine",
            "image",
            "layer",
            "mount",
            "network",
            "registry",
            "runtime",
            "snapshot",
            "supervisor",
            "volume",
        ],
    ),
    (
        "mount",
        &[
            "runtime",
            "snapshot",
            "container",
            "supervisor",
            "image",
            "engine",
            "network",
        ],
    ),
    (
        "cgroup",
        &["runtime", "container", "supervisor", "network", "engine"],
    ),
    (
        "runtime",
        &[
            "network",
            "snapshot",
            "container",
            "supervisor",
            "state",
            "image",
            "layer",
            "content",
            "registry",
            "volume",
            "build",
            "engine",
        ],
    ),
    (
        "network",
        &[
            "runtime",
            "container",
            "supervisor",
            "image",
            "build",
            "engine",
        ],
    ),
    (
        "content",
        &[
            "image",
            "registry",
            "container",
            "supervisor",
            "build",
            "engine",
        ],
    ),
    (
        "layer",
        &[
            "image",
            "registry",
            "container",
            "supervisor",
            "build",
            "engine",
        ],
    ),
    (
        "snapshot",
        &["runtime", "container", "supervisor", "engine"],
    ),
    (
        "image",
        &["registry", "container", "supervisor", "build", "engine"],
    ),
    ("registry", &["container", "supervisor", "build", "engine"]),
    ("volume", &["container", "supervisor", "build", "engine"]),
    (
        "cdi",
        &[
            "container",
            "supervisor",
            "build",
            "engine",
            "runtime",
            "spec",
            "state",
            "mount",
        ],
    ),
    (
        "oci",
        &[
            "network",
            "snapshot",
            "container",
            "supervisor",
            "image",
            "layer",
            "content",
            "registry",
            "volume",
            "build",
            "engine",
            "spec",
        ],
    ),
    (
        "rootless",
        &[
            "build",
            "container",
            "content",
            "engine",
            "image",
            "layer",
            "mount",
            "registry",
            "runtime",
            "snapshot",
            "supervisor",
            "volume",
        ],
    ),
    ("container", &["registry", "build", "engine"]),
    ("supervisor", &["image", "registry", "build", "engine"]),
    ("build", &["container", "supervisor", "engine"]),
];

/// Modules of the Compose side and what they must not use.
const COMPOSE_BORDERS: &[(&str, &[&str])] = &[
    ("model", &["*"]),
    (
        "loader",
        &[
            "plan", "lower", "executor", "backend", "watch", "ui", "cli", "lsp",
        ],
    ),
    ("plan", &["loader", "executor", "watch", "ui", "cli"]),
    (
        "executor",
        &["loader", "ui", "cli", "watch", "gantry_engine::engine"],
    ),
    ("backend", &["loader", "executor", "ui", "cli", "watch"]),
    (
        "lsp",
        &[
            "plan",
            "lower",
            "executor",
            "backend",
            "watch",
            "ui",
            "cli",
            "gantry_engine",
        ],
    ),
];

/// Outside packages and the modules in which they may appear.
const HOMES: &[(&str, &str, &[&str])] = &[
    ("src", "serde_yaml", &["loader"]),
    ("src", "petgraph", &["plan"]),
    ("src", "clap", &["cli", "main"]),
    ("src", "notify", &["watch"]),
    ("src", "lsp_types", &["lsp"]),
    ("engine/src", "serde_yaml", &["cdi"]),
    ("engine/src", "petgraph", &["build"]),
    ("engine/src", "rtnetlink", &["network"]),
    ("engine/src", "reqwest", &["registry"]),
];

#[test]
fn modules_use_only_what_the_map_allows() {
    let mut breaches = Vec::new();
    for (root, borders) in [("engine/src", ENGINE_BORDERS), ("src", COMPOSE_BORDERS)] {
        for (module, uses) in uses_by_module(root) {
            let Some((_, forbidden)) = borders.iter().find(|(name, _)| *name == module) else {
                continue;
            };
            for (file, path) in uses {
                if breaks(&module, &path, forbidden) {
                    breaches.push(format!("{file}: `{module}` must not use `{path}`"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn outside_packages_stay_at_home() {
    let mut breaches = Vec::new();
    for (root, package, homes) in HOMES {
        for file in rust_files(Path::new(root)) {
            let module = module_of(root, &file);
            let text = fs::read_to_string(&file).expect("source");
            let used = text
                .lines()
                .any(|line| code(line).contains(&format!("{package}::")));
            if used && !homes.contains(&module.as_str()) {
                breaches.push(format!(
                    "{}: `{package}` is at home in {homes:?}",
                    file.display()
                ));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_map_names_every_module() {
    let page = fs::read_to_string("ARCHITECTURE.md").expect("page");
    for root in ["engine/src", "src"] {
        let modules: BTreeSet<String> = rust_files(Path::new(root))
            .iter()
            .map(|file| module_of(root, file))
            .collect();
        for module in modules
            .iter()
            .filter(|m| !["lib", "main"].contains(&m.as_str()))
        {
            assert!(
                page.contains(&format!("`{module}`")),
                "ARCHITECTURE.md does not name `{module}`"
            );
        }
    }
}

#[test]
fn unsafe_code_lives_in_sys() {
    let outside: Vec<String> = rust_files(Path::new("src"))
        .into_iter()
        .chain(rust_files(Path::new("engine/src")))
        .filter(|file| !file.starts_with("engine/src/sys"))
        .filter(|file| {
            let text = fs::read_to_string(file).expect("source");
            text.lines()
                .map(code)
                .any(|line| line.contains("unsafe {") || line.contains("unsafe fn"))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(
        outside.is_empty(),
        "unsafe outside engine/src/sys: {outside:?}"
    );
}

fn breaks(module: &str, path: &str, forbidden: &[&str]) -> bool {
    let first = path
        .strip_prefix("crate::")
        .map(|rest| rest.split("::").next().unwrap_or(rest));
    match first {
        Some(first) if first == module || first == "error" => false,
        Some(first) => forbidden.contains(&"*") || forbidden.contains(&first),
        None => forbidden
            .iter()
            .any(|f| f.starts_with("gantry_engine") && path.starts_with(f)),
    }
}

type Uses = BTreeMap<String, Vec<(String, String)>>;

/// Every `crate::x` and `gantry_engine::x` that non-test code names, by module.
fn uses_by_module(root: &str) -> Uses {
    let mut uses = Uses::new();
    for file in rust_files(Path::new(root)) {
        let module = module_of(root, &file);
        let text = fs::read_to_string(&file).expect("source");
        let product = text.split("#[cfg(test)]").next().unwrap_or(&text);
        for line in product.lines().map(code) {
            for start in ["crate::", "gantry_engine::"] {
                for (at, _) in line.match_indices(start) {
                    let path: String = line[at..]
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
                        .collect();
                    uses.entry(module.clone())
                        .or_default()
                        .push((file.display().to_string(), path));
                }
            }
        }
    }
    uses
}

/// The line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// The first folder or file name below the source root.
fn module_of(root: &str, file: &Path) -> String {
    let below = file.strip_prefix(root).expect("below the root");
    let first = below
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

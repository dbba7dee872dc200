//! Files and directories that can be typed: contexts, `env_file`, includes, bases, bind sources.
//!
//! Only one directory is read, and no file.

use std::path::{Path, PathBuf};

use crate::loader::discover::{absolute, clean};

use super::outline::Step;

/// Most entries of a directory that are proposed.
const MOST: usize = 500;

/// What is wanted at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A directory.
    Directory,
    /// A Compose file.
    Compose,
    /// Any file.
    File,
    /// The source of a mount: a path only if it looks like one.
    Mount,
}

/// What the value at a path of keys and items is to name, if it is a path.
pub fn wanted(path: &[Step]) -> Option<Wanted> {
    let parts: Vec<&str> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Item(_) => "[]",
        })
        .collect();
    Some(match parts.as_slice() {
        ["include", "[]"] | ["include", "[]", "path"] | ["include", "[]", "path", "[]"] => {
            Wanted::Compose
        }
        ["include", "[]", "env_file"] | ["include", "[]", "env_file", "[]"] => Wanted::File,
        ["include", "[]", "project_directory"] => Wanted::Directory,
        ["secrets" | "configs", _, "file"] => Wanted::File,
        ["services", _, rest @ ..] => match rest {
            ["build"] | ["build", "context"] | ["develop", "watch", "[]", "path"] => {
                Wanted::Directory
            }
            ["extends", "file"] => Wanted::Compose,
            ["env_file" | "label_file"]
            | ["env_file" | "label_file", "[]"]
            | ["env_file", "[]", "path"]
            | ["credential_spec", "file"] => Wanted::File,
            ["volumes", "[]"] | ["volumes", "[]", "source"] => Wanted::Mount,
            _ => return None,
        },
        _ => return None,
    })
}

/// A path that could be typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// As it would be typed: what is there already, and a name.
    pub text: String,
    /// Whether it is a directory; the text ends with a slash, then.
    pub directory: bool,
}

/// The paths that begin with what was typed, relative to the directory of a text.
pub fn beginning_with(
    typed: &str,
    wanted: Wanted,
    beside: &Path,
    home: Option<&str>,
) -> Vec<Found> {
    let looks_like_one = typed.starts_with(['.', '/', '~']);
    if wanted == Wanted::Mount && !looks_like_one {
        return Vec::new();
    }
    // After `.` and `..` a slash is what is missing.
    let (head, begun) = match typed.rsplit_once('/') {
        Some((head, begun)) => (format!("{head}/"), begun),
        None if typed == "." || wanted == Wanted::Mount => ("./".to_owned(), ""),
        None => (String::new(), typed),
    };
    if head.contains('$') {
        return Vec::new();
    }
    let Some(directory) = directory(&head, beside, home) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<Found> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // Hidden files are for those who begin with a dot; `.env` is one that is meant.
            let hidden = name.starts_with('.') && !begun.starts_with('.');
            let meant = wanted == Wanted::File && name.starts_with(".env");
            let directory = entry.path().is_dir();
            if hidden && !meant || !directory && !fits(wanted, &name) {
                return None;
            }
            let slash = if directory { "/" } else { "" };
            Some(Found {
                text: format!("{head}{name}{slash}"),
                directory,
            })
        })
        .take(MOST)
        .collect();
    found.sort();
    found
}

fn fits(wanted: Wanted, file: &str) -> bool {
    match wanted {
        Wanted::Directory => false,
        Wanted::Compose => file.ends_with(".yaml") || file.ends_with(".yml"),
        Wanted::File | Wanted::Mount => true,
    }
}

fn directory(head: &str, beside: &Path, home: Option<&str>) -> Option<PathBuf> {
    match head.strip_prefix("~/") {
        Some(rest) => Some(clean(&Path::new(home?).join(rest))),
        None => Some(absolute(beside, Path::new(head))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str, wanted: Wanted) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["app", "app/src", ".git"] {
            std::fs::create_dir(dir.path().join(name)).expect("writable");
        }
        for name in ["app/Dockerfile", "db.yaml", ".env", "data.bin"] {
            std::fs::write(dir.path().join(name), "").expect("writable");
        }
        let home = dir.path().display().to_string();
        let found = beginning_with(text, wanted, dir.path(), Some(&home));
        found.into_iter().map(|found| found.text).collect()
    }

    #[test]
    fn paths_are_those_that_fit() {
        assert_eq!(typed("", Wanted::Compose), ["app/", "db.yaml"]);
        assert_eq!(typed("", Wanted::Directory), ["app/"]);
        assert_eq!(typed("app/", Wanted::Directory), ["app/src/"]);
        assert_eq!(
            typed("./app/D", Wanted::File),
            ["./app/Dockerfile", "./app/src/"]
        );
        assert_eq!(
            typed("", Wanted::File),
            [".env", "app/", "data.bin", "db.yaml"]
        );
        assert_eq!(typed("./.", Wanted::Directory), ["./.git/", "./app/"]);
        assert_eq!(typed("~/", Wanted::Directory), ["~/app/"]);
        assert_eq!(typed(".", Wanted::Directory), ["./app/"]);
        assert_eq!(
            typed("", Wanted::Mount),
            [""; 0],
            "a volume's name, perhaps"
        );
        assert_eq!(
            typed(".", Wanted::Mount),
            ["./app/", "./data.bin", "./db.yaml"]
        );
        assert_eq!(typed("${HERE}/", Wanted::File), [""; 0]);
        assert_eq!(typed("nowhere/", Wanted::File), [""; 0]);
    }
}

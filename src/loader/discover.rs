//! Which files, which project directory, which name, which environment.
//!
//! Files: `-f`, else `COMPOSE_FILE`, else a search from the working directory upwards. The
//! environment: the process's, then `--env-file` (or `COMPOSE_ENV_FILES`, or `.env`).

use std::fmt;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::LoadOptions;
use super::diagnostic::{Diagnostic, did_you_mean};
use super::env::{self, Variables};
use super::source::{FileId, Sources, Span};
use super::yaml::MAX_BYTES;

/// Names searched for, in order of preference.
pub const FILE_NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// Names of the override file, in order of preference.
pub const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Compose files, absolute, or `-`.
    pub files: Vec<PathBuf>,
    /// Project directory, absolute.
    pub directory: PathBuf,
    /// Environment for interpolation.
    pub variables: Variables,
    /// Env files given by flag or variable.
    pub env_files: Vec<PathBuf>,
    /// Profiles asked for.
    pub profiles: Vec<String>,
}

/// Finds everything that comes before the first Compose file is read.
pub fn discover(
    options: &LoadOptions,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) -> Found {
    let cwd = &options.working_dir;
    let mut found = Found {
        variables: Variables::from_process(&options.environment),
        ..Found::default()
    };
    if found.variables.get("PWD").is_none() {
        found
            .variables
            .set("PWD", &cwd.to_string_lossy(), Span::NONE);
    }
    let directory = options.project_directory.as_ref().map(|d| absolute(cwd, d));
    found.files = options
        .files
        .iter()
        .map(|f| absolute_file(cwd, f))
        .collect();
    found.env_files = explicit_env_files(options, cwd);

    // First round: variables such as COMPOSE_FILE may come from the .env beside the first file.
    read_environment(
        &mut found,
        &working_directory(directory.as_ref(), &options.files, cwd),
        options,
        sources,
        problems,
    );
    if found.files.is_empty()
        && let Some(list) = found.variables.get("COMPOSE_FILE")
    {
        let separator = found
            .variables
            .get("COMPOSE_PATH_SEPARATOR")
            .filter(|s| !s.is_empty())
            .unwrap_or(":")
            .to_owned();
        let list = list.to_owned();
        for file in list.split(separator.as_str()) {
            found.files.push(absolute_file(cwd, Path::new(file)));
        }
    }
    if found.files.is_empty() {
        let start = directory.clone().unwrap_or_else(|| cwd.clone());
        found.files = search(&start, problems);
    }
    let base = found.files.iter().find(|f| f.as_os_str() != "-").cloned();
    found.directory = directory.unwrap_or_else(|| {
        base.and_then(|f| f.parent().map(Path::to_owned))
            .unwrap_or_else(|| cwd.clone())
    });
    // Second round: the .env of the project directory fills what is missing.
    let project_directory = found.directory.clone();
    read_environment(&mut found, &project_directory, options, sources, problems);

    found.profiles = options.profiles.clone();
    if found.profiles.is_empty() {
        // Without the variable the list is one empty name: a profile whose name came out empty
        // is active then.
        let list = found.variables.get("COMPOSE_PROFILES").unwrap_or_default();
        found.profiles = list.split(',').map(|p| p.trim().to_owned()).collect();
    }
    found
}

fn working_directory(directory: Option<&PathBuf>, files: &[PathBuf], cwd: &Path) -> PathBuf {
    if let Some(directory) = directory {
        return directory.clone();
    }
    files
        .iter()
        .find(|f| f.as_os_str() != "-")
        .and_then(|f| absolute(cwd, f).parent().map(Path::to_owned))
        .unwrap_or_else(|| cwd.to_owned())
}

fn explicit_env_files(options: &LoadOptions, cwd: &Path) -> Vec<PathBuf> {
    if !options.env_files.is_empty() {
        return options.env_files.iter().map(|f| absolute(cwd, f)).collect();
    }
    match options.environment.get("COMPOSE_ENV_FILES") {
        Some(list) if !list.is_empty() => list
            .split(',')
            .map(|f| absolute(cwd, Path::new(f)))
            .collect(),
        _ => Vec::new(),
    }
}

fn read_environment(
    found: &mut Found,
    directory: &Path,
    options: &LoadOptions,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) {
    let mut files = found.env_files.clone();
    if files.is_empty() {
        match options
            .environment
            .get("COMPOSE_DISABLE_ENV_FILE")
            .map(String::as_str)
        {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => return,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") | None => {}
            Some(other) => {
                push(
                    problems,
                    Diagnostic::error(
                        "bad-variable",
                        Span::NONE,
                        format!("`COMPOSE_DISABLE_ENV_FILE` must be a boolean, got `{other}`"),
                    )
                    .help("set it to `true` or `false`"),
                );
                return;
            }
        }
        let default = directory.join(".env");
        if !sources.is_file(&default) {
            return;
        }
        files.push(default);
    }
    let read = read_env_files(&files, &found.variables, sources, problems);
    found.variables.fill_from(&read);
}

/// Reads env files; later ones win, and each may use what `outer` and earlier ones set.
pub fn read_env_files(
    files: &[PathBuf],
    outer: &Variables,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) -> Variables {
    let mut read = Variables::default();
    for file in files {
        if file.is_dir() {
            push(
                problems,
                Diagnostic::error(
                    "bad-env-file",
                    Span::NONE,
                    format!("{} is a directory", file.display()),
                )
                .help("name a file"),
            );
            continue;
        }
        let Some((id, text)) = read_text(file, sources, problems, Purpose::Variables) else {
            continue;
        };
        let scope = |name: &str| outer.get(name).map(str::to_owned);
        match env::parse(&text, id, &scope, read.to_map()) {
            Ok(parsed) => {
                for (name, span) in parsed.unset {
                    push(
                        problems,
                        Diagnostic::warning(
                            "unset-variable",
                            span,
                            format!(
                                "The \"{name}\" variable is not set. Defaulting to a blank string."
                            ),
                        ),
                    );
                }
                for (name, (value, span)) in parsed.entries {
                    read.set(&name, &value, span);
                }
            }
            Err(error) => push(problems, env_problem(file, id, error)),
        }
    }
    read
}

fn push(problems: &mut Vec<Diagnostic>, problem: Diagnostic) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// A problem in an env file as people read it.
pub fn env_problem(file: &Path, id: FileId, (error, range): env::Located) -> Diagnostic {
    let span = Span {
        file: id,
        start: range.start as u32,
        end: range.end as u32,
    };
    let help = match &error {
        env::EnvError::BadKey { .. } | env::EnvError::Blank(_) => {
            "each line is `NAME=value`; names hold letters, digits, `_`, `.` and `-`"
        }
        env::EnvError::TooBig => "write the values out",
        env::EnvError::Unterminated => "close the quote, or remove it",
        env::EnvError::Template(_) => "write `$$` for a plain dollar sign, or use single quotes",
    };
    Diagnostic::error(
        "bad-env-file",
        span,
        format!("failed to read {}: {error}", file.display()),
    )
    .help(help)
}

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A Compose file: YAML, which may be in UTF-16.
    Compose,
    /// A file of variables: in UTF-8.
    Variables,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compose => "file",
            Self::Variables => "env file",
        })
    }
}

/// Reads a file as text and remembers it.
pub fn read_text(
    file: &Path,
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
    purpose: Purpose,
) -> Option<(FileId, Arc<str>)> {
    if let Some(text) = sources.buffer(file) {
        return Some((sources.add(file, text.clone()), text));
    }
    let bytes = if file.as_os_str() == "-" {
        standard_input()
    } else if sources.has_buffers() {
        read_in_editor(file)
    } else {
        std::fs::read(file)
    };
    let problem = match bytes {
        Ok(bytes) => match decode(bytes, purpose) {
            Some(text) => {
                let text: Arc<str> = text.into();
                return Some((sources.add(file, text.clone()), text));
            }
            None => Diagnostic::error(
                "bad-encoding",
                Span::NONE,
                format!("{} is not UTF-8 text", file.display()),
            )
            .help("save it as UTF-8"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Diagnostic::error(
            "no-such-file",
            Span::NONE,
            format!("{purpose} {} not found", file.display()),
        )
        .help(similar(file).unwrap_or_else(|| {
            let directory = file.parent().unwrap_or(Path::new("/"));
            format!(
                "check the path; nothing in `{}` has such a name",
                directory.display()
            )
        })),
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => Diagnostic::error(
            "unreadable",
            Span::NONE,
            format!(
                "cannot read {purpose} {}: it is a directory",
                file.display()
            ),
        )
        .help("name a file in it"),
        Err(error) => Diagnostic::error(
            "unreadable",
            Span::NONE,
            format!("cannot read {purpose} {}: {error}", file.display()),
        ),
    };
    push(problems, problem);
    None
}

/// Text in UTF-8, or in UTF-16 if its mark says so, as YAML has it. Places are those of the text.
fn decode(bytes: Vec<u8>, purpose: Purpose) -> Option<String> {
    let unit = match bytes.get(..2) {
        Some([0xff, 0xfe]) if purpose == Purpose::Compose => u16::from_le_bytes,
        Some([0xfe, 0xff]) if purpose == Purpose::Compose => u16::from_be_bytes,
        _ => return String::from_utf8(bytes).ok(),
    };
    let (units, []) = bytes[2..].as_chunks::<2>() else {
        return None;
    };
    char::decode_utf16(units.iter().map(|pair| unit(*pair)))
        .collect::<Result<_, _>>()
        .ok()
}

/// What to do about a file that another one names and that is none.
pub fn missing_file(file: &Path, base: &str) -> String {
    if file.is_dir() {
        return "it is a directory: name the Compose file in it".to_owned();
    }
    similar(file).unwrap_or_else(|| format!("the path is relative to {base}"))
}

/// The file of the same directory that may be meant.
fn similar(file: &Path) -> Option<String> {
    let wanted = file.file_name()?.to_str()?;
    let entries = std::fs::read_dir(file.parent()?).ok()?.flatten();
    let names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    did_you_mean(wanted, names.iter().map(String::as_str))
}

/// Standard input can be read once: every load of this process sees the same text.
fn standard_input() -> std::io::Result<Vec<u8>> {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(text) = TEXT.get() {
        return Ok(text.clone());
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(TEXT.get_or_init(|| bytes).clone())
}

/// Half-typed paths lead anywhere: an editor must neither wait for a pipe or a terminal, nor hold
/// a disk image in memory.
fn read_in_editor(file: &Path) -> std::io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(file)?;
    if metadata.is_dir() || metadata.is_file() && metadata.len() <= MAX_BYTES as u64 {
        return std::fs::read(file);
    }
    Err(std::io::Error::other(
        "not read while editing: no regular file, or too large",
    ))
}

fn search(start: &Path, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut directory = Some(start);
    while let Some(dir) = directory {
        let candidates = present(dir, &FILE_NAMES);
        if let Some(winner) = candidates.first() {
            let mut files = vec![winner.clone()];
            several(&candidates, "config", problems);
            let overrides = present(dir, &OVERRIDE_NAMES);
            several(&overrides, "override", problems);
            files.extend(overrides.first().cloned());
            return files;
        }
        directory = dir.parent();
    }
    Vec::new()
}

fn present(dir: &Path, names: &[&str]) -> Vec<PathBuf> {
    names
        .iter()
        .map(|n| dir.join(n))
        .filter(|f| f.exists())
        .collect()
}

fn several(files: &[PathBuf], what: &str, problems: &mut Vec<Diagnostic>) {
    if let [first, _, ..] = files {
        let list: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
        push(
            problems,
            Diagnostic::warning(
                "several-files",
                Span::NONE,
                format!(
                    "Found multiple {what} files with supported names: {}",
                    list.join(", ")
                ),
            )
            .note(format!("Using {}", first.display())),
        );
    }
}

/// A path made absolute and lexically clean.
pub fn absolute(base: &Path, path: &Path) -> PathBuf {
    clean(&base.join(path))
}

fn absolute_file(base: &Path, path: &Path) -> PathBuf {
    if path.as_os_str() == "-" {
        path.to_owned()
    } else {
        absolute(base, path)
    }
}

/// Removes `.`, `..` and doubled separators without looking at the disk.
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out
}

/// The normal form of a project name: lower case, only `[a-z0-9_-]`, beginning with a letter or digit.
pub fn normalize_name(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

/// The project name that flag or environment set, which must be in normal form.
pub fn given_name(
    options: &LoadOptions,
    variables: &Variables,
) -> Result<Option<String>, Box<Diagnostic>> {
    let (name, origin) = match &options.project_name {
        Some(name) if !name.is_empty() => (name.clone(), "-p"),
        _ => match variables.get("COMPOSE_PROJECT_NAME") {
            Some(name) if !name.is_empty() => (name.to_owned(), "COMPOSE_PROJECT_NAME"),
            _ => return Ok(None),
        },
    };
    let normal = normalize_name(&name);
    if normal == name {
        return Ok(Some(name));
    }
    let help = if normal.is_empty() {
        "choose a name with letters or digits".to_owned()
    } else {
        format!("use `{normal}`")
    };
    Err(Box::new(Diagnostic::error("bad-project-name", Span::NONE, format!("invalid project name \"{name}\": must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number"))
        .note(format!("it comes from {origin}"))
        .help(help)))
}

/// The project's name where there may be no file: flag, environment, directory.
pub fn project_name(options: &LoadOptions) -> Result<String, Box<Diagnostic>> {
    let mut sources = Sources::default();
    let mut problems = Vec::new();
    let found = discover(options, &mut sources, &mut problems);
    if let Some(name) = given_name(options, &found.variables)? {
        return Ok(name);
    }
    Ok(directory_name(&found.directory))
}

/// The name a directory gives its project.
pub fn directory_name(directory: &Path) -> String {
    normalize_name(&directory.file_name().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::{Purpose, decode};

    #[test]
    fn a_mark_tells_of_utf_16() {
        for (bytes, want) in [
            (&b"a"[..], Some("a")),
            (b"\xff\xfea\0\xe9\0", Some("a\u{e9}")),
            (b"\xfe\xff\0a\0\xe9", Some("a\u{e9}")),
            (b"\xff\xfe", Some("")),
            (b"\xff\xfea", None),
            (b"\xff\xfe\0\xd8a\0", None),
            (b"\xff", None),
        ] {
            let text = decode(bytes.to_vec(), Purpose::Compose);
            assert_eq!(text.as_deref(), want, "{bytes:?}");
        }
        assert_eq!(decode(b"\xff\xfea\0".to_vec(), Purpose::Variables), None);
    }
}

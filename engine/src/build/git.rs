//! Sources in git repositories, by way of the `git` program.
//!
//! Only addresses that cannot name a program are accepted (`https`, `http`, `git`, `ssh`, `git@host:path`),
//! and nothing that begins with `-` ever reaches git as an argument.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A place in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GitRef {
    /// The repository.
    pub(super) remote: String,
    /// Branch, tag, commit, or a full `refs/…` name.
    pub(super) reference: Option<String>,
    /// Directory in it.
    pub(super) subdir: Option<String>,
}

impl GitRef {
    /// Reads an address; `None` when it is not one of a git repository.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, fragment) = match text.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (text, None),
        };
        let (bare, query) = match address.split_once('?') {
            Some((bare, query)) => (bare, Some(query)),
            None => (address, None),
        };
        let web = bare.starts_with("http://") || bare.starts_with("https://");
        let scp = bare.split_once(':').is_some_and(|(host, path)| {
            host.starts_with("git@")
                && !host.contains('/')
                && !path.is_empty()
                && !path.starts_with("//")
        });
        let named = bare.starts_with("git://") || bare.starts_with("ssh://") || scp;
        if !(named || web && bare.trim_end_matches('/').ends_with(".git")) {
            return None;
        }
        let mut git = Self {
            remote: bare.to_owned(),
            reference: None,
            subdir: None,
        };
        if let Some(fragment) = fragment {
            let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
            git.reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
            git.subdir = Some(subdir.to_owned()).filter(|text| !text.is_empty());
        }
        for (key, value) in query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter_map(|pair| pair.split_once('='))
        {
            match key {
                "ref" | "tag" | "branch" | "commit" => git.reference = Some(value.to_owned()),
                "subdir" => git.subdir = Some(value.to_owned()),
                _ => return None,
            }
        }
        Some(git)
    }

    /// The commit that the reference means now.
    pub(super) fn resolve(&self) -> Result<String, String> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        if wanted.starts_with('-') || self.remote.starts_with('-') {
            return Err(format!("`{wanted}` is not a git reference"));
        }
        if is_commit(wanted) {
            return Ok(wanted.to_owned());
        }
        let dereferenced = format!("{wanted}^{{}}");
        let listed = git(
            None,
            &["ls-remote", "--", &self.remote, wanted, &dereferenced],
        )?;
        let refs: Vec<(&str, &str)> = listed
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .collect();
        let orders = [
            format!("refs/tags/{wanted}^{{}}"),
            format!("refs/tags/{wanted}"),
            format!("refs/heads/{wanted}"),
            wanted.to_owned(),
        ];
        // A branch and a tag of one name: the branch, as `git fetch` would.
        let heads = format!("refs/heads/{wanted}");
        refs.iter()
            .find(|(_, name)| *name == heads)
            .or_else(|| {
                orders
                    .iter()
                    .find_map(|order| refs.iter().find(|(_, name)| name == order))
            })
            .map(|(commit, _)| (*commit).to_owned())
            .filter(|commit| is_commit(commit))
            .ok_or_else(|| format!("the git repository `{}` has no ref `{wanted}`", self.remote))
    }

    /// Writes the files of a commit into an empty directory.
    pub(super) fn checkout(
        &self,
        commit: &str,
        into: &Path,
        keep_git_dir: bool,
    ) -> Result<(), String> {
        let dir = Some(into);
        git(dir, &["init", "-q"])?;
        git(dir, &["remote", "add", "origin", &self.remote])?;
        let by_commit = git(dir, &["fetch", "-q", "--depth=1", "origin", commit]);
        if let Err(reason) = by_commit {
            // Old servers give named refs only.
            let wanted = self
                .reference
                .as_deref()
                .filter(|reference| !is_commit(reference))
                .unwrap_or("HEAD");
            git(dir, &["fetch", "-q", "--depth=1", "origin", wanted]).map_err(|_| reason)?;
        }
        git(dir, &["checkout", "-q", "--detach", commit])?;
        if into.join(".gitmodules").exists() {
            git(
                dir,
                &[
                    "submodule",
                    "-q",
                    "update",
                    "--init",
                    "--recursive",
                    "--depth=1",
                ],
            )?;
        }
        if !keep_git_dir {
            fs::remove_dir_all(into.join(".git")).map_err(|error| error.to_string())?;
        }
        plain_modes(into).map_err(|error| error.to_string())
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn git(directory: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    if let Some(directory) = directory {
        command.arg("-C").arg(directory);
    }
    command
        .args([
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "protocol.file.allow=user",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "the `git` program is needed for this source and is not installed".to_owned()
        }
        _ => format!("cannot run git: {error}"),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {} failed: {}", arguments[0], said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Git knows executable and not; our umask is no part of the source.
fn plain_modes(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))?;
            plain_modes(&entry.path())?;
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            fs::set_permissions(
                entry.path(),
                fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let git = GitRef::parse("https://h/r.git#v1:docs").unwrap();
        assert_eq!(
            (
                git.remote.as_str(),
                git.reference.as_deref(),
                git.subdir.as_deref()
            ),
            ("https://h/r.git", Some("v1"), Some("docs"))
        );
        assert!(GitRef::parse("git@h:r").is_some());
        assert!(GitRef::parse("git://127.0.0.1:9/r").is_some());
        for other in ["https://h/f.txt", "ext::sh -c x", "file.git", "a@b", "-x"] {
            assert!(GitRef::parse(other).is_none(), "{other}");
        }
    }
}

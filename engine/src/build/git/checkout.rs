//! The `git` program at work: which commit a reference means, and its files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::GitRef;
use crate::build::request::{BuildRequest, SecretSource};

/// What opens doors: an agent's socket, and a header for web servers.
#[derive(Clone, Debug, Default)]
pub(in crate::build) struct Access {
    agent: Option<PathBuf>,
    header: Option<String>,
}

impl Access {
    /// `--ssh default`, and the secrets that the reference knows: `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, for one host
    /// (`GIT_AUTH_TOKEN.example.com`) or for all.
    pub(in crate::build) fn of(request: &BuildRequest, git: &GitRef) -> Self {
        let secret = |name: &str| {
            let bytes = match request.secrets.get(name)? {
                SecretSource::Bytes(bytes) => bytes.clone(),
                SecretSource::File(path) => fs::read(path).ok()?,
            };
            Some(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        let host = host_of(&git.remote);
        let for_host = |name: &str| {
            host.and_then(|host| secret(&format!("{name}.{host}")))
                .or_else(|| secret(name))
        };
        let token = || {
            let token = for_host("GIT_AUTH_TOKEN")?;
            Some(format!(
                "basic {}",
                STANDARD.encode(format!("x-access-token:{token}"))
            ))
        };
        Self {
            agent: request.ssh.get("default").cloned(),
            header: host.and_then(|_| for_host("GIT_AUTH_HEADER").or_else(token)),
        }
    }
}

/// The host of a web address: nobody else gets a header.
fn host_of(remote: &str) -> Option<&str> {
    let rest = remote
        .strip_prefix("https://")
        .or_else(|| remote.strip_prefix("http://"))?;
    let authority = rest.split('/').next()?;
    Some(authority.rsplit('@').next().unwrap_or(authority))
}

impl GitRef {
    /// The commit that the reference means now.
    pub(in crate::build) fn resolve(&self, access: &Access) -> Result<String, String> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        if wanted.starts_with('-') || self.remote.starts_with('-') {
            return Err(format!("`{wanted}` is not a git reference"));
        }
        let commit = if is_commit(wanted) {
            wanted.to_owned()
        } else {
            self.listed(wanted, access)?
        };
        match &self.checksum {
            Some(checksum) if checksum.len() < 7 || !commit.starts_with(checksum.as_str()) => Err(
                format!("checksum `{checksum}` does not match the commit `{commit}`"),
            ),
            _ => Ok(commit),
        }
    }

    /// Asks the repository.
    fn listed(&self, wanted: &str, access: &Access) -> Result<String, String> {
        let dereferenced = format!("{wanted}^{{}}");
        let list = ["ls-remote", "--", &self.remote, wanted, &dereferenced];
        let listed = self.git(None, access, &list)?;
        let refs: Vec<(&str, &str)> = listed
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .collect();
        let orders = [
            format!("refs/tags/{wanted}^{{}}"),
            format!("refs/tags/{wanted}"),
            format!("refs/heads/{wanted}"),
            dereferenced.clone(),
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
    pub(in crate::build) fn checkout(
        &self,
        commit: &str,
        into: &Path,
        keep_git_dir: bool,
        access: &Access,
    ) -> Result<(), String> {
        let dir = Some(into);
        self.git(dir, access, &["init", "-q"])?;
        self.git(dir, access, &["remote", "add", "origin", &self.remote])?;
        let fetch =
            |what: &str| self.git(dir, access, &["fetch", "-q", "--depth=1", "origin", what]);
        if let Err(reason) = fetch(commit) {
            // Old servers give named refs only.
            let named = self.reference.as_deref();
            let named = named.filter(|reference| !is_commit(reference));
            fetch(named.unwrap_or("HEAD")).map_err(|_| reason)?;
        }
        self.git(dir, access, &["checkout", "-q", "--detach", commit])?;
        if self.submodules && into.join(".gitmodules").exists() {
            let update = [
                "submodule",
                "-q",
                "update",
                "--init",
                "--recursive",
                "--depth=1",
            ];
            self.git(dir, access, &update)?;
        }
        if keep_git_dir || self.keep_git_dir {
            // The address may hold a password, which is not to be part of an image.
            let url = without_password(&self.remote);
            self.git(dir, access, &["remote", "set-url", "origin", &url])?;
        } else {
            remove_git_dirs(into).map_err(|error| error.to_string())?;
        }
        plain_modes(into).map_err(|error| error.to_string())
    }

    fn git(&self, dir: Option<&Path>, access: &Access, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        if let Some(dir) = dir {
            command.arg("-C").arg(dir);
        }
        // Who may name a repository of this machine may have its submodules too; others may not.
        let files = if self.is_local() { "always" } else { "user" };
        command
            .args(["-c", "protocol.ext.allow=never"])
            .args(["-c", &format!("protocol.file.allow={files}")])
            .args(["-c", "advice.detachedHead=false"])
            .args(words)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null());
        if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
            // Nobody is there to answer a question.
            command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
        }
        if let Some(agent) = &access.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        if let (Some(header), Some(host)) = (&access.header, host_of(&self.remote)) {
            // By environment: a command line is for everyone to read.
            let scheme = self.remote.split("://").next().unwrap_or("https");
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env(
                    "GIT_CONFIG_KEY_0",
                    format!("http.{scheme}://{host}/.extraheader"),
                )
                .env("GIT_CONFIG_VALUE_0", format!("Authorization: {header}"));
        }
        run(command, words[0])
    }
}

fn run(mut command: Command, what: &str) -> Result<String, String> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "the `git` program is needed for this source and is not installed".to_owned()
        }
        _ => format!("cannot run git: {error}"),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git {what} failed: {}", complaint(&said)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What helps against what git or ssh complains of.
const REMEDIES: [(&str, &str); 3] = [
    (
        "Host key verification failed",
        "look at the server's key and add it to ~/.ssh/known_hosts, as `ssh-keyscan HOST` prints it",
    ),
    (
        "Permission denied (publickey",
        "add the key to an agent with `ssh-add` and pass the agent on with `--ssh default`",
    ),
    (
        "terminal prompts disabled",
        "give a token as the secret GIT_AUTH_TOKEN",
    ),
];

/// What git said on one line, without its general advice, and with ours.
fn complaint(said: &str) -> String {
    const ADVICE: [&str; 2] = [
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let lines = said.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !ADVICE.contains(line))
        .collect();
    let text = lines.join("; ");
    match REMEDIES.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, remedy)) => format!("{text} ({remedy})"),
        None => text,
    }
}

pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `https://user:password@host/…` without what is before the `@`.
fn without_password(remote: &str) -> String {
    let Some((scheme, rest)) = remote
        .split_once("://")
        .filter(|(scheme, _)| scheme.starts_with("http"))
    else {
        return remote.to_owned();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}://{host}/{path}")
}

/// `.git` of the repository, and the files of that name in its submodules.
fn remove_git_dirs(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name() == ".git" {
            match kind.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        } else if kind.is_dir() {
            remove_git_dirs(&entry.path())?;
        }
    }
    Ok(())
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
    fn a_complaint_is_one_line_with_a_remedy() {
        let said = "Host key verification failed.\r\nfatal: Could not read from remote repository.\n\n\
                    Please make sure you have the correct access rights\nand the repository exists.\n";
        let text = complaint(said);
        assert!(
            text.starts_with(
                "Host key verification failed.; fatal: Could not read from remote repository. ("
            ) && text.contains("known_hosts"),
            "{text}"
        );
        assert_eq!(complaint("fatal: no such ref\n"), "fatal: no such ref");
    }

    #[test]
    fn headers_are_for_their_host() {
        let secret = |text: &str| SecretSource::Bytes(text.as_bytes().to_vec());
        let request = BuildRequest {
            secrets: [
                ("GIT_AUTH_TOKEN".to_owned(), secret("all")),
                ("GIT_AUTH_TOKEN.h.example".to_owned(), secret("one\n")),
                ("GIT_AUTH_HEADER.x.example".to_owned(), secret("bearer t")),
            ]
            .into(),
            ..BuildRequest::default()
        };
        let header = |address: &str| Access::of(&request, &GitRef::parse(address).unwrap()).header;
        let basic = |token: &str| {
            Some(format!(
                "basic {}",
                STANDARD.encode(format!("x-access-token:{token}"))
            ))
        };
        assert_eq!(header("https://h.example/r.git"), basic("one"));
        assert_eq!(header("https://u@other.example/r.git"), basic("all"));
        assert_eq!(
            header("https://x.example/r.git"),
            Some("bearer t".to_owned())
        );
        assert_eq!(header("git@h.example:r"), None);
        assert_eq!(header("file:///h.example/r"), None);
    }

    #[test]
    fn passwords_stay_out_of_what_is_kept() {
        for (remote, kept) in [
            ("https://u:p@h/r.git", "https://h/r.git"),
            ("https://h/r.git", "https://h/r.git"),
            ("ssh://git@h/r", "ssh://git@h/r"),
        ] {
            assert_eq!(without_password(remote), kept);
        }
    }
}

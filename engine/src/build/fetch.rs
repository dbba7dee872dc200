//! Files of `ADD https://…` and contexts by URL.
//!
//! `remote` talks; this file decides what is asked for and keeps downloads by their
//! URL with their validators, so that an unchanged file is not fetched twice.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::context::{self, Context};
use super::digest::{Fields, Hash, hex};
use super::error::BuildError;
use super::git::{Access, GitRef};
use super::request::BuildRequest;
use super::scratch::Scratch;
use super::solve::Solver;
use super::{remote, select};
use crate::error::ErrorKind;
use crate::state::touch;

/// A file that was fetched.
#[derive(Clone, Debug)]
pub(super) struct Download {
    /// Its bytes.
    pub(super) path: PathBuf,
    /// The last part of the URL's path.
    pub(super) name: String,
    pub(super) digest: Hash,
    /// `Last-Modified`, in seconds.
    pub(super) mtime: Option<i64>,
}

/// What is known of a download.
#[derive(Serialize, Deserialize)]
struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
    digest: String,
}

type Failure = (ErrorKind, String);

/// Fetches a file, or finds that the one of last time is still right.
pub(super) fn file(solver: &Solver<'_>, url: &str) -> Result<Download, Failure> {
    let mut question = Fields::new("url");
    question.add(url.as_bytes());
    let home = solver.root.join("build/http").join(hex(&question.finish()));
    let io = |error: std::io::Error| {
        (
            ErrorKind::Internal,
            format!("cannot keep the download: {error}"),
        )
    };
    std::fs::create_dir_all(&home).map_err(io)?;
    touch(&home).map_err(io)?;
    let known: Option<Validators> = std::fs::read(home.join("known.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let known = known.filter(|known| home.join(&known.digest).exists());

    let mut headers = Vec::new();
    if let Some(known) = &known {
        if let Some(etag) = &known.etag {
            headers.push(("if-none-match".to_owned(), etag.clone()));
        } else if let Some(date) = &known.last_modified {
            headers.push(("if-modified-since".to_owned(), date.clone()));
        }
    }
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or_default()
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    headers.extend(authorization(solver, host));
    let name = name_of(url);
    let part = solver.scratch.directory().map_err(io)?;
    let body = part.path().join("body");
    let fetched = remote::fetch(url, &headers, &body)?;
    let validators = match (fetched.status, known) {
        (304, Some(known)) => known,
        (status, _) if status >= 300 => {
            return Err((
                ErrorKind::NotFound,
                format!("cannot fetch `{url}`: the server answered {status}"),
            ));
        }
        _ => {
            let digest = hash(&body).map_err(io)?;
            let validators = Validators {
                etag: fetched.etag,
                last_modified: fetched.last_modified,
                digest: hex(&digest),
            };
            std::fs::rename(&body, home.join(&validators.digest)).map_err(io)?;
            let text = serde_json::to_vec(&validators).unwrap_or_default();
            std::fs::write(home.join("known.json"), text).map_err(io)?;
            validators
        }
    };
    let path = home.join(&validators.digest);
    let digest = hash(&path).map_err(io)?;
    Ok(Download {
        path,
        name,
        digest,
        mtime: validators.last_modified.as_deref().and_then(http_date),
    })
}

/// Secrets that stand for credentials of a host.
fn authorization(solver: &Solver<'_>, host: &str) -> Option<(String, String)> {
    let secret = |name: String| {
        let source = solver.request.secrets.get(&name)?;
        let bytes = match source {
            super::request::SecretSource::Bytes(bytes) => bytes.clone(),
            super::request::SecretSource::File(path) => std::fs::read(path).ok()?,
        };
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let header = secret(format!("HTTP_AUTH_HEADER_{host}"));
    let token = || secret(format!("HTTP_AUTH_TOKEN_{host}")).map(|token| format!("Bearer {token}"));
    Some(("authorization".to_owned(), header.or_else(token)?))
}

fn hash(path: &Path) -> std::io::Result<Hash> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// The file name in a URL.
fn name_of(url: &str) -> String {
    let path = url.split("://").nth(1).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let name = path
        .split_once('/')
        .map_or("", |(_, path)| path)
        .rsplit('/')
        .next()
        .unwrap_or_default();
    if name.is_empty() || name == "." || name == ".." {
        "download".into()
    } else {
        name.to_owned()
    }
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` in seconds.
fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|time| time.timestamp().as_second())
}

/// A context by address: a git repository, a tar archive, or a Dockerfile, which is then all of it.
pub(super) fn context(
    request: &BuildRequest,
    address: &str,
    scratch: &Scratch,
) -> Result<Context, BuildError> {
    let bad = |reason: String| BuildError::Context {
        context: address.to_owned(),
        reason,
    };
    if let Some(git) = GitRef::parse(address) {
        let access = Access::of(request, &git);
        let commit = git.resolve(&access).map_err(bad)?;
        let kept = request.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        let keep_git_dir = kept.is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        let part = scratch
            .directory()
            .map_err(|error| bad(error.to_string()))?;
        git.checkout(&commit, part.path(), keep_git_dir, &access)
            .map_err(bad)?;
        let subdir = git.subdir.clone().unwrap_or_default();
        let whole = super::tree::Tree::open(part.path(), super::tree::View::Context)
            .map_err(|e| bad(e.to_string()))?;
        let found =
            select::select_plain(&whole, &subdir).map_err(|error| bad(error.to_string()))?;
        let Some(found) = found.filter(|found| found.entry.is_none()) else {
            return Err(bad(format!("the repository has no directory `{subdir}`")));
        };
        return context::filled(part, &found.path.to_string_lossy());
    }
    if address.starts_with("http://") || address.starts_with("https://") {
        let part = scratch
            .directory()
            .map_err(|error| bad(error.to_string()))?;
        let body = part.path().join("body");
        let fetched = remote::fetch(address, &[], &body).map_err(|(_, reason)| bad(reason))?;
        if fetched.status >= 300 {
            return Err(bad(format!("the server answered {}", fetched.status)));
        }
        let file = std::fs::File::open(&body).map_err(|error| bad(error.to_string()))?;
        let stream = super::untar::open(file).map_err(|error| bad(error.to_string()))?;
        if let Some(stream) = stream {
            return context::unpack_stream(stream, scratch).map_err(bad);
        }
        if !is_text(&body).map_err(|error| bad(error.to_string()))? {
            return Err(bad("it is neither a tar archive nor a Dockerfile".into()));
        }
        let dockerfile = part.path().join("Dockerfile");
        std::fs::rename(&body, dockerfile).map_err(|error| bad(error.to_string()))?;
        return context::filled(part, "");
    }
    Err(bad(
        "it is neither a directory, a git repository nor an http(s) URL".into(),
    ))
}

/// Whether a file could be a Dockerfile: not empty, and without the byte that no text has.
fn is_text(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    std::fs::File::open(path)?
        .take(64 << 10)
        .read_to_end(&mut start)?;
    Ok(!start.is_empty() && !start.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_path() {
        for (url, name) in [
            ("https://h/a/b.txt?x=1#y", "b.txt"),
            ("https://h/a/", "download"),
            ("https://h", "download"),
            ("http://h/..", "download"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
        assert_eq!(
            http_date("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(1_445_412_480)
        );
    }
}

//! Sources in git repositories: their addresses here, the `git` program that brings them in `checkout`.
//!
//! Only addresses that cannot name a program are accepted (`https`, `http`, `git`, `ssh`, `file`, `user@host:path`,
//! `github.com/…`), and nothing that begins with `-` ever reaches git as an argument. A repository of this machine
//! (`file`) can only be what the caller names: a Dockerfile may come from elsewhere.

mod checkout;

pub(super) use checkout::Access;

/// A place in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GitRef {
    /// The repository.
    pub(super) remote: String,
    /// Branch, tag, commit, or a full `refs/…` name.
    pub(super) reference: Option<String>,
    /// Directory in it.
    pub(super) subdir: Option<String>,
    /// What the commit must begin with.
    pub(super) checksum: Option<String>,
    /// Asked for by the address.
    pub(super) keep_git_dir: bool,
    pub(super) submodules: bool,
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
        let named = ["git://", "ssh://", "file://"];
        let named = named.iter().any(|scheme| bare.starts_with(scheme));
        let github = bare.starts_with("github.com/");
        if !(named || github || is_scp(bare) || web && bare.trim_end_matches('/').ends_with(".git"))
        {
            return None;
        }
        let mut git = Self {
            remote: if github {
                format!("https://{bare}")
            } else {
                bare.to_owned()
            },
            reference: None,
            subdir: None,
            checksum: None,
            keep_git_dir: false,
            submodules: true,
        };
        if let Some(fragment) = fragment {
            let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
            git.reference = Some(reference.to_owned()).filter(|text| !text.is_empty());
            git.subdir = Some(subdir.to_owned()).filter(|text| !text.is_empty());
        }
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            git.option(pair)?;
        }
        Some(git)
    }

    /// One of the query's options; `None` for one that is not known.
    fn option(&mut self, pair: &str) -> Option<()> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let switch = match value {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        match key {
            "ref" => self.reference = Some(value.to_owned()),
            "tag" => self.reference = Some(format!("refs/tags/{value}")),
            "branch" => self.reference = Some(format!("refs/heads/{value}")),
            "commit" | "checksum" => {
                self.checksum = Some(value.to_ascii_lowercase());
                if self.reference.is_none() && checkout::is_commit(value) {
                    self.reference = Some(value.to_owned());
                }
            }
            "subdir" => self.subdir = Some(value.to_owned()),
            "keep-git-dir" => self.keep_git_dir = switch?,
            "submodules" => self.submodules = switch?,
            _ => return None,
        }
        Some(())
    }

    /// Whether it is a repository of this machine.
    pub(super) fn is_local(&self) -> bool {
        self.remote.starts_with("file://")
    }
}

/// Whether a context is an address, not a directory.
pub fn is_remote(context: &str) -> bool {
    context.contains("://") || GitRef::parse(context).is_some()
}

/// `user@host:path`
fn is_scp(text: &str) -> bool {
    let Some((place, path)) = text.split_once(':') else {
        return false;
    };
    let Some((user, host)) = place.split_once('@') else {
        return false;
    };
    let is_word = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    is_word(user, "_-.") && is_word(host, "-.") && !path.is_empty() && !path.starts_with("//")
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
        for one in [
            "git@h:r",
            "me.too@h.example:a/b",
            "ssh://git@h:22/r",
            "git://127.0.0.1:9/r",
            "file:///srv/r.git#main",
        ] {
            assert!(GitRef::parse(one).is_some(), "{one}");
            assert!(is_remote(one));
        }
        let github = GitRef::parse("github.com/a/b#c").unwrap();
        assert_eq!(github.remote, "https://github.com/a/b");
        for other in [
            "https://h/f.txt",
            "ext::sh -c x",
            "file.git",
            "a@b",
            "-x",
            "-a@b:c",
            "C:\\x@y",
            "git@-oProxyCommand=x:y",
        ] {
            assert!(GitRef::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn options_of_the_address() {
        let git = GitRef::parse("https://h/r.git?branch=b&subdir=s&keep-git-dir&submodules=false");
        let git = git.unwrap();
        assert_eq!(git.reference.as_deref(), Some("refs/heads/b"));
        assert_eq!(git.subdir.as_deref(), Some("s"));
        assert!(git.keep_git_dir && !git.submodules);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let git = GitRef::parse(&format!("https://h/r.git?checksum={commit}")).unwrap();
        assert_eq!(
            (git.reference.as_deref(), git.checksum.as_deref()),
            (Some(commit), Some(commit))
        );
        assert!(GitRef::parse("https://h/r.git?upload-pack=x").is_none());
        assert!(GitRef::parse("https://h/r.git?submodules=maybe").is_none());
    }
}

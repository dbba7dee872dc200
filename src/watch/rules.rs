//! What a changed path means: the rules of `develop.watch`, with their ignore patterns.

use std::path::{Path, PathBuf};

use gantry_engine::build::Patterns;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Build the image and replace the containers.
    Rebuild,
    /// Copy into the containers.
    Sync,
    /// Restart the containers.
    Restart,
    /// Copy, then restart.
    SyncRestart,
    /// Copy, then run a command.
    SyncExec,
}

impl Action {
    /// Whether files are copied.
    pub fn syncs(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}

/// One entry of a service's `develop.watch`.
#[derive(Debug)]
pub struct Rule {
    /// The service.
    pub service: String,
    /// File or directory watched, absolute, without symbolic links.
    pub path: PathBuf,
    /// What to do.
    pub action: Action,
    /// Where files go in the container; given whenever the action copies.
    pub target: Option<String>,
    /// Paths below `path` that do not count.
    pub ignore: Patterns,
    /// Paths below `path` that count; empty means all.
    pub include: Patterns,
    /// The build context's `.dockerignore`, with the directory it speaks of.
    pub dockerignore: Option<(PathBuf, Patterns)>,
}

impl Rule {
    /// The path below the rule's own (empty for the rule's path itself) when it counts.
    pub fn matches(&self, path: &Path) -> Option<String> {
        let below = text_below(&self.path, path)?;
        if is_noise(path) {
            return None;
        }
        // A rule on one file is about that file, whatever the patterns say of directories.
        let name = if below.is_empty() {
            file_name(path)
        } else {
            below.clone()
        };
        if self.ignore.excludes(&name)
            || (!self.include.is_empty() && !self.include.excludes(&name))
        {
            return None;
        }
        let dockerignored = self
            .dockerignore
            .as_ref()
            .is_some_and(|(context, patterns)| {
                text_below(context, path).is_some_and(|path| patterns.excludes(&path))
            });
        (!dockerignored).then_some(below)
    }

    /// Where a path below the rule's goes in the container.
    pub fn target_of(&self, below: &str) -> Option<String> {
        let target = self.target.as_deref()?;
        Some(if below.is_empty() {
            target.to_owned()
        } else {
            format!("{}/{below}", target.trim_end_matches('/'))
        })
    }
}

/// All rules of the watched services.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// In the order of the compose file.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Rules with their indexes, for which a path counts.
    pub fn matching<'a>(
        &'a self,
        path: &'a Path,
    ) -> impl Iterator<Item = (usize, &'a Rule, String)> {
        let rules = self.rules.iter().enumerate();
        rules.filter_map(move |(index, rule)| Some((index, rule, rule.matches(path)?)))
    }

    /// Every rule.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate()
    }

    /// Whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// The path below a directory with `/` between names; empty for the directory itself.
fn text_below(directory: &Path, path: &Path) -> Option<String> {
    Some(
        path.strip_prefix(directory)
            .ok()?
            .to_string_lossy()
            .into_owned(),
    )
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Files that editors and git write beside the user's own (docker/compose,
/// `pkg/watch/ephemeral.go` names the same kinds).
fn is_noise(path: &Path) -> bool {
    if path
        .components()
        .any(|part| part.as_os_str() == ".git" || part.as_os_str() == ".idea")
    {
        return true;
    }
    let name = file_name(path);
    let vim_probe = name == "4913";
    let vim_swap = name.starts_with('.')
        && [".swp", ".swo", ".swx"]
            .iter()
            .any(|end| name.ends_with(end));
    let backup = name.ends_with('~') || name.ends_with(".bck");
    let emacs = name.starts_with(".#") || (name.starts_with('#') && name.ends_with('#'));
    let jetbrains = name.ends_with("___jb_tmp___") || name.ends_with("___jb_old___");
    vim_probe || vim_swap || backup || emacs || jetbrains
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn patterns(lines: &[&str]) -> Patterns {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        Patterns::from_flags(&lines).expect("patterns")
    }

    pub fn rule(service: &str, path: &str, action: Action, target: Option<&str>) -> Rule {
        Rule {
            service: service.to_owned(),
            path: path.into(),
            action,
            target: target.map(str::to_owned),
            ignore: Patterns::default(),
            include: Patterns::default(),
            dockerignore: None,
        }
    }

    fn check(rule: &Rule, path: &str, expected: Option<&str>) {
        assert_eq!(rule.matches(Path::new(path)).as_deref(), expected, "{path}");
    }

    #[test]
    fn a_rule_counts_for_itself_and_what_is_below() {
        let rule = rule("web", "/src/web", Action::Sync, Some("/app/"));
        check(&rule, "/src/web/a/b.js", Some("a/b.js"));
        check(&rule, "/src/web", Some(""));
        check(&rule, "/src/website/a", None);
        assert_eq!(rule.target_of("a/b.js").as_deref(), Some("/app/a/b.js"));
        assert_eq!(rule.target_of("").as_deref(), Some("/app/"));
    }

    #[test]
    fn ignore_include_and_dockerignore_are_relative_to_their_own_place() {
        let mut rule = rule("web", "/src/web", Action::Sync, Some("/app"));
        rule.ignore = patterns(&["node_modules"]);
        rule.include = patterns(&["**/*.js"]);
        rule.dockerignore = Some(("/src".into(), patterns(&["web/secret.js"])));
        check(&rule, "/src/web/a.js", Some("a.js"));
        check(&rule, "/src/web/node_modules/x.js", None);
        check(&rule, "/src/web/a.css", None);
        check(&rule, "/src/web/secret.js", None);
    }

    #[test]
    fn editors_and_git_make_noise() {
        let rule = rule("web", "/src", Action::Sync, Some("/app"));
        for noise in [
            "/src/.a.js.swp",
            "/src/a.js~",
            "/src/4913",
            "/src/.git/index",
            "/src/.#a",
            "/src/#a#",
        ] {
            check(&rule, noise, None);
        }
        check(&rule, "/src/.gitignore", Some(".gitignore"));
    }
}

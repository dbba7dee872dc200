//! Watching the disk: notify's events, reduced to the paths that changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Change, Rules};

/// How long a wait for the first change lasts before the caller is asked whether to go on.
const IDLE: Duration = Duration::from_millis(500);

/// Why the disk cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No watcher, or no more of them.
    #[error("cannot watch `{path}`")]
    Watch {
        /// What was to be watched.
        path: PathBuf,
        /// The watcher's error.
        source: notify::Error,
    },
    /// The watcher stopped by itself.
    #[error("the file watcher ended")]
    Ended,
}

/// A watch on every rule's path.
pub struct Source {
    events: Receiver<notify::Result<Event>>,
    // Watching ends when this is dropped.
    _watcher: RecommendedWatcher,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    /// Begins to watch. A rule on a file watches its directory, because editors replace files.
    ///
    /// # Errors
    /// When a path does not exist or the kernel's limit on watches is reached.
    pub fn new(rules: &Rules) -> Result<Self, WatchError> {
        let (send, events) = channel();
        let mut watcher =
            notify::recommended_watcher(send).map_err(|source| WatchError::Watch {
                path: PathBuf::new(),
                source,
            })?;
        for (path, mode) in watched(rules) {
            watcher
                .watch(&path, mode)
                .map_err(|source| WatchError::Watch { path, source })?;
        }
        Ok(Self {
            events,
            _watcher: watcher,
        })
    }

    /// Waits for changes and returns them once nothing more has come for `quiet`, or after
    /// `patience` in any case. Returns nothing when half a second passed without any.
    ///
    /// # Errors
    /// When the watcher has ended.
    pub fn next_changes(
        &self,
        quiet: Duration,
        patience: Duration,
    ) -> Result<Vec<Change>, WatchError> {
        let mut paths = BTreeSet::new();
        match self.events.recv_timeout(IDLE) {
            Ok(event) => paths.extend(changed(event)),
            Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return Err(WatchError::Ended),
        }
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.events.recv_timeout(quiet) {
                Ok(event) => paths.extend(changed(event)),
                Err(_) => break,
            }
        }
        Ok(paths.into_iter().map(|path| Change { path }).collect())
    }
}

/// Each path once, and none below another that is watched recursively.
fn watched(rules: &Rules) -> Vec<(PathBuf, RecursiveMode)> {
    let mut paths: BTreeSet<(PathBuf, bool)> = BTreeSet::new();
    for (_, rule) in rules.iter() {
        if rule.path.is_dir() {
            paths.insert((rule.path.clone(), true));
        } else {
            paths.insert((
                rule.path.parent().unwrap_or(Path::new("/")).to_owned(),
                false,
            ));
        }
    }
    let roots: Vec<PathBuf> = paths
        .iter()
        .filter(|(_, deep)| *deep)
        .map(|(path, _)| path.clone())
        .collect();
    let covered = |path: &Path, deep: bool| {
        roots
            .iter()
            .any(|root| path.starts_with(root) && (path != root || !deep))
    };
    paths
        .into_iter()
        .filter(|(path, deep)| !covered(path, *deep))
        .map(|(path, deep)| {
            (
                path,
                if deep {
                    RecursiveMode::Recursive
                } else {
                    RecursiveMode::NonRecursive
                },
            )
        })
        .collect()
}

/// The paths of an event that may have changed something. Reading changes nothing.
fn changed(event: notify::Result<Event>) -> Vec<PathBuf> {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Any => event.paths,
            EventKind::Access(_) | EventKind::Other => Vec::new(),
        },
        // An overflow, or a directory that vanished: its path, where it is known, counts as changed.
        Err(error) => error.paths,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::super::rules::tests::rule;
    use super::*;

    #[test]
    fn files_saved_together_come_together() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().canonicalize().expect("path");
        let rules = Rules::new(vec![rule(
            "web",
            &path.to_string_lossy(),
            Action::Sync,
            Some("/app"),
        )]);
        let source = Source::new(&rules).expect("watch");
        for n in 0..20 {
            std::fs::write(path.join(format!("f{n}")), "text").expect("file");
        }
        let changes = source
            .next_changes(Duration::from_millis(200), Duration::from_secs(5))
            .expect("changes");
        assert_eq!(changes.len(), 20, "{changes:?}");
        // Reading is no change.
        std::fs::read(path.join("f1")).expect("file");
        assert_eq!(
            source
                .next_changes(Duration::from_millis(1), Duration::ZERO)
                .expect("none"),
            []
        );
    }

    #[test]
    fn a_file_is_watched_through_its_directory_and_directories_once() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().canonicalize().expect("path");
        std::fs::create_dir_all(path.join("a/b")).expect("folder");
        std::fs::write(path.join("a/b/file"), "").expect("file");
        let at = |below: &str| path.join(below).to_string_lossy().into_owned();
        let rules = Rules::new(vec![
            rule("one", &at("a"), Action::Sync, Some("/x")),
            rule("two", &at("a/b"), Action::Sync, Some("/y")),
            rule("two", &at("a/b/file"), Action::Restart, None),
        ]);
        assert_eq!(
            watched(&rules),
            [(path.join("a"), RecursiveMode::Recursive)]
        );
    }
}

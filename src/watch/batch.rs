//! Many changes, one set of actions: per service, what to rebuild, copy, restart and run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Change;
use super::rules::{Action, Rules};

/// What a set of changes asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    services: BTreeMap<String, ServiceBatch>,
}

/// What it asks for of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ServiceBatch {
    /// Build and replace; then nothing else needs to be done.
    pub rebuild: bool,
    /// Files to copy or delete, each once, in path order.
    pub sync: Vec<SyncOp>,
    /// Restart afterwards.
    pub restart: bool,
    /// Indexes of `sync+exec` rules whose command is to be run, each once.
    pub exec: Vec<usize>,
}

/// One file of a sync.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncOp {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub target: String,
    /// The source is gone: delete the target.
    pub deleted: bool,
}

impl Batch {
    /// Applies the rules to the changes; looks only at whether each path still exists.
    pub fn collect(rules: &Rules, changes: &[Change]) -> Self {
        Self::collect_with(rules, changes, |path| path.symlink_metadata().is_ok())
    }

    fn collect_with(rules: &Rules, changes: &[Change], exists: impl Fn(&Path) -> bool) -> Self {
        let mut batch = Self::default();
        for change in changes {
            for (index, rule, below) in rules.matching(&change.path) {
                let work = batch.services.entry(rule.service.clone()).or_default();
                if rule.action.syncs()
                    && let Some(target) = rule.target_of(&below)
                {
                    let deleted = !exists(&change.path);
                    work.sync.push(SyncOp {
                        source: change.path.clone(),
                        target,
                        deleted,
                    });
                }
                match rule.action {
                    Action::Rebuild => work.rebuild = true,
                    Action::Restart | Action::SyncRestart => work.restart = true,
                    Action::SyncExec => work.exec.push(index),
                    Action::Sync => {}
                }
            }
        }
        batch.services.values_mut().for_each(ServiceBatch::tidy);
        batch
    }

    /// Services whose images are built again.
    pub fn rebuilds(&self) -> Vec<String> {
        let rebuilt = self.services.iter().filter(|(_, work)| work.rebuild);
        rebuilt.map(|(service, _)| service.clone()).collect()
    }

    /// Every service with something to do.
    pub fn services(&self) -> impl Iterator<Item = (&str, &ServiceBatch)> {
        self.services
            .iter()
            .map(|(service, work)| (service.as_str(), work))
    }

    /// Whether no rule was met.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}

impl ServiceBatch {
    fn tidy(&mut self) {
        self.sync.sort();
        self.sync.dedup();
        self.exec.sort_unstable();
        self.exec.dedup();
        // A directory that is deleted takes what was below it along.
        let gone: Vec<PathBuf> = self
            .sync
            .iter()
            .filter(|op| op.deleted)
            .map(|op| op.source.clone())
            .collect();
        self.sync.retain(|op| {
            !op.deleted
                || !gone
                    .iter()
                    .any(|dir| *dir != op.source && op.source.starts_with(dir))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::rule;
    use super::*;

    fn collect(rules: Vec<super::super::Rule>, paths: &[&str], gone: &[&str]) -> Batch {
        let changes: Vec<Change> = paths
            .iter()
            .map(|path| Change { path: path.into() })
            .collect();
        Batch::collect_with(&Rules::new(rules), &changes, |path| {
            !gone.iter().any(|gone| path.starts_with(gone))
        })
    }

    #[test]
    fn many_files_of_one_service_are_one_batch() {
        let batch = collect(
            vec![rule("web", "/src", Action::SyncRestart, Some("/app"))],
            &["/src/b", "/src/a", "/src/b"],
            &[],
        );
        let work = &batch.services["web"];
        assert_eq!(
            work.sync
                .iter()
                .map(|op| op.target.as_str())
                .collect::<Vec<_>>(),
            ["/app/a", "/app/b"]
        );
        assert!(work.restart && !work.rebuild);
    }

    #[test]
    fn a_file_may_concern_several_services() {
        let batch = collect(
            vec![
                rule("api", "/src", Action::Rebuild, None),
                rule("web", "/src/web", Action::Sync, Some("/app")),
                rule("other", "/elsewhere", Action::Restart, None),
            ],
            &["/src/web/page"],
            &[],
        );
        assert_eq!(batch.rebuilds(), ["api"]);
        assert_eq!(
            batch.services().map(|(name, _)| name).collect::<Vec<_>>(),
            ["api", "web"]
        );
    }

    #[test]
    fn a_deleted_directory_is_one_deletion() {
        let batch = collect(
            vec![rule("web", "/src", Action::Sync, Some("/app"))],
            &["/src/d/x", "/src/d", "/src/d/y/z", "/src/e"],
            &["/src/d"],
        );
        let ops: Vec<(&str, bool)> = batch.services["web"]
            .sync
            .iter()
            .map(|op| (op.target.as_str(), op.deleted))
            .collect();
        assert_eq!(ops, [("/app/d", true), ("/app/e", false)]);
    }

    #[test]
    fn paths_outside_every_rule_ask_for_nothing() {
        assert!(
            collect(
                vec![rule("web", "/src", Action::Sync, Some("/app"))],
                &["/tmp/x"],
                &[]
            )
            .is_empty()
        );
    }
}

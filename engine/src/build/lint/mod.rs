//! BuildKit's lint rules: the same rules, messages, places and directives (`# check=…` for the file and
//! above an instruction).
//!
//! Nothing runs and nothing is pulled. `file` looks at the text as a whole, `from` at the `FROM` lines,
//! `walk` goes through the stages with their variables, and ends at the first instruction that no build could do.
//! What depends on a base image (its variables, its platform) is looked at where the store has that image and left
//! out where it has not.

mod copy;
mod file;
mod from;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

pub use rules::Rule;

use super::diagnostic::{Diagnostic, Severity, Span};
use super::graph::Origin;
use super::ignore::Patterns;
use super::parse::{CheckConfig, Dockerfile, Kind};
use super::platform::Platform;
use super::request::BuildRequest;
use super::stages::Stages;
use super::variables;
use crate::image::ImageConfig;

/// What the rules look at.
pub(super) struct Subject<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) stages: &'a Stages,
    /// What each `FROM` leads to.
    pub(super) bases: &'a [Origin],
    /// The stages that are looked at instruction by instruction, in file order.
    pub(super) walked: &'a [usize],
    pub(super) request: &'a BuildRequest,
    /// Values of the arguments before the first `FROM`, and of the automatic ones.
    pub(super) globals: &'a BTreeMap<String, String>,
    /// The same when no build argument is given; `None` when they cannot be expanded then.
    pub(super) defaults: Option<&'a BTreeMap<String, String>>,
    /// The machine's platform, and the one that is built for.
    pub(super) host: &'a Platform,
    pub(super) platform: &'a Platform,
    /// The context's ignore file.
    pub(super) ignore: &'a Patterns,
    /// The configuration of a base image, if it is in the store.
    pub(super) image: &'a dyn Fn(&str) -> Option<ImageConfig>,
}

/// What a look at a file gives.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In file order.
    pub(super) warnings: Vec<Diagnostic>,
    /// What ended the look: the build would end there too.
    pub(super) error: Option<Box<Diagnostic>>,
}

/// Looks at a file.
pub(super) fn check(subject: &Subject<'_>, config: &CheckConfig) -> Found {
    let mut report = Report {
        file: subject.file,
        config,
        found: Vec::new(),
    };
    file::check(subject, &mut report);
    let looked = from::check(subject, &mut report);
    let error = looked
        .and_then(|()| walk::check(subject, &mut report))
        .err();
    let mut warnings = report.found;
    warnings.sort_by_key(|diagnostic| diagnostic.span.line);
    Found { warnings, error }
}

/// Build arguments that no `ARG` takes: no rule of the reference's, which warns when it builds.
pub(super) fn unused_arguments(
    file: &Dockerfile,
    stages: &Stages,
    given: &IndexMap<String, String>,
) -> Vec<Diagnostic> {
    let in_stages = stages
        .list
        .iter()
        .flat_map(|stage| &stage.instructions)
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(arguments) => Some(arguments),
            _ => None,
        });
    let globals = stages
        .globals
        .iter()
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(arguments) => Some(arguments),
            _ => None,
        });
    let known: BTreeSet<&String> = in_stages
        .chain(globals)
        .flatten()
        .map(|argument| &argument.name)
        .collect();
    given
        .keys()
        .filter(|name| {
            let builtin = name.starts_with("TARGET") || name.starts_with("BUILD");
            !known.contains(name) && !variables::is_predefined(name) && !builtin
        })
        .map(|name| Diagnostic {
            severity: Severity::Warning(None),
            source: file.source.clone(),
            span: Span::default(),
            message: format!(
                "build argument `{name}` was not consumed: no `ARG {name}` in the Dockerfile"
            ),
            help: None,
        })
        .collect()
}

/// Warnings so far.
struct Report<'a> {
    file: &'a Dockerfile,
    config: &'a CheckConfig,
    found: Vec<Diagnostic>,
}

impl Report<'_> {
    /// Adds a warning, unless the file skips its rule, or a comment above the instruction does.
    fn add(&mut self, rule: Rule, span: Span, comments: &[String], message: String) {
        let config = self.config.with_comments(comments);
        if config.reports(rule.name, rule.experimental) {
            self.found.push(Diagnostic {
                severity: Severity::Warning(Some(rule)),
                source: self.file.source.clone(),
                span,
                message,
                help: None,
            });
        }
    }
}

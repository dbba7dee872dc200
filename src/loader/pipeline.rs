//! The order of the phases: one document, one file, one model (of a project or an include).

use std::collections::{HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use std::rc::Rc;

use super::canonical::{self, Malformed};
use super::diagnostic::Diagnostic;
use super::discover::{Purpose, read_text};
use super::env::Variables;
use super::extends::Bases;
use super::merge::Merging;
use super::source::{Sources, Span};
use super::trail::Trail;
use super::tree::{Map, Node, Path, Rival, Value};
use super::yaml::Document;
use super::{
    LoadOptions, defaults, extends, include, interpolate, merge, normalize, paths, reset, rules,
    unique, validate, yaml,
};

/// What all files of a load share.
#[derive(Debug)]
pub struct Pipeline<'a> {
    /// Options.
    pub options: &'a LoadOptions,
    /// Texts read so far.
    pub sources: Sources,
    /// Problems found so far.
    pub problems: Vec<Diagnostic>,
    parsed: HashMap<PathBuf, Rc<Vec<Document>>>,
    /// Bytes of texts with variables, so far.
    made: usize,
    /// Values that `extends` copied, so far.
    pub copied: usize,
    /// Files that were loaded for `include`, so far.
    pub included: usize,
    obsolete: HashSet<PathBuf>,
}

/// What the files of one model share: a project's, or those of one include.
#[derive(Debug)]
pub struct Scope {
    /// Directory of relative paths.
    pub absolute: PathBuf,
    /// The same as paths are written; relative inside an include.
    pub directory: PathBuf,
    /// Variables of interpolation.
    pub variables: Variables,
    /// Files that led here through `include`.
    pub chain: Vec<PathBuf>,
    /// Files read for `extends`.
    pub bases: Bases,
}

impl Scope {
    /// A scope without history.
    pub fn new(absolute: PathBuf, directory: PathBuf, variables: Variables) -> Self {
        Self {
            absolute,
            directory,
            variables,
            chain: Vec::new(),
            bases: Bases::default(),
        }
    }
}

impl<'a> Pipeline<'a> {
    /// A pipeline that has read nothing.
    pub fn new(options: &'a LoadOptions, sources: Sources, problems: Vec<Diagnostic>) -> Self {
        Self {
            options,
            sources,
            problems,
            parsed: HashMap::new(),
            made: 0,
            copied: 0,
            included: 0,
            obsolete: HashSet::new(),
        }
    }

    /// Notes a problem.
    pub fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<&'a str> {
        self.options
            .environment
            .get("HOME")
            .map(String::as_str)
            .filter(|h| !h.is_empty())
    }

    fn malformed(&self) -> Malformed {
        if self.options.interpolate {
            Malformed::Refuse
        } else {
            Malformed::Keep
        }
    }

    /// The documents of a file, parsed once.
    pub fn documents(&mut self, file: &FilePath) -> Option<Rc<Vec<Document>>> {
        if let Some(documents) = self.parsed.get(file) {
            return Some(Rc::clone(documents));
        }
        let (id, text) = read_text(
            file,
            &mut self.sources,
            &mut self.problems,
            Purpose::Compose,
        )?;
        let documents = Rc::new(yaml::parse(&text, id, &mut self.problems));
        self.parsed.insert(file.to_owned(), Rc::clone(&documents));
        Some(documents)
    }

    /// The model of several files, before names and networks are implied.
    pub fn model(&mut self, files: &[PathBuf], scope: &mut Scope) -> Option<Node> {
        let mut root = Node::map(Map::new(), Span::NONE);
        let mut any = false;
        for file in files {
            for document in self.documents(file)?.iter() {
                any = true;
                self.document(document.clone(), file, scope, &mut root);
            }
        }
        if !any {
            return Some(root);
        }
        defaults::apply(&mut root);
        rules::check(&root, &mut self.problems);
        // Paths of an included model are always brought to the directory that includes it.
        if self.options.resolve_paths || !scope.chain.is_empty() {
            rules::bind_sources(&root, &mut self.problems);
            paths::resolve(&mut root, &scope.directory, self.home());
        }
        if self.options.interpolate {
            normalize::environment(&mut root, &scope.variables);
        }
        if scope.chain.is_empty() {
            normalize::forget_secrets(&mut root);
        }
        Some(root)
    }

    fn document(
        &mut self,
        mut document: Document,
        file: &FilePath,
        scope: &mut Scope,
        root: &mut Node,
    ) {
        if !self.is_mapping(&document.root) {
            return;
        }
        if self.options.interpolate {
            interpolate::interpolate(
                &mut document.root,
                &scope.variables,
                &self.sources,
                &mut self.problems,
                &mut self.made,
            );
        }
        extends::apply(self, &mut document.root, &document.resets, file, scope);
        reset::apply(root, &document.resets);
        include::apply(self, &mut document.root, file, scope);
        self.lay_over(document.root, root, Shapes::Check { file });
    }

    fn is_mapping(&mut self, root: &Node) -> bool {
        if matches!(root.value, Value::Map(_)) {
            return true;
        }
        self.problem(
            Diagnostic::error(
                "bad-type",
                root.place(),
                format!("top-level object must be a mapping, not {}", root.kind()),
            )
            .help("begin with `services:`"),
        );
        false
    }

    fn lay_over(&mut self, document: Node, root: &mut Node, shapes: Shapes<'_>) {
        let base = std::mem::replace(root, Node::new(Value::Null, Span::NONE));
        let mut merging = Merging {
            rival: Rival::Later,
            problems: &mut self.problems,
        };
        *root = merge::merge(base, document, &Trail::ROOT, &mut merging);
        unique::keep_last(root);
        if let Shapes::Check { file } = shapes {
            validate::shapes(root, &mut self.problems);
            self.drop_version(root, file);
        }
        canonical::canonical(root, self.malformed(), &mut self.problems);
        unique::keep_last(root);
    }

    fn drop_version(&mut self, root: &mut Node, file: &FilePath) {
        let Some(version) = root.as_map_mut().and_then(|m| m.shift_remove("version")) else {
            return;
        };
        if self.obsolete.insert(file.to_owned()) {
            self.problem(
                Diagnostic::warning("obsolete-version", version.key.or(version.span), format!("{}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion", file.display()))
                    .at("version")
                    .help("remove this line"),
            );
        }
    }

    /// A file as a base of `extends`: interpolated and canonical, neither checked nor extended.
    pub fn base_document(&mut self, file: &FilePath, scope: &Scope) -> Option<(Node, Vec<Path>)> {
        let mut root = Node::map(Map::new(), Span::NONE);
        let mut resets = Vec::new();
        for document in self.documents(file)?.iter() {
            let mut document = document.clone();
            if !self.is_mapping(&document.root) {
                return None;
            }
            if self.options.interpolate {
                interpolate::interpolate(
                    &mut document.root,
                    &scope.variables,
                    &self.sources,
                    &mut self.problems,
                    &mut self.made,
                );
            }
            reset::apply(&mut root, &document.resets);
            self.lay_over(document.root, &mut root, Shapes::Trust);
            resets = document.resets;
        }
        Some((root, resets))
    }
}

/// Whether the attribute tables are applied now.
enum Shapes<'a> {
    /// Yes; the file is named in warnings.
    Check { file: &'a FilePath },
    /// No: the result of merging is checked later.
    Trust,
}

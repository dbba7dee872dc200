//! Which project an open text belongs to, and what the loader says about it.
//!
//! A text belongs to the project of the files named on the command line, or else of those that
//! `gantry` would find in its directory, if that project reads it. Otherwise it is checked alone,
//! and, when that finds errors, as an override of the project found: the reading with fewer errors
//! counts.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use crate::loader::{
    self, Buffers, Diagnostics, Examined, FileId, KeepResources, LoadOptions, Severity, lint,
};

use super::documents::Documents;
use super::outline::Outline;
use super::position::Lines;

/// A loaded project.
#[derive(Debug)]
pub struct Project {
    /// What the loader says.
    pub examined: Examined,
    /// The text it was loaded for: problems without a place are shown there.
    pub asked_for: PathBuf,
    texts: Vec<SharedText>,
}

/// A text that the loader read.
#[derive(Debug)]
pub struct Text {
    /// Its file.
    pub path: PathBuf,
    /// What was read.
    pub text: Arc<str>,
    lines: OnceLock<Lines>,
    outline: OnceLock<Outline>,
}

/// A text that several may hold.
pub type SharedText = Arc<Text>;

impl Text {
    /// A text by itself.
    pub fn new(path: PathBuf, text: Arc<str>) -> Self {
        Self {
            path,
            text,
            lines: OnceLock::new(),
            outline: OnceLock::new(),
        }
    }

    /// Its lines.
    pub fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(&self.text))
    }

    /// Its keys and items.
    pub fn outline(&self) -> &Outline {
        self.outline.get_or_init(|| Outline::of(&self.text))
    }
}

impl Project {
    fn new(examined: Examined, asked_for: &Path) -> Self {
        let texts = examined
            .diagnostics
            .sources
            .iter()
            .map(|source| Arc::new(Text::new(source.path.clone(), source.text.clone())))
            .collect();
        Self {
            examined,
            asked_for: asked_for.to_owned(),
            texts,
        }
    }

    /// The problems found.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.examined.diagnostics
    }

    /// The texts read.
    pub fn texts(&self) -> &[SharedText] {
        &self.texts
    }

    /// One of them.
    pub fn text(&self, file: FileId) -> Option<&SharedText> {
        self.texts.get(file.0 as usize)
    }

    /// How the loader calls a file.
    pub fn file(&self, path: &Path) -> Option<FileId> {
        let index = self.texts.iter().position(|text| text.path == path)?;
        u32::try_from(index).ok().map(FileId)
    }

    /// The directory of relative paths.
    pub fn directory(&self) -> Option<&Path> {
        let tree = self.examined.tree.as_ref()?;
        Some(&tree.directory)
    }

    fn errors(&self) -> usize {
        let is_error = |d: &&loader::Diagnostic| d.severity == Severity::Error;
        self.diagnostics().list.iter().filter(is_error).count()
    }
}

/// The open texts and their projects.
#[derive(Debug)]
pub struct Workspace {
    /// Open texts.
    pub documents: Documents,
    options: LoadOptions,
    /// Projects of the present texts, by the directory or files they were asked for with.
    loaded: HashMap<Vec<PathBuf>, Rc<Project>>,
    /// The present project of a text.
    fresh: HashMap<PathBuf, Rc<Project>>,
    /// The last one, perhaps of earlier texts.
    last: HashMap<PathBuf, Rc<Project>>,
}

impl Workspace {
    /// A workspace without texts. `options` say what was typed on the command line.
    pub fn new(mut options: LoadOptions) -> Self {
        options.resources = KeepResources::All;
        options.lints = Some(Arc::new(lint::Unknown));
        if options.profiles.is_empty() {
            // What no profile enables is written in the file all the same.
            options.profiles = vec!["*".to_owned()];
        }
        Self {
            documents: Documents::default(),
            options,
            loaded: HashMap::new(),
            fresh: HashMap::new(),
            last: HashMap::new(),
        }
    }

    /// Says that some text or file has changed.
    pub fn changed(&mut self) {
        self.loaded.clear();
        self.fresh.clear();
    }

    /// Forgets a text that was closed.
    pub fn forget(&mut self, path: &Path) {
        self.last.remove(path);
        self.changed();
    }

    /// The environment that commands would see.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.options.environment
    }

    /// The project of a text as it is now.
    pub fn project(&mut self, path: &Path) -> Rc<Project> {
        if let Some(project) = self.fresh.get(path) {
            return project.clone();
        }
        let project = self.choose(path);
        self.fresh.insert(path.to_owned(), project.clone());
        // While the text is broken, what it was before says more about names.
        if project.examined.tree.is_some() || !self.last.contains_key(path) {
            self.last.insert(path.to_owned(), project.clone());
        }
        project
    }

    /// The project of a text as it was when it could last be read: enough for names.
    pub fn known_project(&mut self, path: &Path) -> Rc<Project> {
        match self.last.get(path) {
            Some(project) => project.clone(),
            None => self.project(path),
        }
    }

    fn choose(&mut self, path: &Path) -> Rc<Project> {
        let around = self.around(path);
        if around.file(path).is_some() {
            return around;
        }
        let alone = self.load(path, vec![path.to_owned()]);
        let files = around.examined.tree.as_ref().map(|tree| tree.files.clone());
        let Some(mut files) = files.filter(|files| !files.is_empty() && alone.errors() > 0) else {
            return alone;
        };
        files.push(path.to_owned());
        let over = self.load(path, files);
        if over.errors() < alone.errors() {
            over
        } else {
            alone
        }
    }

    /// The project of the command line, or the one found from the text's directory.
    fn around(&mut self, path: &Path) -> Rc<Project> {
        if !self.options.files.is_empty() {
            let files = self.options.files.clone();
            return self.load(path, files);
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let key = vec![directory.clone(), PathBuf::new()];
        if let Some(project) = self.loaded.get(&key) {
            return project.clone();
        }
        let options = LoadOptions {
            working_dir: directory,
            ..self.options()
        };
        self.examine(path, key, &options)
    }

    fn load(&mut self, path: &Path, files: Vec<PathBuf>) -> Rc<Project> {
        if let Some(project) = self.loaded.get(&files) {
            return project.clone();
        }
        let options = LoadOptions {
            files: files.clone(),
            ..self.options()
        };
        self.examine(path, files, &options)
    }

    fn examine(&mut self, path: &Path, key: Vec<PathBuf>, options: &LoadOptions) -> Rc<Project> {
        let project = Rc::new(Project::new(loader::examine(options), path));
        self.loaded.insert(key, project.clone());
        project
    }

    fn options(&self) -> LoadOptions {
        let mut buffers: BTreeMap<PathBuf, Arc<str>> = self
            .documents
            .iter()
            .map(|document| (document.path.clone(), document.text.clone()))
            .collect();
        // Standard input is the editor's: no file may be read from there.
        buffers.insert(PathBuf::from("-"), "".into());
        LoadOptions {
            buffers: Buffers::new(buffers),
            ..self.options.clone()
        }
    }
}

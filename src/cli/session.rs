//! What every verb begins with: the engine, the project's name, and its model.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use crate::backend::{Backend, Container, engine};
use crate::cli::error::CliError;
use crate::cli::global::{Ansi, Global};
use crate::cli::platform;
use crate::loader::{self, Dependencies, KeepResources, LoadOptions, Loaded};
use crate::model::Project;
use crate::plan::labels;
use crate::plan::observed::{is_one_off, number, service};

/// An opened engine and the project that a verb is about.
pub struct Session {
    /// The engine.
    pub backend: Arc<dyn Backend>,
    /// The project's name.
    pub project_name: String,
    /// Its model; `None` when only the name is known (`-p` without a compose file).
    pub project: Option<Project>,
}

impl Session {
    /// For verbs that need the compose file. `services` are those named on the command
    /// line: naming one activates its profiles.
    ///
    /// # Errors
    /// Every problem of the compose files, or an engine that cannot be opened.
    pub fn loaded(
        global: &Global,
        services: &[String],
        dependencies: Dependencies,
    ) -> Result<(Self, Project), CliError> {
        let project = load(global, services, dependencies)?;
        let session = Self {
            backend: engine::open(global.root.as_deref())?,
            project_name: project.name.clone(),
            project: Some(project.clone()),
        };
        Ok((session, project))
    }

    /// For verbs that work from labels: with `-p` (or `COMPOSE_PROJECT_NAME`) no compose
    /// file is needed, though one that is there and right is used.
    ///
    /// # Errors
    /// The problems of the compose files when no name was given, or an engine that cannot
    /// be opened.
    pub fn named(global: &Global) -> Result<Self, CliError> {
        let given = global
            .project_name
            .clone()
            .or_else(|| std::env::var("COMPOSE_PROJECT_NAME").ok())
            .filter(|name| !name.is_empty());
        let project = match (load_quietly(global), &given) {
            (Ok(loaded), _) => {
                warn(global, &loaded);
                Some(loaded.project)
            }
            (Err(_), Some(name))
                if global.files.is_empty() && loader::discover::normalize_name(name) == *name =>
            {
                None
            }
            (Err(error), _) => return Err(error),
        };
        let project_name = match (&project, given) {
            (Some(project), _) => project.name.clone(),
            (None, name) => name.unwrap_or_default(),
        };
        let backend = engine::open(global.root.as_deref())?;
        Ok(Self {
            backend,
            project_name,
            project,
        })
    }

    /// The project's containers, by service and number. One-off containers of `run` are
    /// among them when asked for.
    ///
    /// # Errors
    /// When the engine cannot list.
    pub fn containers(&self, one_off: OneOff) -> Result<Vec<Container>, CliError> {
        let mut containers = self
            .backend
            .containers(&[(labels::PROJECT, &self.project_name)])?;
        containers.retain(|container| one_off == OneOff::Include || !is_one_off(container));
        containers.sort_by(|a, b| {
            let key = |c: &Container| (service(c).to_owned(), number(c), c.name.clone());
            key(a).cmp(&key(b))
        });
        Ok(containers)
    }

    /// The containers of the named services, or of all; an unknown name is an error.
    ///
    /// # Errors
    /// When a service exists neither in the compose file nor among the containers.
    pub fn of_services(
        &self,
        names: &[String],
        one_off: OneOff,
    ) -> Result<Vec<Container>, CliError> {
        let mut containers = self.containers(one_off)?;
        if names.is_empty() {
            return Ok(containers);
        }
        for name in names {
            let declared = self
                .project
                .as_ref()
                .is_some_and(|project| project.any_service(name).is_some());
            if !declared
                && !containers
                    .iter()
                    .any(|container| service(container) == name)
            {
                return Err(self.no_such_service(name));
            }
        }
        containers.retain(|container| names.iter().any(|name| service(container) == name));
        Ok(containers)
    }

    /// The container of a service with this number, or its first one; a one-off one only if there is no other.
    ///
    /// # Errors
    /// When there is none.
    pub fn one_of(
        &self,
        name: &str,
        index: Option<u32>,
        one_off: OneOff,
    ) -> Result<Container, CliError> {
        let index = numbered(index);
        let containers = self.of_services(&[name.to_owned()], one_off)?;
        let wanted = |container: &&Container| index.is_none_or(|index| number(container) == index);
        let mut found: Vec<&Container> = containers.iter().filter(wanted).collect();
        // A running one before others.
        found.sort_by_key(|container| (!container.state.is_live(), is_one_off(container)));
        found
            .first()
            .map(|container| (*container).clone())
            .ok_or_else(|| CliError::NotFound {
                what: "container",
                name: match index {
                    Some(index) => format!("{}-{name}-{index}", self.project_name),
                    None => format!("{}-{name}", self.project_name),
                },
                hint: Some(format!("start it with `gantry up -d {name}`")),
            })
    }

    /// The error for a service that nobody knows.
    pub fn no_such_service(&self, name: &str) -> CliError {
        let known: Vec<&str> = self
            .project
            .iter()
            .flat_map(|project| {
                project
                    .services
                    .keys()
                    .chain(project.disabled_services.keys())
            })
            .map(String::as_str)
            .collect();
        let hint =
            (!known.is_empty()).then(|| format!("the project's services: {}", known.join(", ")));
        CliError::NotFound {
            what: "service",
            name: name.to_owned(),
            hint,
        }
    }
}

/// Whether containers of `run` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneOff {
    /// They do.
    Include,
    /// They do not.
    Exclude,
}

/// The name shown for a container: without the project's.
pub fn short_name<'a>(project: &str, name: &'a str) -> &'a str {
    let rest = name.strip_prefix(project);
    rest.and_then(|rest| rest.strip_prefix(['-', '_']))
        .unwrap_or(name)
}

/// Loads the project and prints its warnings.
///
/// # Errors
/// Every problem of the compose files.
pub fn load(
    global: &Global,
    services: &[String],
    dependencies: Dependencies,
) -> Result<Project, CliError> {
    let mut options = options(global)?;
    options.services = services.to_vec();
    options.dependencies = dependencies;
    let mut loaded = loader::load(&options)
        .map_err(|problems| CliError::Load(problems.render(colour(global))))?;
    warn(global, &loaded);
    platform::put_default(&mut loaded.project)?;
    Ok(loaded.project)
}

fn load_quietly(global: &Global) -> Result<Loaded, CliError> {
    let mut loaded = loader::load(&options(global)?)
        .map_err(|problems| CliError::Load(problems.render(colour(global))))?;
    platform::put_default(&mut loaded.project)?;
    Ok(loaded)
}

fn warn(global: &Global, loaded: &Loaded) {
    // Nobody is left to tell when standard error is closed.
    let _ = std::io::stderr().write_all(loaded.warnings.render(colour(global)).as_bytes());
}

/// What the flags and the environment say about loading.
///
/// # Errors
/// When the working directory is gone.
pub fn options(global: &Global) -> Result<LoadOptions, CliError> {
    let here = std::env::current_dir().map_err(|source| CliError::Io {
        what: "find the working directory".to_owned(),
        source,
    })?;
    let environment = std::env::vars_os()
        .map(|(key, value)| {
            (
                key.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    let mut options = LoadOptions::new(here, environment);
    options.files.clone_from(&global.files);
    options.project_name.clone_from(&global.project_name);
    options
        .project_directory
        .clone_from(&global.project_directory);
    options.env_files.clone_from(&global.env_files);
    options.profiles.clone_from(&global.profiles);
    if global.all_resources {
        options.resources = KeepResources::All;
    }
    Ok(options)
}

/// Whether standard error may be coloured.
pub fn colour(global: &Global) -> bool {
    colour_on(global.ansi, std::io::stderr().is_terminal())
}

/// Whether a stream may be coloured.
pub fn colour_on(ansi: Ansi, terminal: bool) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match ansi {
        Ansi::Always => true,
        Ansi::Never => false,
        Ansi::Auto => terminal && !no_color,
    }
}

/// The container that `--index` names; 0 names none, as with Docker Compose.
pub fn numbered(index: Option<u32>) -> Option<u32> {
    index.filter(|index| *index > 0)
}

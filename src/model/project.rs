//! The project: services and what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::network::Network;
use super::record::{Extensions, record};
use super::service::{Service, StringMap};

/// A whole project, canonical and checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Name, in normal form.
    pub name: String,
    /// Services that are enabled and selected.
    pub services: BTreeMap<String, Service>,
    /// Networks used by them.
    pub networks: BTreeMap<String, Network>,
    /// Volumes used by them.
    pub volumes: BTreeMap<String, Volume>,
    /// Secrets used by them.
    pub secrets: BTreeMap<String, Secret>,
    /// Configs used by them.
    pub configs: BTreeMap<String, Config>,
    /// AI models.
    pub models: BTreeMap<String, Model>,
    /// Top-level `x-` keys.
    #[serde(rename = "\0x")]
    pub extensions: Extensions,

    /// Services that profiles or the selection leave out.
    #[serde(skip)]
    pub disabled_services: BTreeMap<String, Service>,
    /// The project directory: relative paths were resolved against it.
    #[serde(skip)]
    pub working_dir: PathBuf,
    /// The files of `-f` or discovery, absolute, in order.
    #[serde(skip)]
    pub compose_files: Vec<PathBuf>,
    /// The files of `--env-file`; empty when none was given.
    #[serde(skip)]
    pub env_files: Vec<PathBuf>,
    /// Variables seen by interpolation: the environment over the env files.
    #[serde(skip)]
    pub environment: StringMap,
    /// Profiles that are active.
    #[serde(skip)]
    pub profiles: Vec<String>,
}

record! {
    /// A volume of the project.
    Volume {
        /// Name in the engine.
        name: String,
        /// Driver; empty: local.
        driver: String,
        /// Driver options.
        driver_opts: StringMap,
        /// Whether it exists already and is left alone.
        external: bool,
        /// Labels.
        labels: StringMap,
    }
}

record! {
    /// A secret.
    Secret {
        /// Name.
        name: String,
        /// Absolute path of its file.
        file: String,
        /// Variable that holds it.
        environment: String,
        /// Whether an orchestrator holds it.
        external: bool,
        /// Labels.
        labels: StringMap,
        /// Driver.
        driver: String,
        /// Driver options.
        driver_opts: StringMap,
        /// Template driver.
        template_driver: String,
    }
}

record! {
    /// A config.
    Config {
        /// Name.
        name: String,
        /// Absolute path of its file.
        file: String,
        /// Variable that holds it.
        environment: String,
        /// Its text.
        content: String,
        /// Whether an orchestrator holds it.
        external: bool,
        /// Labels.
        labels: StringMap,
        /// Driver.
        driver: String,
        /// Driver options.
        driver_opts: StringMap,
        /// Template driver.
        template_driver: String,
    }
}

record! {
    /// An AI model.
    Model {
        /// Name.
        name: String,
        /// Reference.
        model: String,
        /// Size of the context.
        context_size: i64,
        /// Flags for the runtime.
        runtime_flags: Vec<String>,
    }
}

impl Project {
    /// A service, enabled or not.
    pub fn any_service(&self, name: &str) -> Option<&Service> {
        self.services
            .get(name)
            .or_else(|| self.disabled_services.get(name))
    }

    /// The secret's value, for those that come from the environment.
    pub fn secret_value(&self, secret: &Secret) -> Option<&str> {
        self.environment
            .get(&secret.environment)
            .map(String::as_str)
    }

    /// The named services and, when asked, everything they depend on.
    pub fn closure<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut todo: Vec<&str> = names.into_iter().collect();
        while let Some(name) = todo.pop() {
            if let Some((name, service)) = self.services.get_key_value(name)
                && found.insert(name.as_str())
            {
                todo.extend(service.depends_on.keys().map(String::as_str));
            }
        }
        found
    }
}

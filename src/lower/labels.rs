//! Labels that make a container one of its service; see [`crate::plan::labels`].

use gantry_engine::spec::ContainerSpec;

use crate::model::{Condition, Project};
use crate::plan::labels;

use super::Context;

/// The Compose version whose behaviour and labels are followed.
pub(super) const VERSION: &str = "2.40.3";

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec) {
    spec.labels = context.service.labels.clone();
    let project = context.project;
    let mut set = |key: &str, value: String| {
        spec.labels.insert(key.to_owned(), value);
    };
    set(labels::PROJECT, project.name.clone());
    set(labels::SERVICE, context.name.to_owned());
    set(labels::VERSION, VERSION.to_owned());
    set(
        labels::WORKING_DIR,
        project.working_dir.display().to_string(),
    );
    set(labels::CONFIG_FILES, files(&project.compose_files));
    if !project.env_files.is_empty() {
        set(labels::ENVIRONMENT_FILE, files(&project.env_files));
    }
    set(labels::ONE_OFF, "False".to_owned());
    set(labels::DEPENDS_ON, depends_on(context));
}

/// Labels of a network or volume.
pub(super) fn of_resource(
    project: &str,
    kind: &'static str,
    key: &str,
    hash: String,
    own: &std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    let mut all = own.clone();
    for (label, value) in [
        (labels::PROJECT, project.to_owned()),
        (kind, key.to_owned()),
        (labels::VERSION, VERSION.to_owned()),
        (labels::CONFIG_HASH, hash),
    ] {
        all.insert(label.to_owned(), value);
    }
    all
}

fn files(paths: &[std::path::PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(",")
}

fn depends_on(context: &Context<'_>) -> String {
    let known = |project: &Project, name: &str| project.services.contains_key(name);
    let entries: Vec<_> = context
        .service
        .depends_on
        .iter()
        .filter(|(name, _)| known(context.project, name))
        .map(|(name, dependency)| {
            let condition = match dependency.condition {
                Condition::Started => "service_started",
                Condition::Healthy => "service_healthy",
                Condition::CompletedSuccessfully => "service_completed_successfully",
            };
            format!("{name}:{condition}:{}", dependency.restart)
        })
        .collect();
    entries.join(",")
}

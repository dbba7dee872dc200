//! Images by digest: what their registries mean by the names in the file, now.

use std::collections::BTreeMap;

use gantry_engine::image::{Reference, is_host_image};
use gantry_engine::registry::{self, RegistryOptions};
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::lower::Finding;
use crate::model::Project;

/// Writes digests into the images of all services; each registry is asked once a name. The
/// machine's own image, and what is only built here, have none.
///
/// # Errors
/// Every image whose digest cannot be known, with its place.
pub(super) fn resolve(project: &mut Project) -> Result<(), CliError> {
    let mut known: BTreeMap<String, Result<String, String>> = BTreeMap::new();
    let mut findings = Vec::new();
    for (name, service) in &mut project.services {
        let image = service.image.clone();
        if image.is_empty() || is_host_image(&image) {
            continue;
        }
        match known.entry(image.clone()).or_insert_with(|| pinned(&image)) {
            Ok(resolved) => service.image.clone_from(resolved),
            Err(why) => findings.push(Finding {
                path: format!("services.{name}.image"),
                message: format!("cannot resolve the digest of `{image}`: {why}"),
                help: "check the name; `gantry config` without this flag asks no registry"
                    .to_owned(),
            }),
        }
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(CliError::Refused(findings))
    }
}

/// The whole name with its digest; the error is what the registry says.
fn pinned(image: &str) -> Result<String, String> {
    let reference = Reference::parse(image).map_err(|error| error.to_string())?;
    if reference.digest().is_some() {
        return Ok(reference.to_string());
    }
    let digest = registry::digest_blocking(&reference, &RegistryOptions::of_machine())
        .map_err(|error| error.to_string())?;
    Ok(format!("{reference}@{digest}"))
}

/// An override file that holds nothing but the images.
pub(super) fn lock(project: &Project) -> Value {
    let services: serde_json::Map<String, Value> = project
        .services
        .iter()
        .filter(|(_, service)| !service.image.is_empty())
        .map(|(name, service)| (name.clone(), json!({"image": service.image})))
        .collect();
    json!({"services": services})
}

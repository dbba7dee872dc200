//! `DOCKER_DEFAULT_PLATFORM`: the platform of what names none, as Docker's commands take it from the environment.

use gantry_engine::image::Platform;

use crate::cli::error::CliError;
use crate::model::Project;

/// The variable.
const VARIABLE: &str = "DOCKER_DEFAULT_PLATFORM";

/// The platform that a flag names, else the environment's.
///
/// # Errors
/// When the environment's is none.
pub fn or_default(given: Option<&str>) -> Result<Option<String>, CliError> {
    match given.filter(|text| !text.is_empty()) {
        Some(given) => Ok(Some(given.to_owned())),
        None => checked(std::env::var(VARIABLE).ok()),
    }
}

/// Gives services without a platform the environment's, that of `.env` files too.
///
/// # Errors
/// When it is none, or a service is not built for it.
pub fn put_default(project: &mut Project) -> Result<(), CliError> {
    let Some(default) = checked(project.environment.get(VARIABLE).cloned())? else {
        return Ok(());
    };
    for (name, service) in &mut project.services {
        if !service.platform.is_empty() {
            continue;
        }
        if let Some(build) = &service.build
            && !build.platforms.is_empty()
            && !build.platforms.contains(&default)
        {
            return Err(CliError::usage(format!(
                "service `{name}` is not built for `{default}`, the value of {VARIABLE}: its \
                 build.platforms are {}",
                build.platforms.join(", ")
            )));
        }
        service.platform.clone_from(&default);
    }
    Ok(())
}

fn checked(text: Option<String>) -> Result<Option<String>, CliError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match Platform::parse(&text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(CliError::usage(format!("{VARIABLE} `{text}`: {error}"))),
    }
}

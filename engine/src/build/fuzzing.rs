//! What the fuzz targets call: everything that is done with a Dockerfile before a step runs.
//!
//! Only built with `--cfg fuzzing`.

use super::context::Text;
use super::ignore::Patterns;
use super::parse::{self, Kind};
use super::platform::Platform;
use super::recipe::Recipe;
use super::request::BuildRequest;
use super::{BuildError, Diagnostic};
use crate::image::{ImageConfig, RunConfig};

/// Parses, expands and lints a file, and parses the instructions that it stores for others.
pub fn dockerfile(bytes: &[u8]) {
    let request = BuildRequest {
        args: [("GIVEN".to_owned(), "$x 'y'".to_owned())].into(),
        check: true,
        ..BuildRequest::default()
    };
    let text = Text {
        name: "Dockerfile".to_owned(),
        bytes: bytes.to_vec(),
    };
    match examine(&request, &text) {
        Ok(warnings) => warnings.iter().for_each(show),
        Err(BuildError::Dockerfile(problem)) => show(&problem),
        Err(_) => {}
    }
}

fn examine(request: &BuildRequest, text: &Text) -> Result<Vec<Diagnostic>, BuildError> {
    let recipe = Recipe::read(request, text, Platform::host())?;
    let stages = &recipe.stages.list;
    for instruction in stages.iter().flat_map(|stage| &stage.instructions) {
        if let Kind::Onbuild(trigger) = &instruction.kind {
            let _ = parse::parse_trigger(trigger, "ONBUILD");
        }
    }
    let config = recipe.check_config(request)?;
    let image = ImageConfig {
        config: RunConfig {
            env: vec!["PATH=/bin".into(), "EMPTY=".into(), "x=a b".into()],
            shell: Some(vec!["/bin/sh".into(), "-c".into()]),
            ..RunConfig::default()
        },
        ..ImageConfig::default()
    };
    let ignore = Patterns::parse(b"*.md\n!keep/**").unwrap_or_default();
    let found = recipe.examine(request, &config, &ignore, &|name| {
        (name == "base").then(|| image.clone())
    });
    Ok(found
        .warnings
        .into_iter()
        .chain(found.error.map(|error| *error))
        .collect())
}

fn show(diagnostic: &Diagnostic) {
    let _ = diagnostic.render();
}

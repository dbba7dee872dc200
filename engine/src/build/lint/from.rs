//! Rules about `FROM` lines: their variables and platforms.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{
    FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_BASE_IMAGE_PLATFORM, INVALID_DEFAULT_ARG_IN_FROM,
    REDUNDANT_TARGET_PLATFORM, UNDEFINED_ARG_IN_FROM,
};
use super::{Report, Subject};
use crate::build::checks;
use crate::build::diagnostic::{Diagnostic, closest};
use crate::build::expand::{Expander, Uses};
use crate::build::graph::Origin;
use crate::build::parse::{Kind, error};
use crate::build::platform::{self, Platform};
use crate::build::stages::Stage;

/// Runs them; a name that no image can have is an error.
pub(super) fn check(subject: &Subject<'_>, report: &mut Report<'_>) -> Result<(), Box<Diagnostic>> {
    if let Some(defaults) = subject.defaults {
        for stage in &subject.stages.list {
            let Ok((image, _)) = expand(subject, defaults, &stage.from.image) else {
                break;
            };
            if checks::image_name(&image).is_err() {
                let message = format!(
                    "Default value for ARG {} results in empty or invalid base image name",
                    stage.from.image
                );
                report.add(INVALID_DEFAULT_ARG_IN_FROM, stage.span, &[], message);
            }
        }
    }
    for (index, stage) in subject.stages.list.iter().enumerate() {
        if let Ok((_, uses)) = expand(subject, subject.globals, &stage.from.image) {
            undefined(subject, stage, &uses, report);
        }
        let given = stage.from.platform.as_ref();
        let mut expected = subject.platform.clone();
        if let Some(text) = given
            && let Ok((platform, uses)) = expand(subject, subject.globals, text)
        {
            undefined(subject, stage, &uses, report);
            flag(subject, stage, text, &platform, &uses, report);
            if let Ok(platform) = platform::parse(&platform, subject.host) {
                expected = platform;
            }
        }
        if subject.walked.contains(&index)
            && let Origin::Outside(name) = &subject.bases[index]
        {
            base_platform(subject, stage, name, &expected, report);
        }
    }
    for (stage, base) in subject.stages.list.iter().zip(subject.bases) {
        if let Origin::Outside(name) = base {
            image_name(subject, stage, name)?;
        }
    }
    Ok(())
}

/// Refuses what cannot be an image's name.
fn image_name(subject: &Subject<'_>, stage: &Stage, name: &str) -> Result<(), Box<Diagnostic>> {
    if subject.request.context_of(name).is_some() {
        return Ok(());
    }
    checks::image_name(name)
        .map(drop)
        .map_err(|bad| error(&subject.file.source, stage.span, bad.message, bad.help))
}

fn expand(
    subject: &Subject<'_>,
    values: &BTreeMap<String, String>,
    text: &str,
) -> Result<(String, Uses), String> {
    let uses = Uses::default();
    let lookup = |name: &str| uses.note(name, values.get(name).cloned());
    let expanded = Expander {
        escape: subject.file.directives.escape,
        lookup: &lookup,
        keep_quotes: false,
    }
    .word(text)?;
    Ok((expanded, uses))
}

/// Variables that are no argument. Declared ones may lack a value.
fn undefined(subject: &Subject<'_>, stage: &Stage, uses: &Uses, report: &mut Report<'_>) {
    let declared = subject
        .stages
        .globals
        .iter()
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(arguments) => Some(arguments),
            _ => None,
        })
        .flatten()
        .map(|argument| argument.name.as_str());
    let known: BTreeSet<&str> = declared
        .chain(subject.globals.keys().map(String::as_str))
        .collect();
    for name in uses.missing() {
        if known.contains(name.as_str()) {
            continue;
        }
        let mut message = format!("FROM argument '{name}' is not declared");
        if let Some(near) = closest(&name, known.iter().copied()) {
            message += &format!(" (did you mean {near}?)");
        }
        report.add(UNDEFINED_ARG_IN_FROM, stage.span, &stage.comments, message);
    }
}

/// `--platform` that says what holds anyway, or that nobody can change.
fn flag(
    subject: &Subject<'_>,
    stage: &Stage,
    text: &str,
    platform: &str,
    uses: &Uses,
    report: &mut Report<'_>,
) {
    let (found, missing) = (uses.found(), uses.missing());
    if found == ["TARGETPLATFORM"]
        && missing.is_empty()
        && subject.globals.get("TARGETPLATFORM").map(String::as_str) == Some(platform)
    {
        let message = format!(
            "Setting platform to predefined {text} in FROM is redundant as this is the default behavior"
        );
        report.add(
            REDUNDANT_TARGET_PLATFORM,
            stage.span,
            &stage.comments,
            message,
        );
    }
    if found.is_empty()
        && missing.is_empty()
        && let Ok(parsed) = platform::parse(platform, subject.host)
    {
        // A stage that is named after a platform means it.
        let name = stage.from.name.as_deref().unwrap_or_default();
        if !name.contains(&parsed.os) && !name.contains(&parsed.arch) {
            let message =
                format!("FROM --platform flag should not use constant value {platform:?}");
            report.add(
                FROM_PLATFORM_FLAG_CONST_DISALLOWED,
                stage.span,
                &stage.comments,
                message,
            );
        }
    }
}

/// The image in the store is for another platform than the build.
fn base_platform(
    subject: &Subject<'_>,
    stage: &Stage,
    name: &str,
    expected: &Platform,
    report: &mut Report<'_>,
) {
    let Some(config) = (subject.image)(name) else {
        return;
    };
    let actual = Platform {
        os: config.os,
        arch: config.architecture,
        variant: config.variant,
    };
    let unsaid = actual.os.is_empty() || actual.arch.is_empty();
    if !unsaid && (actual.os != expected.os || actual.arch != expected.arch) {
        let (actual, expected) = (actual.to_string(), expected.to_string());
        let message = format!(
            "Base image {name} was pulled with platform {actual:?}, expected {expected:?} for current build"
        );
        report.add(INVALID_BASE_IMAGE_PLATFORM, stage.span, &[], message);
    }
}

//! BuildKit's lint rules that need no build: warnings with a place, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::{Diagnostic, Source};
use super::parse::{CheckConfig, Dockerfile, Kind, warning};
use super::request::BuildRequest;
use super::stages::Stages;
use super::variables;

/// The warnings of a file, in file order.
pub(super) fn check(
    file: &Dockerfile,
    stages: &Stages,
    request: &BuildRequest,
    globals: &BTreeMap<String, String>,
    config: &CheckConfig,
) -> Vec<Diagnostic> {
    let mut found = file.warnings.clone();
    casing(file, &mut found);
    names(file, stages, &mut found);
    repeated(file, stages, &mut found);
    secrets(file, stages, &mut found);
    from_variables(file, stages, globals, &mut found);
    workdirs(file, stages, &mut found);
    undeclared(file, stages, request, &mut found);
    found.retain(|diagnostic| match diagnostic.severity {
        super::Severity::Warning(Some(rule)) => config.reports(rule),
        _ => true,
    });
    found.sort_by_key(|diagnostic| diagnostic.span);
    found
}

/// ConsistentInstructionCasing: the case of most instructions is the case of all.
fn casing(file: &Dockerfile, found: &mut Vec<Diagnostic>) {
    let upper = |word: &str| word.chars().all(|c| !c.is_lowercase());
    let lower = |word: &str| word.chars().all(|c| !c.is_uppercase());
    let count = |test: &dyn Fn(&str) -> bool| {
        file.instructions
            .iter()
            .filter(|i| test(&i.keyword))
            .count()
    };
    let most_upper = count(&upper) >= count(&lower);
    for instruction in &file.instructions {
        let keyword = &instruction.keyword;
        let fits = if most_upper {
            upper(keyword)
        } else {
            lower(keyword)
        };
        if !fits {
            let case = if most_upper { "uppercase" } else { "lowercase" };
            let message = format!(
                "command `{keyword}` should match the case of the command majority ({case})"
            );
            found.push(warning(
                &file.source,
                instruction.span,
                "ConsistentInstructionCasing",
                message,
            ));
        }
    }
}

/// StageNameCasing, FromAsCasing, DuplicateStageName, ReservedStageName.
fn names(file: &Dockerfile, stages: &Stages, found: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    for instruction in &file.instructions {
        if !matches!(instruction.kind, Kind::From(_)) {
            continue;
        }
        let words: Vec<&str> = instruction.text.split_whitespace().collect();
        let [.., keyword, name] = words.as_slice() else {
            continue;
        };
        if !keyword.eq_ignore_ascii_case("as") {
            continue;
        }
        let span = instruction.span;
        if name.chars().any(char::is_uppercase) {
            let message = format!("stage name `{name}` should be lowercase");
            found.push(warning(&file.source, span, "StageNameCasing", message));
        }
        let from_lower = instruction.keyword.chars().all(char::is_lowercase);
        if from_lower != keyword.chars().all(char::is_lowercase) {
            let message = format!(
                "`{keyword}` and `{}` keywords' casing do not match",
                instruction.keyword
            );
            found.push(warning(&file.source, span, "FromAsCasing", message));
        }
        let lower = name.to_lowercase();
        if ["scratch", "context"].contains(&lower.as_str()) {
            let message = format!("stage name should not use the reserved name `{lower}`");
            found.push(warning(&file.source, span, "ReservedStageName", message));
        }
        if !seen.insert(lower.clone()) {
            let message = format!("duplicate stage name `{lower}`, stage names should be unique");
            found.push(warning(&file.source, span, "DuplicateStageName", message));
        }
    }
    let _ = stages;
}

/// MultipleInstructionsDisallowed.
fn repeated(file: &Dockerfile, stages: &Stages, found: &mut Vec<Diagnostic>) {
    for stage in &stages.list {
        for keyword in ["CMD", "ENTRYPOINT", "HEALTHCHECK"] {
            let all: Vec<_> = stage
                .instructions
                .iter()
                .filter(|i| i.keyword.eq_ignore_ascii_case(keyword))
                .collect();
            for instruction in all.iter().take(all.len().saturating_sub(1)) {
                let message = format!(
                    "multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
                );
                found.push(warning(
                    &file.source,
                    instruction.span,
                    "MultipleInstructionsDisallowed",
                    message,
                ));
            }
        }
    }
}

/// SecretsUsedInArgOrEnv.
fn secrets(file: &Dockerfile, stages: &Stages, found: &mut Vec<Diagnostic>) {
    const WORDS: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let is_secret = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let mut parts = lower.split('_');
        !lower.split('_').any(|part| part == "public") && parts.any(|part| WORDS.contains(&part))
    };
    for instruction in stages.list.iter().flat_map(|stage| &stage.instructions) {
        let names: Vec<&String> = match &instruction.kind {
            Kind::Arg(arguments) => arguments.iter().map(|argument| &argument.name).collect(),
            Kind::Env(pairs) => pairs.iter().map(|(name, _)| name).collect(),
            _ => continue,
        };
        for name in names.into_iter().filter(|name| is_secret(name)) {
            let keyword = instruction.keyword.to_uppercase();
            let message = format!(
                "do not use ARG or ENV instructions for sensitive data ({keyword} `{name}`)"
            );
            found.push(warning(
                &file.source,
                instruction.span,
                "SecretsUsedInArgOrEnv",
                message,
            ));
        }
    }
}

/// UndefinedArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed.
fn from_variables(
    file: &Dockerfile,
    stages: &Stages,
    globals: &BTreeMap<String, String>,
    found: &mut Vec<Diagnostic>,
) {
    let declared: BTreeSet<&String> = stages
        .globals
        .iter()
        .flat_map(|(_, arguments)| arguments)
        .map(|argument| &argument.name)
        .collect();
    for stage in &stages.list {
        let texts = [Some(&stage.from.image), stage.from.platform.as_ref()];
        for name in texts.into_iter().flatten().flat_map(|text| used(text)) {
            if !declared.contains(&name) && !globals.contains_key(&name) {
                let message = format!("FROM argument `{name}` is not declared");
                found.push(warning(
                    &file.source,
                    stage.span,
                    "UndefinedArgInFrom",
                    message,
                ));
            }
        }
        match stage.from.platform.as_deref() {
            Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                let message = "setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior";
                found.push(warning(
                    &file.source,
                    stage.span,
                    "RedundantTargetPlatform",
                    message,
                ));
            }
            Some(platform) if !platform.contains('$') => {
                let message =
                    format!("FROM --platform flag should not use constant value `{platform}`");
                found.push(warning(
                    &file.source,
                    stage.span,
                    "FromPlatformFlagConstDisallowed",
                    message,
                ));
            }
            _ => {}
        }
    }
}

/// WorkdirRelativePath: relative to a base image's, which may change.
fn workdirs(file: &Dockerfile, stages: &Stages, found: &mut Vec<Diagnostic>) {
    for stage in &stages.list {
        let first = stage
            .instructions
            .iter()
            .find_map(|instruction| match &instruction.kind {
                Kind::Workdir(path) => Some((instruction.span, path)),
                _ => None,
            });
        if let Some((span, path)) = first
            && !path.starts_with(['/', '$', '"', '\''])
        {
            let message = format!(
                "relative workdir `{path}` can have unexpected results if the base image changes"
            );
            found.push(warning(&file.source, span, "WorkdirRelativePath", message));
        }
    }
}

/// Build arguments that no `ARG` takes (not a rule of its own; the reference only warns).
fn undeclared(
    file: &Dockerfile,
    stages: &Stages,
    request: &BuildRequest,
    found: &mut Vec<Diagnostic>,
) {
    let in_stages = stages
        .list
        .iter()
        .flat_map(|stage| &stage.instructions)
        .filter_map(|i| match &i.kind {
            Kind::Arg(arguments) => Some(arguments),
            _ => None,
        });
    let globals = stages.globals.iter().map(|(_, arguments)| arguments);
    let known: BTreeSet<&String> = in_stages
        .chain(globals)
        .flatten()
        .map(|argument| &argument.name)
        .collect();
    for name in request.args.keys() {
        let builtin = name.starts_with("TARGET") || name.starts_with("BUILD");
        if !known.contains(name) && !variables::is_predefined(name) && !builtin {
            found.push(Diagnostic {
                severity: super::Severity::Warning(None),
                source: Source {
                    name: file.source.name.clone(),
                    lines: file.source.lines.clone(),
                },
                span: super::Span::default(),
                message: format!(
                    "build argument `{name}` was not consumed: no `ARG {name}` in the Dockerfile"
                ),
                help: None,
            });
        }
    }
}

/// The names of variables in a text.
fn used(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = rest[at + 1..].trim_start_matches('{');
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        // `${X:-default}` has a value anyway.
        if end > 0 && !rest[end..].starts_with([':', '-']) {
            names.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    names
}

//! Which services are enabled by profiles, and which are selected on the command line.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::source::Span;
use super::{Dependencies, KeepResources, LoadOptions};
use crate::model::{MountType, Project, Service};

/// Splits services by profile.
pub fn enable(project: &mut Project, profiles: &[String]) {
    let mut all = std::mem::take(&mut project.services);
    all.append(&mut project.disabled_services);
    for (name, service) in all {
        if has_profile(&service, profiles) {
            project.services.insert(name, service);
        } else {
            project.disabled_services.insert(name, service);
        }
    }
    project.profiles = profiles.to_vec();
}

fn has_profile(service: &Service, profiles: &[String]) -> bool {
    service.profiles.is_empty()
        || profiles
            .iter()
            .any(|p| p == "*" || service.profiles.contains(p))
}

/// Selects the named services and what they need; drops what nobody uses.
pub fn select(project: &mut Project, options: &LoadOptions) -> Result<(), Box<Diagnostic>> {
    if !options.services.is_empty() {
        enable_named(project, &options.services);
        let selected = closure(project, &options.services, options.dependencies)?;
        let all = std::mem::take(&mut project.services);
        for (name, mut service) in all {
            if selected.contains(&name) {
                service.depends_on.retain(|d, _| selected.contains(d));
                project.services.insert(name, service);
            } else {
                project.disabled_services.insert(name, service);
            }
        }
    }
    if options.resources == KeepResources::Used {
        drop_unused(project);
    }
    Ok(())
}

/// Naming a service activates its profiles.
fn enable_named(project: &mut Project, names: &[String]) {
    let mut profiles = project.profiles.clone();
    for name in names {
        if let Some(service) = project.disabled_services.get(name) {
            profiles.extend(service.profiles.iter().cloned());
        }
    }
    if profiles.len() != project.profiles.len() {
        enable(project, &profiles);
    }
}

fn closure(
    project: &Project,
    patterns: &[String],
    dependencies: Dependencies,
) -> Result<BTreeSet<String>, Box<Diagnostic>> {
    let mut selected = BTreeSet::new();
    let mut todo: Vec<(String, bool)> = patterns.iter().map(|p| (p.clone(), true)).collect();
    while let Some((pattern, required)) = todo.pop() {
        let mut matched = false;
        for (name, service) in &project.services {
            if !glob(&pattern, name) {
                continue;
            }
            matched = true;
            if selected.insert(name.clone()) && dependencies == Dependencies::Include {
                todo.extend(
                    service
                        .depends_on
                        .iter()
                        .map(|(d, s)| (d.clone(), *s.required)),
                );
            }
        }
        if !matched && required {
            let mut problem = Diagnostic::error(
                "unknown-service",
                Span::NONE,
                format!("no such service: {pattern}"),
            );
            problem = match project.disabled_services.get(&pattern) {
                Some(service) => problem.help(format!(
                    "it is disabled: enable it with `--profile {}`",
                    service.profiles.join("` or `--profile ")
                )),
                None => {
                    let names: Vec<&str> = project
                        .services
                        .keys()
                        .chain(project.disabled_services.keys())
                        .map(String::as_str)
                        .collect();
                    let help = did_you_mean(&pattern, names.iter().copied())
                        .unwrap_or_else(|| format!("the services are: {}", names.join(", ")));
                    problem.help(help)
                }
            };
            return Err(Box::new(problem));
        }
    }
    Ok(selected)
}

fn drop_unused(project: &mut Project) {
    let mut networks = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let mut configs = BTreeSet::new();
    let mut models = BTreeSet::new();
    for service in project.services.values() {
        networks.extend(service.networks.keys().cloned());
        models.extend(service.models.keys().cloned());
        volumes.extend(
            service
                .volumes
                .iter()
                .filter(|m| m.r#type == MountType::Volume && !m.source.is_empty())
                .map(|m| m.source.clone()),
        );
        let build_secrets = service.build.iter().flat_map(|b| &b.secrets);
        secrets.extend(
            service
                .secrets
                .iter()
                .chain(build_secrets)
                .map(|s| s.source.clone()),
        );
        configs.extend(service.configs.iter().map(|c| c.source.clone()));
    }
    project.networks.retain(|k, _| networks.contains(k));
    project.volumes.retain(|k, _| volumes.contains(k));
    project.secrets.retain(|k, _| secrets.contains(k));
    project.configs.retain(|k, _| configs.contains(k));
    project.models.retain(|k, _| models.contains(k));
}

/// Shell patterns: `*`, `?`, `[a-z]`, `\x`.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        match step(&p, i, t[j]) {
            Some(next) => {
                i = next;
                j += 1;
            }
            None if p.get(i) == Some(&'*') => {
                star = Some((i, j));
                i += 1;
            }
            None => match star {
                Some((si, sj)) => {
                    i = si + 1;
                    j = sj + 1;
                    star = Some((si, sj + 1));
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Matches one character other than through `*`.
fn step(pattern: &[char], i: usize, c: char) -> Option<usize> {
    match pattern.get(i)? {
        '*' => None,
        '?' => Some(i + 1),
        '\\' => (*pattern.get(i + 1)? == c).then_some(i + 2),
        '[' => {
            let end = pattern[i + 1..].iter().skip(1).position(|x| *x == ']')? + i + 2;
            let mut set = &pattern[i + 1..end];
            let negated = set.first() == Some(&'^');
            if negated {
                set = &set[1..];
            }
            let mut inside = false;
            let mut k = 0;
            while k < set.len() {
                if k + 2 < set.len() && set[k + 1] == '-' {
                    inside |= (set[k]..=set[k + 2]).contains(&c);
                    k += 3;
                } else {
                    inside |= set[k] == c;
                    k += 1;
                }
            }
            (inside != negated).then_some(end + 1)
        }
        other => (*other == c).then_some(i + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("web", "web", true),
            ("w*", "web", true),
            ("*b", "web", true),
            ("w?b", "web", true),
            ("[a-w]eb", "web", true),
            ("[^w]eb", "web", false),
            ("w*z", "web", false),
            ("*", "", true),
            ("[", "[", false),
        ] {
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }
}

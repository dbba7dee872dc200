//! References between elements, attributes that exclude each other, cycles of dependencies.
//! Only services that are enabled are looked at.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::interpolate::explain;
use super::source::Span;
use super::tree::{Map, Node, Path};
use crate::model::{MountType, Project, Service, WatchAction};

/// Checks a project; `tree` is where it was decoded from.
pub fn check(project: &Project, tree: &Node, problems: &mut Vec<Diagnostic>) {
    let mut check = Check {
        project,
        tree,
        problems,
    };
    for (name, service) in &project.services {
        check.service(name, service);
    }
    for (name, secret) in &project.secrets {
        if !secret.external && secret.file.is_empty() && secret.environment.is_empty() {
            check.report(
                &["secrets", name],
                "missing-key",
                format!("secret \"{name}\" must declare either `file` or `environment`"),
                "add `file:`",
            );
        }
    }
    check.cycles();
}

/// Checks that no two services of a project give their containers the same name.
pub fn container_names(project: &Project, tree: &Node, problems: &mut Vec<Diagnostic>) {
    let mut check = Check {
        project,
        tree,
        problems,
    };
    check.container_names();
}

/// References that begin with `x-` can be to nothing: such keys are extensions. Those that are not
/// checked become what docker compose makes of them, which is in the way of nothing.
pub fn extension_names(root: &mut Node, checked: bool, problems: &mut Vec<Diagnostic>) {
    let services = root.get_mut("services").and_then(Node::as_map_mut);
    for (name, service) in services.into_iter().flatten() {
        for attribute in ["networks", "models"] {
            let Some(entries) = service.get_mut(attribute).and_then(Node::as_map_mut) else {
                continue;
            };
            if !entries.keys().any(|key| key.starts_with("x-")) {
                continue;
            }
            for (key, entry) in entries
                .iter()
                .filter(|(key, _)| checked && key.starts_with("x-"))
            {
                problems.push(
                    Diagnostic::error("bad-name", entry.key.or(entry.span), format!("service \"{name}\" refers to `{key}` in `{attribute}`: a key that begins with `x-` is an extension there"))
                        .at(Path::of(&["services", name, attribute, key]))
                        .help(format!("rename `{key}`")),
                );
            }
            let place = entries
                .first()
                .map_or(Span::NONE, |(_, entry)| entry.place());
            entries.retain(|key, _| !key.starts_with("x-"));
            if !checked {
                entries.insert("#extensions".to_owned(), Node::map(Map::new(), place));
            }
        }
    }
}

struct Check<'a> {
    project: &'a Project,
    tree: &'a Node,
    problems: &'a mut Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    /// The deepest place on a path that was written by the user.
    fn place(&self, path: &[&str]) -> Span {
        (1..=path.len())
            .rev()
            .filter_map(|n| self.tree.find(&path[..n]))
            .map(|node| node.span.or(node.key))
            .find(|span| span.is_some())
            .unwrap_or(Span::NONE)
    }

    fn key_place(&self, path: &[&str]) -> Span {
        match self.tree.find(path) {
            Some(node) => node.key.or(node.span),
            None => self.place(path),
        }
    }

    fn report(&mut self, path: &[&str], code: &'static str, message: String, help: &str) {
        let mut problem = Diagnostic::error(code, self.place(path), message)
            .at(dotted(path))
            .help(help);
        if let Some(filled) = self.tree.find(path).and_then(|n| n.filled.as_ref()) {
            problem = explain(problem, filled);
        }
        self.problems.push(problem);
    }

    fn undefined(
        &mut self,
        path: &[&str],
        place: Span,
        message: String,
        what: &str,
        name: &str,
        known: Vec<&str>,
    ) {
        let help = did_you_mean(name, known)
            .unwrap_or_else(|| format!("add `{name}:` under the top-level `{what}`"));
        let mut problem = Diagnostic::error("undefined-reference", place, message)
            .at(dotted(path))
            .help(help);
        if let Some(filled) = self.tree.find(path).and_then(|n| n.filled.as_ref()) {
            problem = explain(problem, filled);
        }
        self.problems.push(problem);
    }

    fn service(&mut self, name: &'a str, s: &'a Service) {
        if s.build.is_none() && s.image.is_empty() && s.provider.is_none() {
            let place = self.key_place(&["services", name]);
            self.problems.push(
                Diagnostic::error(
                    "no-image",
                    place,
                    format!(
                        "service \"{name}\" has neither an image nor a build context specified"
                    ),
                )
                .at(format!("services.{name}"))
                .help("add `image:` or `build:`"),
            );
        }
        self.build(name, s);
        self.references(name, s);
        self.limits(name, s);
        self.mounts(name, s);
        if let Some(health) = &s.healthcheck
            && let Some(first) = health.test.first()
            && !matches!(first.as_str(), "CMD" | "CMD-SHELL" | "NONE")
        {
            self.report(
                &["services", name, "healthcheck", "test"],
                "bad-value",
                "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\""
                    .to_owned(),
                &format!("write `[\"CMD\", \"{first}\", …]`"),
            );
        }
        for (i, rule) in s.develop.iter().flat_map(|d| &d.watch).enumerate() {
            if rule.target.is_empty()
                && !matches!(rule.action, WatchAction::Rebuild | WatchAction::Restart)
            {
                self.report(
                    &["services", name, "develop", "watch", &i.to_string()],
                    "missing-key",
                    format!(
                        "services.{name}.develop.watch: target is required for non-rebuild actions"
                    ),
                    "add `target:` with the path in the container",
                );
            }
        }
    }

    fn build(&mut self, name: &str, s: &Service) {
        let Some(build) = &s.build else { return };
        if !build.dockerfile_inline.is_empty() && !build.dockerfile.is_empty() {
            self.report(&["services", name, "build", "dockerfile_inline"], "exclusive-keys", format!("service \"{name}\" declares mutually exclusive dockerfile and dockerfile_inline"), "keep one of the two");
        }
        for (context, value) in &build.additional_contexts {
            let Some(target) = value.strip_prefix("service:") else {
                continue;
            };
            let path = ["services", name, "build", "additional_contexts", context];
            match self.project.services.get(target) {
                None => {
                    let known = self.project.services.keys().map(String::as_str).collect();
                    self.undefined(&path, self.place(&path), format!("service \"{name}\" declares unknown service \"{target}\" as additional contexts {context}"), "services", target, known);
                }
                Some(other) if other.build.is_none() => {
                    self.report(&path, "bad-reference", format!("service \"{name}\" declares non-buildable service \"{target}\" as additional contexts {context}"), &format!("give `{target}` a `build:`"));
                }
                Some(_) => {}
            }
        }
        if !build.platforms.is_empty()
            && !s.platform.is_empty()
            && !build.platforms.contains(&s.platform)
        {
            self.report(
                &["services", name, "platform"],
                "bad-value",
                format!(
                    "service.build.platforms MUST include service.platform \"{}\"",
                    s.platform
                ),
                &format!("add `{}` to `build.platforms`", s.platform),
            );
        }
        for (i, secret) in build.secrets.iter().enumerate() {
            if !self.project.secrets.contains_key(&secret.source) {
                let path = ["services", name, "build", "secrets", &i.to_string()];
                let known = self.project.secrets.keys().map(String::as_str).collect();
                self.undefined(
                    &path,
                    self.place(&path),
                    format!(
                        "service \"{name}\" refers to undefined build secret {}",
                        secret.source
                    ),
                    "secrets",
                    &secret.source,
                    known,
                );
            }
        }
    }

    fn references(&mut self, name: &str, s: &Service) {
        let project = self.project;
        if !s.network_mode.is_empty() && !s.networks.is_empty() {
            self.report(
                &["services", name, "network_mode"],
                "exclusive-keys",
                format!("service {name} declares mutually exclusive `network_mode` and `networks`"),
                "keep one of the two",
            );
        }
        let joined = s.networks.keys().filter(|_| s.network_mode.is_empty());
        for network in joined {
            let path = ["services", name, "networks", network];
            let place = self.key_place(&path);
            self.resource(&path, place, "network", network, &project.networks);
        }
        for (dependency, settings) in &s.depends_on {
            let disabled = project.disabled_services.contains_key(dependency);
            if project.services.contains_key(dependency) || disabled && !*settings.required {
                continue;
            }
            let path = ["services", name, "depends_on", dependency];
            let place = self.key_place(&path);
            let message =
                format!("service \"{name}\" depends on undefined service \"{dependency}\"");
            if let Some(other) = project.disabled_services.get(dependency) {
                self.problems.push(
                    Diagnostic::error("undefined-reference", place, message)
                        .at(dotted(&path))
                        .note(format!(
                            "`{dependency}` exists, but none of its profiles is active: {}",
                            other.profiles.join(", ")
                        ))
                        .help(format!(
                            "add `--profile {}`, or set `required: false`",
                            other.profiles.first().map_or("", String::as_str)
                        )),
                );
            } else {
                let known = project
                    .services
                    .keys()
                    .filter(|k| *k != name)
                    .map(String::as_str)
                    .collect();
                self.undefined(&path, place, message, "services", dependency, known);
            }
        }
        if let Some(target) = s.network_mode.strip_prefix("service:")
            && !project.services.contains_key(target)
            // Else it is said as a dependency.
            && !s.depends_on.contains_key(target)
        {
            let path = ["services", name, "network_mode"];
            let known = project.services.keys().map(String::as_str).collect();
            self.undefined(
                &path,
                self.place(&path),
                format!("service \"{target}\" not found for network_mode 'service:{target}'"),
                "services",
                target,
                known,
            );
        }
        self.resources(name, s);
    }

    /// What a service takes from the top level of the file.
    fn resources(&mut self, name: &str, s: &Service) {
        let project = self.project;
        let volumes = s.volumes.iter().enumerate();
        for (i, mount) in volumes.filter(|(_, m)| m.r#type == MountType::Volume) {
            if !mount.source.is_empty() {
                self.item(name, "volume", i, &mount.source, &project.volumes);
            }
        }
        for (i, config) in s.configs.iter().enumerate() {
            self.item(name, "config", i, &config.source, &project.configs);
        }
        for model in s.models.keys() {
            let path = ["services", name, "models", model];
            let place = self.key_place(&path);
            self.resource(&path, place, "model", model, &project.models);
        }
        for (i, secret) in s.secrets.iter().enumerate() {
            self.item(name, "secret", i, &secret.source, &project.secrets);
        }
    }

    /// The item `index` of a service's list of resources of a kind.
    fn item<T>(
        &mut self,
        service: &str,
        kind: &str,
        index: usize,
        wanted: &str,
        known: &BTreeMap<String, T>,
    ) {
        let (list, index) = (format!("{kind}s"), index.to_string());
        let path = ["services", service, &list, &index];
        let place = self.place(&path);
        self.resource(&path, place, kind, wanted, known);
    }

    /// A resource that `path` of a service names: it must be among the known ones.
    fn resource<T>(
        &mut self,
        path: &[&str; 4],
        place: Span,
        kind: &str,
        wanted: &str,
        known: &BTreeMap<String, T>,
    ) {
        if known.contains_key(wanted) {
            return;
        }
        let message = format!(
            "service \"{}\" refers to undefined {kind} {wanted}",
            path[1]
        );
        let known = known.keys().map(String::as_str).collect();
        self.undefined(path, place, message, path[2], wanted, known);
    }

    fn limits(&mut self, name: &str, s: &Service) {
        let replicas = s.deploy.as_ref().and_then(|d| d.replicas);
        if let (Some(scale), Some(replicas)) = (s.scale, replicas)
            && scale != replicas
        {
            self.report(
                &["services", name, "scale"],
                "exclusive-keys",
                format!(
                    "services.{name}: can't set distinct values on 'scale' and 'deploy.replicas'"
                ),
                "keep one of the two",
            );
        }
        if s.scale.is_some_and(|n| n < 0) {
            self.report(
                &["services", name, "scale"],
                "bad-value",
                format!("services.{name}.scale: must be greater than or equal to 0"),
                "use 0 or more",
            );
        }
        if replicas.is_some_and(|n| n < 0) {
            self.report(
                &["services", name, "deploy", "replicas"],
                "bad-value",
                format!("services.{name}.deploy.replicas: must be greater than or equal to 0"),
                "use 0 or more",
            );
        }
        if s.replicas() > 1 && !s.container_name.is_empty() {
            let attribute = if s.scale.is_some() {
                "scale"
            } else {
                "deploy.replicas"
            };
            self.report(&["services", name, "container_name"], "exclusive-keys", format!("services.{name}: can't set container_name and {attribute} as container name must be unique"), &format!("remove `container_name` or `{attribute}`"));
        }
        let Some(deploy) = &s.deploy else { return };
        let limits = deploy.resources.limits.as_ref();
        let reservations = deploy.resources.reservations.as_ref();
        let mut distinct = |bad: bool, key: &str, other: &str| {
            if bad {
                self.report(
                    &["services", name, key],
                    "exclusive-keys",
                    format!("services.{name}: can't set distinct values on '{key}' and '{other}'"),
                    "keep one of the two",
                );
            }
        };
        if let Some(limits) = limits {
            distinct(
                s.cpus.0 != 0.0 && limits.cpus != s.cpus,
                "cpus",
                "deploy.resources.limits.cpus",
            );
            distinct(
                s.mem_limit.0 != 0 && limits.memory != s.mem_limit,
                "mem_limit",
                "deploy.resources.limits.memory",
            );
            distinct(
                s.pids_limit != 0 && limits.pids != s.pids_limit,
                "pids_limit",
                "deploy.resources.limits.pids",
            );
        }
        if let Some(reservations) = reservations {
            distinct(
                s.mem_reservation.0 != 0 && reservations.memory != s.mem_reservation,
                "mem_reservation",
                "deploy.resources.reservations.memory",
            );
        }
    }

    fn mounts(&mut self, name: &str, s: &Service) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        let tmpfs = s
            .tmpfs
            .iter()
            .map(|t| (t.split(':').next().unwrap_or(t), "tmpfs"));
        let volumes = s.volumes.iter().map(|v| (v.target.as_str(), "volumes"));
        let mut index: BTreeMap<&str, usize> = BTreeMap::new();
        for (target, attribute) in tmpfs.chain(volumes) {
            let i = index.entry(attribute).or_default();
            let place = format!("services.{name}.{attribute}[{i}]");
            if let Some(first) = seen.get(target) {
                let message = format!("{place}: target {target} already mounted as {first}");
                self.report(
                    &["services", name, attribute, &i.to_string()],
                    "repeated-target",
                    message,
                    "remove one of the two",
                );
            } else {
                seen.insert(target, place);
            }
            *i += 1;
        }
    }

    fn container_names(&mut self) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, s) in &self.project.services {
            if s.container_name.is_empty() {
                continue;
            }
            if let Some(other) = seen.get(s.container_name.as_str()) {
                let message = format!(
                    "services.{name}: container name \"{}\" is already in use by service {other}",
                    s.container_name
                );
                self.report(
                    &["services", name, "container_name"],
                    "repeated-name",
                    message,
                    "choose another name, or remove it",
                );
            } else {
                seen.insert(&s.container_name, name);
            }
        }
    }

    fn cycles(&mut self) {
        // 0 unseen, 1 on the path, 2 done.
        let mut state: BTreeMap<&str, u8> = BTreeMap::new();
        for name in self.project.services.keys() {
            let mut path = Vec::new();
            if let Some(cycle) = find_cycle(self.project, name, &mut path, &mut state) {
                let first = cycle[0];
                let second = cycle.get(1).copied().unwrap_or(first);
                let place = self.key_place(&["services", first, "depends_on", second]);
                let mut problem = Diagnostic::error(
                    "dependency-cycle",
                    place,
                    format!("dependency cycle detected: {}", cycle.join(" -> ")),
                )
                .at(dotted(&["services", first, "depends_on"]))
                .help("remove one of these dependencies");
                for pair in cycle.windows(2).skip(1) {
                    let span = self.key_place(&["services", pair[0], "depends_on", pair[1]]);
                    problem =
                        problem.related(span, format!("`{}` depends on `{}`", pair[0], pair[1]));
                }
                self.problems.push(problem);
                return;
            }
        }
    }
}

/// The names of a cycle, the first repeated at the end.
fn find_cycle<'a>(
    project: &'a Project,
    start: &'a str,
    path: &mut Vec<&'a str>,
    state: &mut BTreeMap<&'a str, u8>,
) -> Option<Vec<&'a str>> {
    // An explicit stack: chains of thousands of services must not overflow ours.
    let children = |name: &str| -> Vec<&'a str> {
        project
            .services
            .get(name)
            .map(|s| {
                s.depends_on
                    .keys()
                    .map(String::as_str)
                    .filter(|d| project.services.contains_key(*d))
                    .collect()
            })
            .unwrap_or_default()
    };
    if state.get(start).is_some_and(|s| *s == 2) {
        return None;
    }
    let mut stack = vec![(start, children(start))];
    path.push(start);
    state.insert(start, 1);
    while let Some((name, rest)) = stack.last_mut() {
        match rest.pop() {
            None => {
                state.insert(name, 2);
                path.pop();
                stack.pop();
            }
            Some(next) => match state.get(next) {
                Some(1) => {
                    let i = path.iter().position(|p| *p == next).unwrap_or(0);
                    let mut cycle = path[i..].to_vec();
                    cycle.push(next);
                    return Some(cycle);
                }
                Some(_) => {}
                None => {
                    state.insert(next, 1);
                    path.push(next);
                    stack.push((next, children(next)));
                }
            },
        }
    }
    None
}

/// A path for people: indices in brackets.
fn dotted(path: &[&str]) -> Path {
    Path(
        path.iter()
            .enumerate()
            .map(|(i, part)| {
                let index = i > 2 && part.bytes().all(|b| b.is_ascii_digit());
                if index {
                    format!("[{part}]")
                } else {
                    (*part).to_owned()
                }
            })
            .collect(),
    )
}

//! What is right and probably not meant. Lints are warnings; `silence` lists their names.
//!
//! They are looked for only when asked ([`super::LoadOptions::lints`]): a project that starts as
//! it did yesterday says nothing about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path as FilePath;

use super::diagnostic::{Diagnostic, did_you_mean};
use super::source::Span;
use super::tree::Node;
use crate::model::{Condition, MountType, Port, Project, Service};

/// What is known of images without fetching them.
pub trait Images: Debug + Send + Sync {
    /// Whether a program is in the image: a name on its path, or an absolute path.
    fn has_program(&self, image: &str, program: &str) -> Option<bool>;
    /// Whether the image has a healthcheck of its own.
    fn has_healthcheck(&self, image: &str) -> Option<bool>;
}

/// Nothing is known of any image.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

impl Images for Unknown {
    fn has_program(&self, _: &str, _: &str) -> Option<bool> {
        None
    }

    fn has_healthcheck(&self, _: &str) -> Option<bool> {
        None
    }
}

/// Looks at a project whose references are right; `tree` is where it was decoded from.
pub fn check(project: &Project, tree: &Node, images: &dyn Images, problems: &mut Vec<Diagnostic>) {
    let mut lint = Lint {
        project,
        tree,
        images,
        problems,
    };
    for (name, service) in &project.services {
        lint.image(name, service);
        lint.health_tool(name, service);
        lint.waits(name, service);
        lint.binds(name, service);
        lint.secrets(name, service);
    }
    lint.ports();
    lint.unused();
}

/// A profile that was asked for and that no service has.
pub fn profiles(project: &Project, asked: &[String], problems: &mut Vec<Diagnostic>) {
    let services = project.services.values();
    let known: BTreeSet<&str> = services
        .chain(project.disabled_services.values())
        .flat_map(|s| s.profiles.iter().map(String::as_str))
        .collect();
    for profile in asked.iter().filter(|p| !p.is_empty() && *p != "*") {
        if known.contains(profile.as_str()) {
            continue;
        }
        let list: Vec<_> = known.iter().copied().collect();
        problems.push(
            Diagnostic::warning(
                "unknown-profile",
                Span::NONE,
                format!("no service has the profile `{profile}`"),
            )
            .help(
                did_you_mean(profile, known.iter().copied()).unwrap_or_else(|| {
                    if list.is_empty() {
                        "no service has a profile: leave it out".to_owned()
                    } else {
                        format!("the profiles are: {}", list.join(", "))
                    }
                }),
            ),
        );
    }
}

struct Lint<'a> {
    project: &'a Project,
    tree: &'a Node,
    images: &'a dyn Images,
    problems: &'a mut Vec<Diagnostic>,
}

impl Lint<'_> {
    fn warn(&mut self, name: &'static str, path: &str, message: String, help: impl Into<String>) {
        let place = self.tree.locate(path).unwrap_or(Span::NONE);
        self.problems.push(
            Diagnostic::warning(name, place, message)
                .at(path)
                .help(help),
        );
    }

    fn image(&mut self, name: &str, service: &Service) {
        let image = &service.image;
        // What is built here has the version of its sources.
        if image.is_empty() || service.build.is_some() || is_host(image) || image.contains('@') {
            return;
        }
        let last = image.rsplit('/').next().unwrap_or(image);
        let (repository, tag) = last.split_once(':').unwrap_or((last, ""));
        if !matches!(tag, "" | "latest") {
            return;
        }
        let said = if tag.is_empty() {
            format!("`{image}` means `{image}:latest`, which changes from pull to pull")
        } else {
            format!("`{image}` changes from pull to pull")
        };
        self.warn(
            "latest-tag",
            &format!("services.{name}.image"),
            said,
            format!("name a version, such as `{repository}:1.2.3`"),
        );
    }

    fn health_tool(&mut self, name: &str, service: &Service) {
        let Some(program) = service.healthcheck.as_ref().and_then(|h| tool(&h.test)) else {
            return;
        };
        if service.build.is_some()
            || self.images.has_program(&service.image, program) != Some(false)
        {
            return;
        }
        let message = format!(
            "the healthcheck runs `{program}`, which the image `{}` lacks",
            service.image
        );
        self.warn(
            "missing-health-tool",
            &format!("services.{name}.healthcheck.test[1]"),
            message,
            "use a program of the image, or one that is built into the payload",
        );
    }

    fn waits(&mut self, name: &str, service: &Service) {
        for (dependency, settings) in &service.depends_on {
            let Some(other) = self.project.services.get(dependency) else {
                continue;
            };
            let own = match &other.healthcheck {
                Some(check) if check.disable || check.test.first().is_some_and(|t| t == "NONE") => {
                    Some(false)
                }
                Some(check) if !check.test.is_empty() => Some(true),
                _ if other.build.is_some() => None,
                _ => self.images.has_healthcheck(&other.image),
            };
            // An image may have one, as long as it is not known.
            if settings.condition != Condition::Healthy || own == Some(true) {
                continue;
            }
            let message = match own {
                Some(_) => format!("`{dependency}` has no healthcheck and never becomes healthy"),
                None => format!(
                    "`{dependency}` has no healthcheck; unless its image has one, it never becomes healthy"
                ),
            };
            self.warn(
                "no-healthcheck",
                &format!("services.{name}.depends_on.{dependency}"),
                message,
                format!("add `healthcheck:` to `{dependency}`, or wait for `service_started`"),
            );
        }
    }

    fn binds(&mut self, name: &str, service: &Service) {
        for (index, mount) in service.volumes.iter().enumerate() {
            let source = FilePath::new(&mount.source);
            if mount.r#type != MountType::Bind || !source.is_absolute() || source.exists() {
                continue;
            }
            let created = mount.bind.as_ref().is_some_and(|b| b.create_host_path);
            let (what, help) = if created {
                (
                    "an empty directory is made there",
                    "create it with what the service needs, or check the path",
                )
            } else {
                ("the service cannot start", "create it, or check the path")
            };
            self.warn(
                "missing-bind-source",
                &format!("services.{name}.volumes[{index}]"),
                format!("`{}` does not exist: {what}", mount.source),
                help,
            );
        }
    }

    fn secrets(&mut self, name: &str, service: &Service) {
        for key in service.environment.keys() {
            let path = format!("services.{name}.environment.{key}");
            let Some(node) = self.tree.find(&["services", name, "environment", key]) else {
                continue;
            };
            let literal = node.filled.is_none() && node.span.is_some();
            let Some(text) = node.as_str().filter(|text| literal && is_secret(key, text)) else {
                continue;
            };
            let what = if text.contains("://") {
                "holds a password"
            } else {
                "is a secret"
            };
            self.warn(
                "plain-secret",
                &path,
                format!("`{key}` {what} and stands in the file"),
                format!(
                    "write `${{{key}:?}}` and set it in `.env` or the environment, or use `secrets`"
                ),
            );
        }
    }

    fn ports(&mut self) {
        // Service, address and index of who has a port already.
        type Takers<'a> = Vec<(&'a str, &'a str, usize)>;
        let mut taken: BTreeMap<(u16, &str), Takers<'_>> = BTreeMap::new();
        for (name, service) in &self.project.services {
            for (index, port) in service.ports.iter().enumerate() {
                let path = format!("services.{name}.ports[{index}]");
                // Of a range any free port is taken.
                let Some(number) = port.host_ports().filter(|(a, b)| a == b).map(|(a, _)| a) else {
                    continue;
                };
                if service.replicas() > 1 {
                    self.warn(
                        "duplicate-port",
                        &path,
                        format!(
                            "{} containers of `{name}` cannot all publish port {number}",
                            service.replicas()
                        ),
                        "publish a range such as `8080-8090:80`, or no fixed port",
                    );
                }
                let others = taken.entry((number, protocol(port))).or_default();
                let same = others
                    .iter()
                    .find(|(_, address, _)| overlap(address, &port.host_ip));
                if let Some((other, _, at)) = same {
                    let first = format!("services.{other}.ports[{at}]");
                    let related = self.tree.locate(&first).unwrap_or(Span::NONE);
                    let message = if other == name {
                        format!("port {number} is published twice")
                    } else {
                        format!("port {number} is published by `{other}` too")
                    };
                    self.warn("duplicate-port", &path, message, "choose another port");
                    if let Some(last) = self.problems.pop() {
                        self.problems.push(last.related(related, "the first one"));
                    }
                }
                others.push((name, &port.host_ip, index));
            }
        }
    }

    fn unused(&mut self) {
        let project = self.project;
        let services = || {
            project
                .services
                .values()
                .chain(project.disabled_services.values())
        };
        let networks: BTreeSet<&String> = services().flat_map(|s| s.networks.keys()).collect();
        let volumes: BTreeSet<&String> = services()
            .flat_map(|s| &s.volumes)
            .filter(|m| m.r#type == MountType::Volume)
            .map(|m| &m.source)
            .collect();
        let secrets: BTreeSet<&String> = services()
            .flat_map(|s| {
                let of_build = s.build.iter().flat_map(|b| &b.secrets);
                s.secrets.iter().chain(of_build)
            })
            .map(|m| &m.source)
            .collect();
        let configs: BTreeSet<&String> = services()
            .flat_map(|s| &s.configs)
            .map(|m| &m.source)
            .collect();
        let mut unused =
            |code, section: &str, what: &str, keys: Vec<&String>, used: &BTreeSet<_>| {
                for key in keys {
                    // The default network is there to be changed.
                    let is_default = section == "networks" && key == "default";
                    if !used.contains(key) && !is_default {
                        self.warn(
                            code,
                            &format!("{section}.{key}"),
                            format!("no service {what} `{key}`"),
                            "remove it, or name it in a service",
                        );
                    }
                }
            };
        unused(
            "unused-network",
            "networks",
            "joins the network",
            project.networks.keys().collect(),
            &networks,
        );
        unused(
            "unused-volume",
            "volumes",
            "mounts the volume",
            project.volumes.keys().collect(),
            &volumes,
        );
        unused(
            "unused-secret",
            "secrets",
            "uses the secret",
            project.secrets.keys().collect(),
            &secrets,
        );
        unused(
            "unused-config",
            "configs",
            "uses the config",
            project.configs.keys().collect(),
            &configs,
        );
    }
}

fn protocol(port: &Port) -> &str {
    if port.protocol.is_empty() {
        "tcp"
    } else {
        &port.protocol
    }
}

/// Whether two addresses to listen on meet.
fn overlap(a: &str, b: &str) -> bool {
    let any = |text: &str| text.is_empty();
    let wildcard = |text: &str| match text {
        "0.0.0.0" => Some(false),
        "::" => Some(true),
        _ => None,
    };
    let is_v6 = |text: &str| text.contains(':');
    a == b
        || any(a)
        || any(b)
        || wildcard(a).is_some_and(|v6| v6 == is_v6(b))
        || wildcard(b).is_some_and(|v6| v6 == is_v6(a))
}

/// The machine itself.
fn is_host(image: &str) -> bool {
    matches!(image, "host" | "host:latest")
}

/// The program that a healthcheck runs, when it can be told.
fn tool(test: &[String]) -> Option<&str> {
    let program = match test {
        [kind, program, ..] if kind == "CMD" => program.as_str(),
        [kind, line] if kind == "CMD-SHELL" => line.split_whitespace().next()?,
        _ => return None,
    };
    const OF_THE_SHELL: [&str; 14] = [
        "[", "[[", "test", "exit", "true", "false", "if", "for", "while", "!", ":", "command",
        "set", "echo",
    ];
    let plain = program
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+'));
    (plain && !program.is_empty() && !OF_THE_SHELL.contains(&program)).then_some(program)
}

/// Whether a variable of this name and value is one that others must not read.
fn is_secret(key: &str, value: &str) -> bool {
    const ENDINGS: [&str; 11] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "API_KEY",
        "APIKEY",
        "SECRET_KEY",
        "PRIVATE_KEY",
        "ACCESS_KEY",
        "SECRET_KEY_BASE",
    ];
    let key = key.to_uppercase();
    let word = matches!(
        value.to_lowercase().as_str(),
        "" | "true" | "false" | "yes" | "no" | "0" | "1"
    );
    let path = value.starts_with('/');
    ENDINGS.iter().any(|end| key.ends_with(end)) && !word && !path || has_password(value)
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    value
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next())
        .and_then(|authority| authority.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_name_and_by_address() {
        for (key, value, want) in [
            ("POSTGRES_PASSWORD", "hunter2", true),
            ("postgres_password", "hunter2", true),
            ("DB_URL", "postgres://u:p@db/x", true),
            ("DB_URL", "postgres://db/x", false),
            ("DB_URL", "postgres://u@db/x", false),
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/p", false),
            ("PASSWORD", "/run/secrets/p", false),
            ("REQUIRE_PASSWORD", "true", false),
            ("TOKEN_LIFETIME", "3600", false),
            ("ALLOW_EMPTY_PASSWORD", "yes", false),
        ] {
            assert_eq!(is_secret(key, value), want, "{key}={value}");
        }
    }

    #[test]
    fn tools_of_healthchecks() {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (test, want) in [
            (&["CMD", "curl", "-f", "x"][..], Some("curl")),
            (
                &["CMD-SHELL", "pg_isready -U x || exit 1"],
                Some("pg_isready"),
            ),
            (&["CMD-SHELL", "[ -f /x ]"], None),
            (&["CMD-SHELL", "\"$X\" y"], None),
            (&["NONE"], None),
        ] {
            assert_eq!(tool(&words(test)), want, "{test:?}");
        }
    }

    #[test]
    fn addresses_that_meet() {
        for (a, b, want) in [
            ("", "127.0.0.1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::", "127.0.0.1", false),
            ("::", "::1", true),
        ] {
            assert_eq!(overlap(a, b), want, "{a} {b}");
            assert_eq!(overlap(b, a), want, "{b} {a}");
        }
    }
}

//! Short syntax to long syntax, in the tree. What is malformed is reported and left out.

use super::diagnostic::Diagnostic;
use super::merge::{dependency, named};
use super::short::port::{self, PortError};
use super::short::volume;
use super::trail::Trail;
use super::tree::{Map, Node, Value};

/// Whether text that is no valid short form is an error or stays as it is (`--no-interpolate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// An error.
    Refuse,
    /// Stays.
    Keep,
}

/// Brings a whole document into long form.
pub fn canonical(root: &mut Node, malformed: Malformed, problems: &mut Vec<Diagnostic>) {
    let mut pass = Canonical {
        malformed,
        problems,
    };
    let Some(map) = root.as_map_mut() else { return };
    if let Some(services) = map.get_mut("services").and_then(Node::as_map_mut) {
        let section = Trail::ROOT.key("services");
        for (name, service) in services {
            pass.service(service, &section.key(name));
        }
    }
    for section in ["volumes", "networks", "secrets", "configs"] {
        if let Some(entries) = map.get_mut(section).and_then(Node::as_map_mut) {
            let section = Trail::ROOT.key(section);
            for (name, entry) in entries {
                pass.external(entry, &section.key(name));
            }
        }
    }
}

struct Canonical<'a> {
    malformed: Malformed,
    problems: &'a mut Vec<Diagnostic>,
}

impl Canonical<'_> {
    fn service(&mut self, service: &mut Node, path: &Trail<'_>) {
        let Some(map) = service.as_map_mut() else {
            return;
        };
        for (key, node) in map {
            let at = path.key(key);
            match key.as_str() {
                "build" => self.build(node, &at),
                "depends_on" => depends_on(node),
                "env_file" => env_file(node),
                "label_file" | "dns" => list_of_one(node),
                "extends" => wrap(node, "service"),
                "gpus" => gpus(node),
                "networks" | "models" => names_to_map(node),
                "volumes" => self.each(node, &at, Self::mount),
                "devices" => self.each(node, &at, Self::device),
                "secrets" | "configs" => self.each(node, &at, Self::file_mount),
                "ports" => self.ports(node, &at),
                "ulimits" => self.ulimits(node, &at),
                "develop" => {
                    for rule in node
                        .get_mut("watch")
                        .and_then(Node::as_seq_mut)
                        .into_iter()
                        .flatten()
                    {
                        for key in ["ignore", "include"] {
                            if let Some(list) = rule.get_mut(key) {
                                list_of_one(list);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        // Empty resolver addresses come from variables that are not set.
        if let Some(list) = service.get_mut("dns").and_then(Node::as_seq_mut) {
            list.retain(|n| n.as_str() != Some("") && !n.is_null());
        }
    }

    fn each(
        &mut self,
        node: &mut Node,
        path: &Trail<'_>,
        f: fn(&mut Self, &mut Node, &Trail<'_>) -> bool,
    ) {
        if let Some(items) = node.as_seq_mut() {
            let mut index = 0;
            items.retain_mut(|item| {
                index += 1;
                f(self, item, &path.index(index - 1))
            });
        }
    }

    fn build(&mut self, node: &mut Node, path: &Trail<'_>) {
        wrap(node, "context");
        let Some(map) = node.as_map_mut() else { return };
        for (key, node) in map {
            let at = path.key(key);
            match key.as_str() {
                "secrets" => self.each(node, &at, Self::file_mount),
                "provenance" | "sbom" => {
                    if let Some(text) = node.scalar_text() {
                        node.value = Value::Str(text);
                    }
                }
                "additional_contexts" => self.key_values(node, &at),
                "ssh" => self.ssh(node, &at),
                "ulimits" => self.ulimits(node, &at),
                _ => {}
            }
        }
    }

    fn key_values(&mut self, node: &mut Node, path: &Trail<'_>) {
        let Some(items) = node.as_seq() else { return };
        let mut map = Map::new();
        for (i, item) in items.iter().enumerate() {
            let Some((key, value)) = item.as_str().and_then(|s| s.split_once('=')) else {
                if self.malformed == Malformed::Keep {
                    return;
                }
                self.problems.push(
                    Diagnostic::error(
                        "bad-value",
                        item.place(),
                        format!("`{}` is not `name=context`", item.value),
                    )
                    .at(path.index(i))
                    .help("write `name=path`, `name=docker-image://image` or `name=https://…`"),
                );
                continue;
            };
            let mut entry = item.with(Value::Str(value.to_owned()));
            entry.key = item.span;
            map.insert(key.to_owned(), entry);
        }
        node.value = Value::Map(map);
    }

    fn ssh(&mut self, node: &mut Node, path: &Trail<'_>) {
        let Some(items) = node.as_seq() else { return };
        let mut map = Map::new();
        for (i, item) in items.iter().enumerate() {
            let Some(text) = item.as_str() else { continue };
            // The second is how `config` prints it.
            let (id, value) = match text.split_once('=').or_else(|| text.split_once(": ")) {
                Some((id, key)) => (id, Value::Str(key.to_owned())),
                None if text == "default" => (text, Value::Null),
                None => {
                    self.problems.push(
                        Diagnostic::error(
                            "bad-value",
                            item.place(),
                            format!("invalid ssh key \"{text}\""),
                        )
                        .at(path.index(i))
                        .help("write `default` or `id=path`"),
                    );
                    continue;
                }
            };
            let mut entry = item.with(value);
            entry.key = item.span;
            map.insert(id.to_owned(), entry);
        }
        node.value = Value::Map(map);
    }

    /// Limits that nobody reads later must be numbers already; others get a message then.
    fn ulimits(&mut self, node: &mut Node, path: &Trail<'_>) {
        let Some(limits) = node.as_map().filter(|_| self.malformed == Malformed::Keep) else {
            return;
        };
        for (name, limit) in limits {
            if matches!(limit.value, Value::Map(_) | Value::Int(_)) {
                continue;
            }
            let at = path.key(name);
            self.problems.push(
                Diagnostic::error(
                    "bad-value",
                    limit.place(),
                    format!("`{at}`: `{}` is not a limit", limit.value),
                )
                .at(at)
                .help("write a number, or `soft` and `hard`; variables are not filled in here"),
            );
        }
    }

    fn file_mount(&mut self, node: &mut Node, _path: &Trail<'_>) -> bool {
        wrap(node, "source");
        true
    }

    fn device(&mut self, node: &mut Node, path: &Trail<'_>) -> bool {
        let Some(text) = node.as_str().map(str::to_owned) else {
            return true;
        };
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() > 3 && self.malformed == Malformed::Refuse {
            self.problems.push(
                Diagnostic::error(
                    "bad-value",
                    node.place(),
                    format!("confusing device mapping, please use long syntax: {text}"),
                )
                .at(path)
                .help("write `source`, `target` and `permissions` as a mapping"),
            );
            return false;
        }
        let (source, target, permissions) = match parts.as_slice() {
            [s] => (*s, *s, "rwm"),
            [s, t] => (*s, *t, "rwm"),
            [s, t, p] => (*s, *t, *p),
            _ => ("", "", "rwm"),
        };
        let target = if target.is_empty() { source } else { target };
        let mut map = Map::new();
        for (key, value) in [
            ("source", source),
            ("target", target),
            ("permissions", permissions),
        ] {
            map.insert(key.to_owned(), part(node, value));
        }
        node.value = Value::Map(map);
        true
    }

    fn mount(&mut self, node: &mut Node, path: &Trail<'_>) -> bool {
        let Some(text) = node.as_str().map(str::to_owned) else {
            return true;
        };
        let parsed = match volume::parse(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let mut problem = Diagnostic::error("bad-mount", node.place(), format!("invalid spec: {text}: {error}"))
                    .at(path)
                    .note("the form is `[source:]target[:options]`")
                    .help("remove the extra colon, or use the long form with `type`, `source` and `target`");
                if let Some(filled) = &node.filled {
                    problem = super::interpolate::explain(problem, filled);
                }
                self.problems.push(problem);
                return false;
            }
        };
        let mut map = Map::new();
        let mut set = |key: &str, value: Node| {
            map.insert(key.to_owned(), value);
        };
        set(
            "type",
            part(node, if parsed.bind { "bind" } else { "volume" }),
        );
        if !parsed.source.is_empty() {
            set("source", part(node, parsed.source));
        }
        set("target", part(node, &clean_target(parsed.target)));
        if parsed.read_only {
            set("read_only", node.with(Value::Bool(true)));
        }
        let mut bind = Map::new();
        if !parsed.propagation.is_empty() {
            bind.insert("propagation".to_owned(), part(node, parsed.propagation));
        }
        if !parsed.selinux.is_empty() {
            bind.insert("selinux".to_owned(), part(node, parsed.selinux));
        }
        if parsed.bind {
            bind.insert("create_host_path".to_owned(), node.with(Value::Bool(true)));
        }
        if parsed.bind || !bind.is_empty() {
            set("bind", node.with(Value::Map(bind)));
        }
        let mut volume = Map::new();
        if parsed.nocopy {
            volume.insert("nocopy".to_owned(), node.with(Value::Bool(true)));
        }
        if !parsed.bare && (!parsed.bind || parsed.nocopy) {
            set("volume", node.with(Value::Map(volume)));
        }
        for option in parsed.unknown {
            // Ours: Docker Compose passes over it.
            if option == "idmap" && parsed.bind {
                let mut own = Map::new();
                own.insert("idmap".to_owned(), node.with(Value::Bool(true)));
                map.insert("x-gantry".to_owned(), node.with(Value::Map(own)));
            } else if !matches!(option, "cached" | "delegated" | "consistent" | "") {
                self.problems.push(
                    Diagnostic::warning(
                        "unknown-mount-option",
                        node.place(),
                        format!("unknown mount option `{option}` is ignored"),
                    )
                    .at(path)
                    .note("options are ro, rw, nocopy, idmap, z, Z and the propagations"),
                );
            }
        }
        node.value = Value::Map(map);
        true
    }

    fn ports(&mut self, node: &mut Node, path: &Trail<'_>) {
        let Some(items) = node.as_seq() else { return };
        let mut result = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let text = match &item.value {
                Value::Int(n) => n.to_string(),
                Value::Str(s) => s.clone(),
                Value::Map(_) => {
                    result.push(item.clone());
                    continue;
                }
                _ => {
                    self.problems.push(
                        Diagnostic::error(
                            "bad-port",
                            item.place(),
                            format!(
                                "invalid port `{}`: {} is not a port",
                                item.value,
                                item.kind()
                            ),
                        )
                        .at(path.index(i))
                        .help("quote it: `\"8080:80\"`"),
                    );
                    continue;
                }
            };
            match port::parse(&text) {
                Ok(ports) => result.extend(ports.each().map(|p| {
                    let mut map = Map::with_capacity(5);
                    map.insert("mode".to_owned(), part(item, "ingress"));
                    if !ports.host_ip.is_empty() {
                        map.insert("host_ip".to_owned(), part(item, ports.host_ip));
                    }
                    map.insert("target".to_owned(), item.with(Value::Int(p.target.into())));
                    if !p.published.is_empty() {
                        map.insert("published".to_owned(), item.with(Value::Str(p.published)));
                    }
                    map.insert("protocol".to_owned(), part(item, ports.protocol));
                    item.with(Value::Map(map))
                })),
                // One port that does not parse keeps the whole list short, as docker compose does.
                Err(_) if self.malformed == Malformed::Keep => return,
                Err(error) => {
                    let mut problem = Diagnostic::error("bad-port", item.place(), format!("invalid port `{text}`: {error}"))
                        .at(path.index(i))
                        .note("the form is `[[address:]host:]container[/protocol]`, ports from 0 to 65535, ranges as `8000-8010`");
                    if let Some(filled) = &item.filled {
                        problem = super::interpolate::explain(problem, filled);
                    }
                    self.problems.push(problem.help(port_help(&text, &error)));
                }
            }
        }
        node.value = Value::Seq(result);
    }

    fn external(&mut self, node: &mut Node, path: &Trail<'_>) {
        let Some(map) = node.as_map_mut() else { return };
        let Some(external) = map.get("external") else {
            return;
        };
        let Some(inner) = external.as_map() else {
            return;
        };
        let inner_name = inner.get("name").cloned();
        let flag = external.with(Value::Bool(true));
        if let Some(inner_name) = inner_name {
            self.problems.push(
                Diagnostic::warning(
                    "deprecated-external-name",
                    external.place(),
                    format!(
                        "{path}: external.name is deprecated. Please set name and external: true"
                    ),
                )
                .at(path)
                .help(format!(
                    "write `name: {}` beside `external: true`",
                    inner_name.value
                )),
            );
            match map.get("name") {
                Some(name) if !name.same(&inner_name) => {
                    self.problems.push(
                        Diagnostic::error(
                            "conflicting-name",
                            name.place(),
                            format!("{path}: name and external.name conflict; only use name"),
                        )
                        .at(path)
                        .related(inner_name.place(), "the other name")
                        .help("remove `external.name`"),
                    );
                }
                Some(_) => {}
                None => {
                    map.insert("name".to_owned(), inner_name);
                }
            }
        }
        map.insert("external".to_owned(), flag);
    }
}

fn port_help(text: &str, error: &PortError) -> String {
    match error {
        PortError::NoContainerPort => {
            "write the container port after the colon: `\"8080:80\"`".to_owned()
        }
        PortError::Zero => "write a container port from 1 to 65535".to_owned(),
        PortError::Protocol(_) => "write `/tcp`, `/udp` or `/sctp`".to_owned(),
        PortError::Address(name) => {
            format!("write a number in place of `{name}`, such as `127.0.0.1`")
        }
        PortError::Brackets(address) => {
            let right = text.replacen(address, &format!("[{address}]"), 1);
            format!("write `\"{right}\"`")
        }
        PortError::Lengths => "make both ranges as long, or name one container port".to_owned(),
        PortError::Backwards(range) => match range.split_once('-') {
            Some((first, last)) => format!("write `{last}-{first}`"),
            None => "write the lower port first".to_owned(),
        },
        PortError::NotAPort(part) if part.contains(char::is_whitespace) => {
            format!(
                "remove the blanks: `{}`",
                text.replace(char::is_whitespace, "")
            )
        }
        PortError::NotAPort(part) => match text.split_once(':') {
            Some((address, port)) if address.parse::<std::net::IpAddr>().is_ok() => {
                format!("to publish on one address write `{address}:HOST:{port}`")
            }
            _ if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) => {
                "use a port from 1 to 65535".to_owned()
            }
            _ => "write `\"HOST:CONTAINER\"`, for instance `\"8080:80\"`".to_owned(),
        },
    }
}

/// A piece of a short form, placed where the short form is.
fn part(node: &Node, text: &str) -> Node {
    node.with(Value::Str(text.to_owned()))
}

fn wrap(node: &mut Node, key: &str) {
    if matches!(node.value, Value::Str(_)) {
        let mut map = Map::new();
        map.insert(key.to_owned(), node.clone());
        node.value = Value::Map(map);
    }
}

fn list_of_one(node: &mut Node) {
    if matches!(node.value, Value::Str(_)) {
        node.value = Value::Seq(vec![node.clone()]);
    }
}

fn names_to_map(node: &mut Node) {
    if let Value::Seq(items) = &node.value {
        node.value = Value::Map(
            items
                .iter()
                .filter_map(|n| Some((n.as_str()?.to_owned(), named(n.span))))
                .collect(),
        );
    }
}

fn depends_on(node: &mut Node) {
    match &mut node.value {
        Value::Seq(items) => {
            node.value = Value::Map(
                items
                    .iter()
                    .filter_map(|n| Some((n.as_str()?.to_owned(), dependency(n.span))))
                    .collect(),
            );
        }
        Value::Map(map) => {
            for entry in map.values_mut() {
                let span = entry.place();
                if let Some(settings) = entry.as_map_mut() {
                    settings
                        .entry("condition".to_owned())
                        .or_insert_with(|| Node::str("service_started", span));
                    settings
                        .entry("required".to_owned())
                        .or_insert_with(|| Node::new(Value::Bool(true), span));
                }
            }
        }
        _ => {}
    }
}

fn env_file(node: &mut Node) {
    list_of_one(node);
    for item in node.as_seq_mut().into_iter().flatten() {
        wrap(item, "path");
        let span = item.place();
        if let Some(map) = item.as_map_mut() {
            map.entry("required".to_owned())
                .or_insert_with(|| Node::new(Value::Bool(true), span));
        }
    }
}

fn gpus(node: &mut Node) {
    if matches!(node.value, Value::Str(_)) {
        let mut map = Map::new();
        map.insert("count".to_owned(), part(node, "all"));
        node.value = Value::Seq(vec![node.with(Value::Map(map))]);
    }
}

/// A path in the container, lexically clean.
pub fn clean_target(target: &str) -> String {
    if target.is_empty() {
        return String::new();
    }
    super::discover::clean(std::path::Path::new(target))
        .to_string_lossy()
        .into_owned()
}

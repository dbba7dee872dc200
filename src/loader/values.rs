//! Texts that stand for values: durations, sizes, command lines, modes, `key=value` lists.
//!
//! After this phase a tree holds only what the model's types hold. Lists of pairs are mappings,
//! durations are nanoseconds, sizes are bytes.

use super::diagnostic::Diagnostic;
use super::interpolate::explain;
use super::short::{bytes, duration, shell};
use super::trail::Trail;
use super::tree::{Map, Node, Value};

/// Converts a whole document.
pub fn convert(root: &mut Node, problems: &mut Vec<Diagnostic>) {
    let mut pass = Convert { problems };
    let Some(map) = root.as_map_mut() else { return };
    let services = Trail::ROOT.key("services");
    for (name, service) in entries(map, "services") {
        pass.service(service, &services.key(name));
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let above = Trail::ROOT.key(section);
        for (name, entry) in entries(map, section) {
            let at = above.key(name);
            pass.each(entry, &at, &["labels"], Kind::Pairs);
            pass.each(entry, &at, &["driver_opts"], Kind::Options);
        }
    }
}

fn entries<'a>(
    map: &'a mut Map,
    section: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Node)> {
    map.get_mut(section)
        .and_then(Node::as_map_mut)
        .into_iter()
        .flatten()
}

struct Convert<'a> {
    problems: &'a mut Vec<Diagnostic>,
}

/// How a value is read.
#[derive(Clone, Copy)]
enum Kind {
    Pairs,
    Size,
    Variables,
    Texts,
    Hosts,
    Mode,
    Bits,
    Ssh,
    Ulimit,
    Command,
    Count,
    Time,
    NumbersAsText,
    Test,
    Options,
    ProviderOption,
}

/// Attributes of a service and how their values are read; `*` is any key or item.
const RULES: &[(&[&str], Kind)] = &[
    (&["annotations"], Kind::Pairs),
    (
        &["blkio_config", "device_read_bps", "*", "rate"],
        Kind::Size,
    ),
    (
        &["blkio_config", "device_read_iops", "*", "rate"],
        Kind::Size,
    ),
    (
        &["blkio_config", "device_write_bps", "*", "rate"],
        Kind::Size,
    ),
    (
        &["blkio_config", "device_write_iops", "*", "rate"],
        Kind::Size,
    ),
    (&["build", "additional_contexts"], Kind::Pairs),
    (&["build", "args"], Kind::Variables),
    (&["build", "cache_from"], Kind::Texts),
    (&["build", "cache_to"], Kind::Texts),
    (&["build", "extra_hosts"], Kind::Hosts),
    (&["build", "labels"], Kind::Pairs),
    (&["build", "no_cache_filter"], Kind::Texts),
    (&["build", "secrets", "*", "mode"], Kind::Mode),
    (&["build", "shm_size"], Kind::Size),
    (&["build", "ssh"], Kind::Ssh),
    (&["build", "ulimits", "*"], Kind::Ulimit),
    (&["command"], Kind::Command),
    (&["configs", "*", "mode"], Kind::Mode),
    (&["deploy", "labels"], Kind::Pairs),
    (&["deploy", "resources", "*", "memory"], Kind::Size),
    (
        &["deploy", "resources", "*", "devices", "*", "count"],
        Kind::Count,
    ),
    (
        &["deploy", "resources", "*", "devices", "*", "options"],
        Kind::Pairs,
    ),
    (&["deploy", "restart_policy", "delay"], Kind::Time),
    (&["deploy", "restart_policy", "window"], Kind::Time),
    (&["deploy", "rollback_config", "delay"], Kind::Time),
    (&["deploy", "rollback_config", "monitor"], Kind::Time),
    (&["deploy", "update_config", "delay"], Kind::Time),
    (&["deploy", "update_config", "monitor"], Kind::Time),
    (&["develop", "watch", "*", "exec", "command"], Kind::Command),
    (
        &["develop", "watch", "*", "exec", "environment"],
        Kind::Variables,
    ),
    (&["develop", "watch", "*", "ignore"], Kind::Texts),
    (&["develop", "watch", "*", "include"], Kind::Texts),
    (&["dns"], Kind::Texts),
    (&["dns_search"], Kind::Texts),
    (&["entrypoint"], Kind::Command),
    (&["environment"], Kind::Variables),
    (&["expose"], Kind::NumbersAsText),
    (&["extra_hosts"], Kind::Hosts),
    (&["gpus", "*", "count"], Kind::Count),
    (&["gpus", "*", "options"], Kind::Pairs),
    (&["group_add"], Kind::NumbersAsText),
    (&["healthcheck", "interval"], Kind::Time),
    (&["healthcheck", "start_interval"], Kind::Time),
    (&["healthcheck", "start_period"], Kind::Time),
    (&["healthcheck", "test"], Kind::Test),
    (&["healthcheck", "timeout"], Kind::Time),
    (&["label_file"], Kind::Texts),
    (&["labels"], Kind::Pairs),
    (&["logging", "options"], Kind::Options),
    (&["mem_limit"], Kind::Size),
    (&["mem_reservation"], Kind::Size),
    (&["mem_swappiness"], Kind::Size),
    (&["memswap_limit"], Kind::Size),
    (&["networks", "*", "driver_opts"], Kind::Options),
    (&["post_start", "*", "command"], Kind::Command),
    (&["post_start", "*", "environment"], Kind::Variables),
    (&["pre_start", "*", "command"], Kind::Command),
    (&["pre_start", "*", "environment"], Kind::Variables),
    (&["pre_stop", "*", "command"], Kind::Command),
    (&["pre_stop", "*", "environment"], Kind::Variables),
    (&["provider", "options", "*"], Kind::ProviderOption),
    (&["secrets", "*", "mode"], Kind::Mode),
    (&["shm_size"], Kind::Size),
    (&["stop_grace_period"], Kind::Time),
    (&["sysctls"], Kind::Pairs),
    (&["tmpfs"], Kind::Texts),
    (&["ulimits", "*"], Kind::Ulimit),
    (&["volumes", "*", "tmpfs", "mode"], Kind::Bits),
    (&["volumes", "*", "tmpfs", "size"], Kind::Size),
    (&["volumes", "*", "volume", "labels"], Kind::Pairs),
];

impl Convert<'_> {
    fn service(&mut self, service: &mut Node, at: &Trail<'_>) {
        for (pattern, rule) in RULES {
            self.each(service, at, pattern, *rule);
        }
    }

    fn apply(&mut self, kind: Kind, node: &mut Node, at: &Trail<'_>) {
        match kind {
            Kind::Pairs => self.pairs(node, at),
            Kind::Size => self.size(node, at),
            Kind::Variables => self.variables(node, at),
            Kind::Texts => self.texts(node, at),
            Kind::Hosts => self.hosts(node, at),
            Kind::Mode => self.mode(node, at),
            Kind::Bits => self.bits(node, at),
            Kind::Ssh => self.ssh(node, at),
            Kind::Ulimit => self.ulimit(node, at),
            Kind::Command => self.command(node, at),
            Kind::Count => self.count(node, at),
            Kind::Time => self.time(node, at),
            Kind::NumbersAsText => self.numbers_as_text(node, at),
            Kind::Test => self.test(node, at),
            Kind::Options => self.options(node, at),
            Kind::ProviderOption => Self::provider_option(node),
        }
    }

    fn each(&mut self, node: &mut Node, at: &Trail<'_>, pattern: &[&str], rule: Kind) {
        let Some((first, rest)) = pattern.split_first() else {
            return self.apply(rule, node, at);
        };
        match &mut node.value {
            Value::Map(map) if *first == "*" => {
                for (key, child) in map {
                    self.each(child, &at.key(key), rest, rule);
                }
            }
            Value::Map(map) => {
                if let Some(child) = map.get_mut(*first) {
                    self.each(child, &at.key(first), rest, rule);
                }
            }
            Value::Seq(items) if *first == "*" => {
                for (i, child) in items.iter_mut().enumerate() {
                    self.each(child, &at.index(i), rest, rule);
                }
            }
            _ => {}
        }
    }

    fn problem(
        &mut self,
        node: &Node,
        at: &Trail<'_>,
        code: &'static str,
        message: String,
        help: &str,
    ) {
        let problem = Diagnostic::error(code, node.place(), message)
            .at(at)
            .help(help);
        self.problems.push(match &node.filled {
            Some(filled) => explain(problem, filled),
            None => problem,
        });
    }

    fn time(&mut self, node: &mut Node, at: &Trail<'_>) {
        let Some(text) = node.scalar_text() else {
            return;
        };
        match duration::parse(&text) {
            Some(nanos) => node.value = Value::Int(nanos.into()),
            None => {
                self.problem(
                    node,
                    at,
                    "bad-duration",
                    format!("`{at}`: invalid duration `{text}`"),
                    "write a number with a unit, such as `30s`, `1m30s`, `500ms`, `2h`",
                );
                node.value = Value::Int(0);
            }
        }
    }

    fn size(&mut self, node: &mut Node, at: &Trail<'_>) {
        match &node.value {
            Value::Str(text) => match bytes::parse(text) {
                Some(n) => node.value = Value::Int(n.into()),
                None => {
                    let text = text.clone();
                    self.problem(
                        node,
                        at,
                        "bad-size",
                        format!("`{at}`: invalid size `{text}`"),
                        "write a number of bytes, or one with a unit: `512m`, `1.5g`",
                    );
                    node.value = Value::Int(0);
                }
            },
            Value::Int(n) if i64::try_from(*n).is_ok() => {}
            // As docker compose: a number that is fractional or too large means nothing without
            // a unit.
            Value::Float(_) | Value::Int(_) => {
                self.problems.push(
                    Diagnostic::warning(
                        "bad-size",
                        node.place(),
                        format!("`{at}`: `{}` has no unit and is ignored", node.value),
                    )
                    .at(at)
                    .help("quote it with a unit, such as `\"1.5g\"`"),
                );
                node.value = Value::Int(0);
            }
            _ => {}
        }
    }

    fn command(&mut self, node: &mut Node, at: &Trail<'_>) {
        let Some(text) = node.as_str().map(str::to_owned) else {
            return;
        };
        match shell::split(&text) {
            Ok((words, cut)) => {
                if cut {
                    self.problems.push(
                        Diagnostic::warning("command-cut", node.place(), format!("`{at}`: what follows an unquoted `;`, `&`, `|`, `<` or `>` is dropped"))
                            .at(at)
                            .note("commands do not run in a shell")
                            .help("write `[\"sh\", \"-c\", \"…\"]` to use one"),
                    );
                }
                let items = words
                    .into_iter()
                    .map(|w| node.with(Value::Str(w)))
                    .collect();
                node.value = Value::Seq(items);
            }
            Err(error) => {
                self.problem(
                    node,
                    at,
                    "bad-command",
                    format!("`{at}`: invalid command line string: {error}"),
                    "close the quote, or write the command as a list",
                );
                node.value = Value::Null;
            }
        }
    }

    fn test(&mut self, node: &mut Node, _at: &Trail<'_>) {
        if let Some(text) = node.as_str().map(str::to_owned) {
            let items = vec![
                node.with(Value::Str("CMD-SHELL".to_owned())),
                node.with(Value::Str(text)),
            ];
            node.value = Value::Seq(items);
        }
    }

    /// `K=V` or `K` lists, or mappings, to mappings where null means "the caller's".
    fn variables(&mut self, node: &mut Node, at: &Trail<'_>) {
        self.mapping(node, at, Blank::Refuse, Missing::Null);
    }

    /// The same with texts only; nothing is the empty text.
    fn pairs(&mut self, node: &mut Node, at: &Trail<'_>) {
        self.mapping(node, at, Blank::Allow, Missing::Empty);
    }

    fn options(&mut self, node: &mut Node, at: &Trail<'_>) {
        self.mapping(node, at, Blank::Allow, Missing::Empty);
    }

    fn mapping(&mut self, node: &mut Node, at: &Trail<'_>, blank: Blank, missing: Missing) {
        let absent = |node: &Node| match missing {
            Missing::Null => node.with(Value::Null),
            Missing::Empty => node.with(Value::Str(String::new())),
        };
        match &mut node.value {
            Value::Map(map) => {
                for value in map.values_mut() {
                    match value.scalar_text() {
                        Some(text) => value.value = Value::Str(text),
                        None => *value = absent(value),
                    }
                }
            }
            Value::Seq(items) => {
                let mut map = Map::new();
                let mut bad = Vec::new();
                for (i, item) in items.iter().enumerate() {
                    let text = item.value.to_string();
                    let (key, mut entry) = match text.split_once('=') {
                        Some((key, value)) => (key, item.with(Value::Str(value.to_owned()))),
                        None => (text.as_str(), absent(item)),
                    };
                    if blank == Blank::Refuse && key.ends_with(char::is_whitespace) {
                        bad.push((item.clone(), at.index(i), key.to_owned()));
                        continue;
                    }
                    entry.key = item.span;
                    map.insert(key.to_owned(), entry);
                }
                node.value = Value::Map(map);
                for (item, at, key) in bad {
                    self.problem(
                        &item,
                        &at,
                        "bad-variable-name",
                        format!("environment variable {key} is declared with a trailing space"),
                        "remove the space before `=`",
                    );
                }
            }
            _ => {}
        }
    }

    fn texts(&mut self, node: &mut Node, _at: &Trail<'_>) {
        if matches!(node.value, Value::Str(_)) {
            node.value = Value::Seq(vec![node.clone()]);
        }
    }

    fn numbers_as_text(&mut self, node: &mut Node, at: &Trail<'_>) {
        for (i, item) in node.as_seq_mut().into_iter().flatten().enumerate() {
            if matches!(item.value, Value::Float(_)) {
                let message = format!("`{}` is not a whole number", item.value);
                self.problem(
                    item,
                    &at.index(i),
                    "bad-value",
                    message,
                    "quote it if it is a name, or write a whole number",
                );
            }
            as_text(item);
        }
    }

    fn provider_option(node: &mut Node) {
        if !matches!(node.value, Value::Seq(_)) {
            node.value = Value::Seq(vec![node.clone()]);
        }
        node.as_seq_mut().into_iter().flatten().for_each(as_text);
    }

    fn mode(&mut self, node: &mut Node, at: &Trail<'_>) {
        if let Value::Float(number) = node.value {
            self.problem(
                node,
                at,
                "bad-mode",
                format!("`{at}`: `{}` is not a whole number", Value::Float(number)),
                "write permission bits such as `0440`",
            );
            node.value = Value::Int(0);
        }
        let Some(text) = node.as_str().map(str::to_owned) else {
            return;
        };
        match i64::from_str_radix(&text, 8) {
            Ok(mode) => node.value = Value::Int(mode.into()),
            Err(_) => {
                self.problem(
                    node,
                    at,
                    "bad-mode",
                    format!("`{at}`: `{text}` is not an octal number"),
                    "write permission bits such as `0440`",
                );
                node.value = Value::Int(0);
            }
        }
    }

    /// A mode that takes no text, unlike the others.
    fn bits(&mut self, node: &mut Node, at: &Trail<'_>) {
        let Some(text) = node.as_str().map(str::to_owned) else {
            return;
        };
        self.problem(
            node,
            at,
            "bad-type",
            format!("`{at}` must be a number, not a string"),
            &format!("remove the quotes: `0{}`", text.trim_start_matches('0')),
        );
        node.value = Value::Int(0);
    }

    fn count(&mut self, node: &mut Node, at: &Trail<'_>) {
        let Some(text) = node.as_str().map(str::to_owned) else {
            return;
        };
        if text.eq_ignore_ascii_case("all") {
            node.value = Value::Int(-1);
        } else if let Ok(n) = text.parse() {
            node.value = Value::Int(n);
        } else {
            self.problem(
                node,
                at,
                "bad-value",
                format!(
                    "`{at}`: invalid value \"{text}\", the only value allowed is 'all' or a number"
                ),
                "write `all` or a number",
            );
            node.value = Value::Int(0);
        }
    }

    fn ulimit(&mut self, node: &mut Node, at: &Trail<'_>) {
        match &node.value {
            Value::Map(_) => {}
            Value::Int(_) => {
                let mut map = Map::new();
                map.insert("single".to_owned(), node.clone());
                node.value = Value::Map(map);
            }
            _ => {
                let text = node.value.to_string();
                self.problem(
                    node,
                    at,
                    "bad-value",
                    format!("`{at}`: `{text}` is not a limit"),
                    "write a number, or `soft` and `hard`",
                );
                node.value = Value::Map(Map::new());
            }
        }
    }

    fn ssh(&mut self, node: &mut Node, _at: &Trail<'_>) {
        if let Value::Map(map) = &node.value {
            let items = map
                .iter()
                .map(|(id, path)| match path.scalar_text() {
                    Some(path_text) if !path_text.is_empty() => {
                        path.with(Value::Str(format!("{id}={path_text}")))
                    }
                    _ => path.with(Value::Str(id.clone())),
                })
                .collect();
            node.value = Value::Seq(items);
        }
    }

    /// To a sorted list of `host=address`.
    fn hosts(&mut self, node: &mut Node, at: &Trail<'_>) {
        let mut pairs: Vec<(String, String, Node)> = Vec::new();
        let mut bad: Vec<(Node, Option<usize>, String)> = Vec::new();
        match &node.value {
            Value::Map(map) => {
                for (host, value) in map {
                    match &value.value {
                        Value::Seq(list) => {
                            for address in list {
                                pairs.push((
                                    host.clone(),
                                    address.value.to_string(),
                                    address.clone(),
                                ));
                            }
                        }
                        Value::Null => pairs.push((host.clone(), String::new(), value.clone())),
                        other => pairs.push((host.clone(), other.to_string(), value.clone())),
                    }
                }
            }
            Value::Seq(items) => {
                for (i, item) in items.iter().enumerate() {
                    let text = item.value.to_string();
                    match text.split_once('=').or_else(|| text.split_once(':')) {
                        Some((host, addresses)) => {
                            for address in addresses.split(',') {
                                pairs.push((host.to_owned(), address.to_owned(), item.clone()));
                            }
                        }
                        None => bad.push((
                            item.clone(),
                            Some(i),
                            format!("invalid additional host, missing IP: {text}"),
                        )),
                    }
                }
            }
            _ => return,
        }
        let mut list = Vec::new();
        for (host, address, place) in pairs {
            if host.is_empty() || host.contains([':', '=']) {
                bad.push((place, None, format!("bad host name '{host}'")));
                continue;
            }
            let address = match address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
                Some(inner) if !inner.is_empty() => inner,
                _ => &address,
            };
            list.push(place.with(Value::Str(format!("{host}={address}"))));
        }
        for (item, index, message) in bad {
            let at = index.map_or(*at, |i| at.index(i));
            self.problem(&item, &at, "bad-host", message, "write `host=address`");
        }
        list.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        node.value = Value::Seq(list);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Blank {
    Allow,
    Refuse,
}

#[derive(Clone, Copy)]
enum Missing {
    Null,
    Empty,
}

fn as_text(node: &mut Node) {
    if let Some(text) = node.scalar_text() {
        node.value = Value::Str(text);
    }
}

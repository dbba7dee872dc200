//! The model and parts of it as text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result as IoResult, Write};

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::View;
use crate::cli::error::CliError;
use crate::loader::tree::Path;
use crate::loader::variables::Used;
use crate::loader::{self, LoadedTree, emit};
use crate::model::{Project, canonical, config_hash};
use crate::ui::table::Table;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Yaml,
    Json,
}

/// Whether `$` is doubled, so that the output loads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dollars {
    Double,
    Keep,
}

/// What a view shows of a project, one name a line or as a document.
pub(super) fn list(
    view: View,
    hash: Option<&str>,
    project: &Project,
    form: Form,
) -> Result<String, CliError> {
    let names = |names: Vec<&String>| lines(names.into_iter().cloned());
    Ok(match view {
        View::Services => names(project.services.keys().collect()),
        View::Volumes => names(project.volumes.keys().collect()),
        View::Networks => names(project.networks.keys().collect()),
        View::Models => lines(
            project
                .models
                .values()
                .filter(|m| !m.model.is_empty())
                .map(|m| m.model.clone()),
        ),
        View::Profiles => {
            let all: BTreeSet<String> = project
                .services
                .values()
                .chain(project.disabled_services.values())
                .flat_map(|s| s.profiles.iter().cloned())
                .collect();
            lines(all)
        }
        View::Images => lines(project.services.iter().map(|(name, service)| {
            if service.image.is_empty() {
                format!("{}-{name}", project.name)
            } else {
                service.image.clone()
            }
        })),
        View::Hash => hashes(hash.unwrap_or("*"), project)?,
        View::Environment => lines(project.environment.iter().map(|(k, v)| format!("{k}={v}"))),
        View::Document | View::Variables => {
            let document = match form {
                Form::Json => canonical::json(project),
                Form::Yaml => canonical::yaml(project),
            };
            render(&document, form, Dollars::Double)?
        }
    })
}

fn lines(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().map(|item| item + "\n").collect()
}

fn hashes(names: &str, project: &Project) -> Result<String, CliError> {
    if names == "*" {
        return Ok(lines(project.services.iter().map(|(name, service)| {
            format!("{name} {}", config_hash(service))
        })));
    }
    let mut wanted: Vec<&str> = names.split(',').collect();
    wanted.sort_unstable();
    let mut text = String::new();
    for name in wanted {
        let service = project
            .services
            .get(name)
            .ok_or_else(|| CliError::NotFound {
                what: "service",
                name: name.to_owned(),
                hint: project
                    .disabled_services
                    .get(name)
                    .map(|off| format!("a profile enables it: {}", off.profiles.join(", "))),
            })?;
        text += &format!("{name} {}\n", config_hash(service));
    }
    Ok(text)
}

/// A document as text.
///
/// # Errors
/// A number that JSON has not.
pub(super) fn render(document: &Value, form: Form, dollars: Dollars) -> Result<String, CliError> {
    let text = match form {
        Form::Yaml => emit::yaml(document),
        Form::Json => {
            if let Some(number) = canonical::not_in_json(document) {
                return Err(CliError::usage(format!(
                    "JSON has no number `{number}`: use `--format yaml`"
                )));
            }
            let text = pretty(document).map_err(|source| CliError::Io {
                what: "write the document as JSON".to_owned(),
                source: source.into(),
            })?;
            canonical::escape_html(&text)
        }
    };
    Ok(match dollars {
        Dollars::Double => text.replace('$', "$$"),
        Dollars::Keep => text,
    })
}

/// Indented JSON, with numbers as Go writes them: whole ones without a fraction.
fn pretty(document: &Value) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, GoNumbers(PrettyFormatter::new()));
    document.serialize(&mut serializer)?;
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

struct GoNumbers<'a>(PrettyFormatter<'a>);

/// Hands the parts of a document on to the other formatter.
macro_rules! hand_on {
    ($($part:ident $(($first:ident))?),*) => { $(
        fn $part<W: ?Sized + Write>(&mut self, out: &mut W $(, $first: bool)?) -> IoResult<()> {
            self.0.$part(out $(, $first)?)
        }
    )* };
}

impl Formatter for GoNumbers<'_> {
    hand_on!(
        begin_array,
        end_array,
        begin_array_value(first),
        end_array_value,
        begin_object,
        end_object,
        begin_object_key(first),
        begin_object_value,
        end_object_value
    );

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> IoResult<()> {
        let magnitude = value.abs();
        if value == 0.0 || (1e-6..1e21).contains(&magnitude) {
            return write!(out, "{value}");
        }
        let text = format!("{value:e}");
        let sign = if text.contains("e-") { "" } else { "+" };
        out.write_all(text.replace('e', &format!("e{sign}")).as_bytes())
    }
}

/// The document of `--no-interpolate`: nothing is typed, keys are in order. As docker compose
/// prints them, JSON has no empty lists there but those whose items are unique; of these, what
/// normalizing makes anew is none again.
pub(super) fn untyped(mut document: Value, form: Form, normalized: bool) -> Value {
    if form == Form::Yaml {
        return canonical::natural(document);
    }
    canonical::dates_as_text(&mut document);
    let anew: [&[&str]; 2] = [
        &["services", "*", "environment"],
        &["services", "*", "build", "args"],
    ];
    let keeps = |path: &Path| {
        let made_anew = normalized && anew.iter().any(|pattern| path.matches(pattern));
        loader::has_unique_items(path) && !made_anew
    };
    sorted(document, &Path::default(), &keeps)
}

/// With keys in order; `keeps` says which empty lists stay.
fn sorted(value: Value, path: &Path, keeps: &dyn Fn(&Path) -> bool) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().collect();
            let entries = ordered.into_iter().map(|(k, v)| {
                let at = path.key(&k);
                (k, sorted(v, &at, keeps))
            });
            entries.collect()
        }
        Value::Array(list) if list.is_empty() && !keeps(path) => Value::Null,
        Value::Array(list) => {
            let items = list.into_iter().enumerate();
            items
                .map(|(i, v)| sorted(v, &path.index(i), keeps))
                .collect()
        }
        other => other,
    }
}

/// The services of a tree, also those of profiles that are not enabled.
pub(super) fn names_of_services(tree: &LoadedTree) -> String {
    let services = tree.root.get("services").and_then(|s| s.as_map());
    lines(services.into_iter().flat_map(|s| s.keys().cloned()))
}

/// Indented twice as much, as docker compose does with variables. No value has a line of its own.
fn wider(text: &str) -> String {
    let line = |line: &str| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        format!("{}{line}", " ".repeat(blanks))
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Every variable the files use: a table, unless a document was asked for.
pub(super) fn variables(tree: &LoadedTree, format: Option<&str>) -> String {
    let found = loader::variables::of(&tree.root);
    let document = |keys: [&str; 4]| -> Value {
        let fields = |v: &Used| -> Value {
            let values: [Value; 4] = [
                v.name.clone().into(),
                v.default.clone().into(),
                v.alternate.clone().into(),
                v.required.into(),
            ];
            keys.iter().map(ToString::to_string).zip(values).collect()
        };
        found.iter().map(|v| (v.name.clone(), fields(v))).collect()
    };
    match format {
        Some("json") => {
            let document = document(["Name", "DefaultValue", "PresenceValue", "Required"]);
            let pretty = serde_json::to_string_pretty(&document).unwrap_or_default();
            canonical::escape_html(&wider(&pretty)) + "\n\n"
        }
        Some(_) => {
            let keys = ["name", "defaultvalue", "presencevalue", "required"];
            wider(&emit::yaml(&canonical::natural_keys(document(keys))))
        }
        None => {
            let columns = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"];
            let mut table = Table::new(&columns, 20);
            for v in found {
                table.row(vec![v.name, v.required.to_string(), v.default, v.alternate]);
            }
            table.render()
        }
    }
}

//! Values and keys that name something: a service, a network, a file, and so on.

use std::ops::Range;

use super::outline::{Kind, Outline, Step};

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A service of the project.
    Service,
    /// A service of the file that `extends` names.
    Base,
    /// A top-level network.
    Network,
    /// A top-level volume.
    Volume,
    /// A top-level secret.
    Secret,
    /// A top-level config.
    Config,
    /// A top-level model.
    Model,
    /// A profile.
    Profile,
    /// A file.
    File,
}

impl What {
    /// The top-level element that defines it.
    pub fn section(self) -> Option<&'static str> {
        Some(match self {
            Self::Service | Self::Base => "services",
            Self::Network => "networks",
            Self::Volume => "volumes",
            Self::Secret => "secrets",
            Self::Config => "configs",
            Self::Model => "models",
            Self::Profile | Self::File => return None,
        })
    }

    /// In a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Service | Self::Base => "service",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Model => "model",
            Self::Profile => "profile",
            Self::File => "file",
        }
    }
}

/// How the name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Alone.
    Whole,
    /// Before the first colon.
    BeforeColon,
    /// After `service:`.
    AfterService,
    /// Before the first colon, unless it is a path.
    MountSource,
    /// Alone, unless it is a path.
    NoPath,
}

/// What the value at a path names.
pub fn of_value(path: &[Step]) -> Option<(What, Form)> {
    use Form::{AfterService, BeforeColon, MountSource, NoPath, Whole};
    let parts = words(path);
    let service = match parts.as_slice() {
        ["services", _, rest @ ..] => rest,
        ["include", "[]"]
        | ["include", "[]", "path" | "env_file"]
        | ["include", "[]", "path" | "env_file", "[]"]
        | ["secrets" | "configs", _, "file"] => return Some((What::File, Whole)),
        _ => return None,
    };
    Some(match service {
        ["depends_on", "[]"] => (What::Service, Whole),
        ["extends"] | ["extends", "service"] => (What::Base, Whole),
        ["extends", "file"] => (What::File, Whole),
        ["links" | "volumes_from", "[]"] => (What::Service, BeforeColon),
        ["network_mode" | "ipc" | "pid"] | ["build", "additional_contexts", _] => {
            (What::Service, AfterService)
        }
        ["networks", "[]"] => (What::Network, Whole),
        ["volumes", "[]"] => (What::Volume, MountSource),
        ["volumes", "[]", "source"] => (What::Volume, NoPath),
        ["secrets", "[]"]
        | ["secrets", "[]", "source"]
        | ["build", "secrets", "[]"]
        | ["build", "secrets", "[]", "source"] => (What::Secret, Whole),
        ["configs", "[]"] | ["configs", "[]", "source"] | ["credential_spec", "config"] => {
            (What::Config, Whole)
        }
        ["models", "[]"] => (What::Model, Whole),
        ["profiles", "[]"] => (What::Profile, Whole),
        ["env_file" | "label_file"]
        | ["env_file" | "label_file", "[]"]
        | ["env_file", "[]", "path"] => (What::File, Whole),
        _ => return None,
    })
}

/// What the keys of the mapping at a path name.
pub fn of_keys(path: &[Step]) -> Option<What> {
    Some(match words(path).as_slice() {
        ["services", _, "depends_on"] => What::Service,
        ["services", _, "networks"] => What::Network,
        ["services", _, "models"] => What::Model,
        _ => return None,
    })
}

/// What the keys of the mapping at a path define.
pub fn defined_by(path: &[Step]) -> Option<What> {
    Some(match words(path).as_slice() {
        ["services"] => What::Service,
        ["networks"] => What::Network,
        ["volumes"] => What::Volume,
        ["secrets"] => What::Secret,
        ["configs"] => What::Config,
        ["models"] => What::Model,
        _ => return None,
    })
}

fn words(path: &[Step]) -> Vec<&str> {
    path.iter()
        .map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Item(_) => "[]",
        })
        .collect()
}

/// A name in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it names.
    pub what: What,
    /// The name.
    pub text: String,
    /// Where it is written.
    pub at: Range<usize>,
    /// The entry it belongs to.
    pub entry: usize,
    /// Whether it is defined here rather than used.
    pub defines: bool,
}

/// The name at a byte.
pub fn at(text: &str, outline: &Outline, offset: usize) -> Option<Name> {
    let index = outline.before(offset)?;
    let entry = outline.get(index)?;
    let path = outline.path(index);
    if let Some(key) = entry.key()
        && offset <= entry.at.end
    {
        let around = path.split_last().map_or(&[][..], |(_, around)| around);
        let defined = defined_by(around);
        return defined.or_else(|| of_keys(around)).map(|what| Name {
            what,
            text: key.to_owned(),
            at: entry.at.clone(),
            entry: index,
            defines: defined.is_some(),
        });
    }
    if !matches!(entry.kind, Kind::Plain | Kind::Quoted)
        || offset < entry.value.start
        || offset > entry.value.end
    {
        return None;
    }
    let (what, form) = of_value(&path)?;
    let raw = text.get(entry.value.clone())?;
    let inner = raw.trim_matches(['"', '\'']);
    let start = entry.value.start + (raw.len() - raw.trim_start_matches(['"', '\'']).len());
    let (skip, name) = part(inner, form)?;
    let at = start + skip..start + skip + name.len();
    (at.start <= offset && offset <= at.end).then(|| Name {
        what,
        text: name.to_owned(),
        at,
        entry: index,
        defines: what == What::Profile,
    })
}

/// Every name of a text that is written like this one.
pub fn all(text: &str, outline: &Outline, wanted: &Name) -> Vec<Name> {
    let same =
        |what: What| what.section() == wanted.what.section() && what.word() == wanted.what.word();
    outline
        .entries()
        .iter()
        .flat_map(|entry| {
            // A value may have a word before the name (`service:`): its end is inside the name,
            // or the name ends at the first colon.
            let value = text.get(entry.value.clone()).unwrap_or_default();
            let quotes = usize::from(value.ends_with(['"', '\'']));
            let head = value
                .find(':')
                .map_or(entry.value.end, |i| entry.value.start + i);
            [entry.at.start, entry.value.end.saturating_sub(quotes), head]
        })
        .filter(|offset| text.is_char_boundary(*offset))
        .filter_map(|offset| at(text, outline, offset))
        .filter(|name| name.text == wanted.text && same(name.what))
        .fold(Vec::new(), |mut found, name| {
            if found.iter().all(|known: &Name| known.at != name.at) {
                found.push(name);
            }
            found
        })
}

/// The name in a value, and how many bytes stand before it.
pub fn part(value: &str, form: Form) -> Option<(usize, &str)> {
    let head = || value.split(':').next().unwrap_or(value);
    let is_path = |name: &str| name.starts_with(['.', '/', '~', '$']) || name.contains('/');
    let (skip, name) = match form {
        Form::Whole => (0, value),
        Form::BeforeColon if value.starts_with("container:") => return None,
        Form::BeforeColon => (0, head()),
        Form::AfterService => {
            let name = value.strip_prefix("service:")?;
            (value.len() - name.len(), name)
        }
        Form::MountSource if is_path(head()) || !value.contains(':') => return None,
        Form::MountSource => (0, head()),
        Form::NoPath if is_path(value) => return None,
        Form::NoPath => (0, value),
    };
    (!name.is_empty()).then_some((skip, name))
}

/// The file that an `extends` mapping names, for the entry of its service.
pub fn file_of_base<'t>(text: &'t str, outline: &Outline, entry: usize) -> Option<&'t str> {
    let parent = outline.get(entry)?.parent?;
    outline
        .children(Some(parent))
        .find(|(_, sibling)| sibling.key() == Some("file"))
        .filter(|_| {
            outline
                .get(parent)
                .is_some_and(|p| p.key() == Some("extends"))
        })
        .and_then(|(_, file)| text.get(file.value.clone()))
        .map(|raw| raw.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(marked: &str) -> Option<(What, String)> {
        let offset = marked.find('|')?;
        let text = marked.replacen('|', "", 1);
        at(&text, &Outline::of(&text), offset).map(|name| {
            assert_eq!(text[name.at.clone()].trim_matches(['"', '\'']), name.text);
            (name.what, name.text)
        })
    }

    #[test]
    fn names_are_found_in_every_form() {
        let service = |line: &str| {
            name(&format!("services:\n  web:\n    {line}\n"))
                .map(|(what, text)| format!("{} {text}", what.word()))
        };
        let cases = [
            ("depends_on: [d|b]", Some("service db")),
            ("depends_on:\n      - 'd|b'", Some("service db")),
            ("depends_on:\n      d|b: {condition: x}", Some("service db")),
            ("extends: d|b", Some("service db")),
            ("extends: {file: a.yaml, service: d|b}", Some("service db")),
            ("extends: {file: a.ya|ml, service: db}", Some("file a.yaml")),
            ("links: ['d|b:alias']", Some("service db")),
            ("links: ['db:al|ias']", None),
            ("volumes_from: [container:x|]", None),
            ("network_mode: service:d|b", Some("service db")),
            ("network_mode: ho|st", None),
            ("networks:\n      ba|ck:", Some("network back")),
            ("networks: [ba|ck]", Some("network back")),
            ("volumes: ['da|ta:/x']", Some("volume data")),
            ("volumes: ['./da|ta:/x']", None),
            ("volumes: ['/da|ta']", None),
            ("volumes:\n      - source: da|ta", Some("volume data")),
            ("secrets: [{source: k|ey}]", Some("secret key")),
            ("build: {secrets: [k|ey]}", Some("secret key")),
            ("profiles: [d|ev]", Some("profile dev")),
            ("env_file: a.e|nv", Some("file a.env")),
            ("image: d|b", None),
        ];
        for (line, expected) in cases {
            assert_eq!(service(line).as_deref(), expected, "{line}");
        }
        assert_eq!(
            name("include: [a|.yaml]"),
            Some((What::File, "a.yaml".to_owned()))
        );
        assert_eq!(
            name("volumes:\n  da|ta:\n"),
            Some((What::Volume, "data".to_owned()))
        );
    }

    #[test]
    fn all_uses_of_a_name_are_found() {
        let text = "\
services:
  db: {image: db}
  web:
    depends_on: [db, 'db2', ca]
    links: [\"db:alias\"]
    network_mode: service:db
    networks: [db]
  api:
    depends_on:
      db: {condition: service_started}
    volumes_from: ['db']
";
        let outline = Outline::of(text);
        let name = at(text, &outline, text.find("db:").expect("there")).expect("a name");
        let lines: Vec<usize> = all(text, &outline, &name)
            .iter()
            .map(|name| text[..name.at.start].matches('\n').count())
            .collect();
        assert_eq!(lines, [1, 3, 4, 5, 8 + 1, 8 + 2]);
    }

    #[test]
    fn a_base_may_be_in_another_file() {
        let text = "services:\n  web:\n    extends:\n      file: \"a.yaml\"\n      service: db\n";
        let outline = Outline::of(text);
        let entry = outline
            .find(&["services", "web", "extends", "service"])
            .expect("there");
        assert_eq!(file_of_base(text, &outline, entry), Some("a.yaml"));
    }
}

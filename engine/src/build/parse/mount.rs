//! `RUN --mount=…`: comma-separated keys, checked before and after expansion.

use super::directive::parse_bool;
use crate::build::diagnostic::did_you_mean;

const KEYS: &[&str] = &[
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "size",
    "env",
];

/// A mount as it was written, with what can be known before expansion.
#[derive(Clone, Debug)]
pub(in crate::build) struct MountText {
    /// The value of the flag.
    pub(in crate::build) text: String,
    /// Stage, image or named context that a bind or cache mount reads from.
    pub(in crate::build) from: Option<String>,
}

/// A mount, expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct Mount {
    pub(in crate::build) kind: MountType,
    /// As written; relative to `WORKDIR`. Empty for secrets and agents that name none.
    pub(in crate::build) target: String,
    pub(in crate::build) source: String,
    pub(in crate::build) from: Option<String>,
    pub(in crate::build) read_only: bool,
    pub(in crate::build) id: Option<String>,
    pub(in crate::build) sharing: Sharing,
    pub(in crate::build) required: bool,
    pub(in crate::build) env: Option<String>,
    pub(in crate::build) size: Option<u64>,
    pub(in crate::build) mode: Option<u32>,
    pub(in crate::build) uid: Option<u32>,
    pub(in crate::build) gid: Option<u32>,
}

/// Types of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::build) enum MountType {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::build) enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One each.
    Private,
    /// One after another.
    Locked,
}

/// What was written, where that matters later.
#[derive(Default)]
struct Given {
    keys: Vec<String>,
    read_only: Option<bool>,
    sharing: Option<Sharing>,
}

/// What is wrong with a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct BadMount {
    pub(in crate::build) message: String,
    pub(in crate::build) help: Option<String>,
}

fn bad(message: impl Into<String>) -> BadMount {
    BadMount {
        message: message.into(),
        help: None,
    }
}

impl MountText {
    /// Reads what needs no expansion; checks everything when the text has no variable.
    pub(super) fn new(text: String) -> Result<Self, BadMount> {
        let mut from = None;
        for field in csv(&text)? {
            if let Some((key, value)) = field.split_once('=')
                && key.eq_ignore_ascii_case("from")
            {
                if value.contains('$') {
                    return Err(BadMount {
                        message: "`from` doesn't support variable expansion".into(),
                        help: Some(
                            "define a stage with `FROM image:$TAG AS name` and use its name".into(),
                        ),
                    });
                }
                from = Some(value.to_owned());
            }
        }
        if !text.contains('$') {
            Mount::parse(&text, &mut |value| Ok(value.to_owned()))?;
        }
        Ok(Self { text, from })
    }
}

impl Mount {
    /// Reads a mount; `expand` is applied to every value but that of `from`.
    pub(in crate::build) fn parse(
        text: &str,
        expand: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, BadMount> {
        let mut mount = Self::new();
        let mut given = Given::default();
        for field in csv(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("from") => (key, Some(value.into())),
                Some((key, value)) => (key, Some(expand(value).map_err(bad)?)),
                None => (field.as_str(), None),
            };
            let key = key.to_ascii_lowercase();
            match value {
                Some(value) => mount.set(&field, &key, value, &mut given)?,
                None => match key.as_str() {
                    "readonly" | "ro" => given.read_only = Some(true),
                    "readwrite" | "rw" => given.read_only = Some(false),
                    "required" => mount.required = true,
                    _ => return Err(bad(format!("field `{field}` must be a key=value pair"))),
                },
            }
            given.keys.push(key);
        }
        mount.check(&given)?;
        Ok(mount)
    }

    /// A mount of nothing, with what holds where nothing is said.
    fn new() -> Self {
        Self {
            kind: MountType::Bind,
            target: String::new(),
            source: String::new(),
            from: None,
            read_only: true,
            id: None,
            sharing: Sharing::Shared,
            required: false,
            env: None,
            size: None,
            mode: None,
            uid: None,
            gid: None,
        }
    }

    /// Takes one `key=value`.
    fn set(
        &mut self,
        field: &str,
        key: &str,
        value: String,
        given: &mut Given,
    ) -> Result<(), BadMount> {
        match key {
            "type" => self.kind = kind(&value)?,
            "from" => self.from = Some(value),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => given.read_only = Some(boolean(key, &value)?),
            "readwrite" | "rw" => given.read_only = Some(!boolean(key, &value)?),
            "required" => self.required = boolean(key, &value)?,
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "sharing" => given.sharing = Some(sharing(&value)?),
            "mode" => self.mode = Some(mode(&value)?),
            "uid" => self.uid = Some(number(key, &value)?),
            "gid" => self.gid = Some(number(key, &value)?),
            "size" => {
                let size = size(&value).ok_or_else(|| bad(format!("invalid size `{value}`")))?;
                self.size = Some(size);
            }
            _ => {
                let near = did_you_mean(key, KEYS.iter().copied());
                return Err(BadMount {
                    message: format!("unexpected key `{key}` in `{field}`"),
                    help: near.map(|near| format!("did you mean `{near}`?")),
                });
            }
        }
        Ok(())
    }

    /// Keys that do not fit the type; defaults that depend on it.
    fn check(&mut self, given: &Given) -> Result<(), BadMount> {
        use MountType::{Bind, Cache, Secret, Ssh, Tmpfs};
        let kind = self.kind;
        let fits = |key: &str| match key {
            "sharing" => kind == Cache,
            "size" => kind == Tmpfs,
            "mode" | "uid" | "gid" => matches!(kind, Cache | Secret | Ssh),
            "required" => matches!(kind, Secret | Ssh),
            "env" => kind == Secret,
            "from" => matches!(kind, Bind | Cache),
            "readonly" | "ro" | "readwrite" | "rw" => matches!(kind, Bind | Cache),
            _ => true,
        };
        if let Some(key) = given.keys.iter().find(|key| !fits(key)) {
            return Err(bad(format!(
                "unexpected key `{key}` for mount type `{}`",
                format!("{kind:?}").to_lowercase()
            )));
        }
        // Binds are read-only unless asked otherwise; caches are not.
        self.read_only = given.read_only.unwrap_or(kind == Bind);
        self.sharing = given.sharing.unwrap_or_default();
        if self.target.is_empty() && matches!(kind, Bind | Cache | Tmpfs) {
            return Err(bad("`target` is required"));
        }
        if matches!(kind, Bind | Cache | Tmpfs) && self.target == "/" {
            return Err(bad("`target` cannot be `/`"));
        }
        if kind == Secret && self.id.is_none() {
            if self.source.is_empty() && self.target.is_empty() && self.env.is_none() {
                return Err(bad("a secret needs `id`, `source` or `target`"));
            }
            // The reference takes the source, else the target's base name, as the id.
            let id = if !self.source.is_empty() {
                self.source.clone()
            } else {
                self.target
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            self.id = Some(id);
        }
        if kind == Ssh && self.id.is_none() && !self.source.is_empty() {
            self.id = Some(self.source.clone());
        }
        Ok(())
    }
}

fn kind(value: &str) -> Result<MountType, BadMount> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "bind" => MountType::Bind,
        "cache" => MountType::Cache,
        "tmpfs" => MountType::Tmpfs,
        "secret" => MountType::Secret,
        "ssh" => MountType::Ssh,
        other => {
            return Err(BadMount {
                message: format!("unsupported mount type `{other}`"),
                help: Some("one of bind, cache, tmpfs, secret, ssh".into()),
            });
        }
    })
}

fn sharing(value: &str) -> Result<Sharing, BadMount> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        other => {
            return Err(BadMount {
                message: format!("unsupported sharing value `{other}`"),
                help: Some("one of shared, private, locked".into()),
            });
        }
    })
}

fn mode(value: &str) -> Result<u32, BadMount> {
    u32::from_str_radix(value, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| bad(format!("invalid mode `{value}`: not octal")))
}

fn number(key: &str, value: &str) -> Result<u32, BadMount> {
    value
        .parse()
        .map_err(|_| bad(format!("invalid {key} `{value}`: not a number")))
}

fn boolean(key: &str, value: &str) -> Result<bool, BadMount> {
    parse_bool(value).ok_or_else(|| {
        bad(format!(
            "invalid value for `{key}`: `{value}` is not true or false"
        ))
    })
}

/// `64m`, `1g`, `4096`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower
        .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        .trim_end();
    let factor: u64 = match lower[digits.len()..].trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    let number: f64 = digits
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    Some((number * factor as f64) as u64)
}

/// One record of comma-separated values (RFC 4180 quoting).
fn csv(text: &str) -> Result<Vec<String>, BadMount> {
    let mut fields = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        let mut field = String::new();
        if characters.peek() == Some(&'"') {
            characters.next();
            loop {
                match characters.next() {
                    Some('"') if characters.peek() == Some(&'"') => {
                        characters.next();
                        field.push('"');
                    }
                    Some('"') => break,
                    Some(c) => field.push(c),
                    None => return Err(bad("a quote is not closed")),
                }
            }
            match characters.next() {
                Some(',') => {
                    fields.push(field);
                    continue;
                }
                None => {
                    fields.push(field);
                    return Ok(fields);
                }
                Some(_) => return Err(bad("text follows a closing quote")),
            }
        }
        loop {
            match characters.next() {
                Some(',') => break,
                Some('"') => return Err(bad("a bare quote inside a field")),
                Some(c) => field.push(c),
                None => {
                    fields.push(field);
                    return Ok(fields);
                }
            }
        }
        fields.push(field);
    }
}

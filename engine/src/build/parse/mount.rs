//! `RUN --mount=…`: comma-separated keys. What they say is checked after expansion, where the instruction is reached.

use super::directive::parse_bool;
use crate::build::diagnostic::did_you_mean;
use crate::build::values;

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
    read_only: Option<bool>,
    sharing: Option<Sharing>,
}

/// What is wrong with a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct BadMount {
    pub(in crate::build) message: String,
    pub(in crate::build) help: Option<String>,
}

impl BadMount {
    /// The message about the flag.
    pub(in crate::build) fn of_flag(&self) -> String {
        format!("invalid `--mount`: {}", self.message)
    }
}

/// Where a mount may be.
pub(in crate::build) fn check_place(target: &str) -> Result<(), BadMount> {
    match target {
        "/" => Err(bad("`target` cannot be `/`")),
        _ => Ok(()),
    }
}

fn bad(message: impl Into<String>) -> BadMount {
    BadMount {
        message: message.into(),
        help: None,
    }
}

impl MountText {
    /// Reads what needs no expansion.
    pub(super) fn new(text: String) -> Result<Self, BadMount> {
        let mut from = None;
        for field in csv(&text)? {
            if let Some((key, value)) = field.split_once('=')
                && key.eq_ignore_ascii_case("from")
            {
                // A `$` at the very end means itself.
                if value.find('$').is_some_and(|at| at + 1 != value.len()) {
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
                    "required" => mount.require(&key, true)?,
                    _ => return Err(bad(format!("field `{field}` must be a key=value pair"))),
                },
            }
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
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => given.read_only = Some(boolean(key, &value)?),
            "readwrite" | "rw" => given.read_only = Some(!boolean(key, &value)?),
            "required" => self.require(key, boolean(key, &value)?)?,
            "id" => self.id = Some(value).filter(|id| !id.is_empty()),
            "env" => self.env = Some(value),
            "sharing" => given.sharing = Some(sharing(&value)?),
            "mode" => self.mode = Some(mode(&value)?),
            "uid" => self.uid = Some(number(key, &value)?),
            "gid" => self.gid = Some(number(key, &value)?),
            "size" if self.kind != MountType::Tmpfs => return Err(self.unexpected(key)),
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

    /// The type that counts is the one that stands before it.
    fn require(&mut self, key: &str, required: bool) -> Result<(), BadMount> {
        if !matches!(self.kind, MountType::Secret | MountType::Ssh) {
            return Err(self.unexpected(key));
        }
        self.required = required;
        Ok(())
    }

    fn unexpected(&self, key: &str) -> BadMount {
        let kind = self.kind.name();
        bad(format!("unexpected key `{key}` for mount type `{kind}`"))
    }

    /// Keys that do not fit the type; defaults that depend on it.
    fn check(&mut self, given: &Given) -> Result<(), BadMount> {
        use MountType::{Bind, Cache, Secret, Ssh, Tmpfs};
        let owned = [
            ("mode", self.mode.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
        ];
        if let (Bind | Tmpfs, Some((key, _))) = (self.kind, owned.iter().find(|(_, given)| *given))
        {
            return Err(self.unexpected(key));
        }
        if given.sharing.is_some() && self.kind != Cache {
            return Err(self.unexpected("sharing"));
        }
        self.sharing = given.sharing.unwrap_or_default();
        // Binds are read-only unless asked otherwise; caches are not. The others take the word and do nothing with it.
        self.read_only = match self.kind {
            Bind => given.read_only.unwrap_or(true),
            Cache | Tmpfs => given.read_only.unwrap_or(false),
            Secret | Ssh => false,
        };
        match self.kind {
            Bind => check_place(&self.target),
            Cache | Tmpfs => {
                check_place(&self.target)?;
                self.check_source()
            }
            Secret => self.check_secret(),
            Ssh if !self.source.is_empty() => Err(bad("an ssh mount takes no `source`")),
            Ssh => Ok(()),
        }
    }

    /// In an empty directory there is nothing that `source` could name.
    fn check_source(&self) -> Result<(), BadMount> {
        let filled = self.kind == MountType::Cache && self.from.is_some();
        if filled || values::clean(&format!("/{}", self.source)) == "/" {
            return Ok(());
        }
        let kind = self.kind.name();
        Err(bad(format!(
            "a mount of type `{kind}` without `from` begins empty: there is no `source` in it"
        )))
    }

    fn check_secret(&mut self) -> Result<(), BadMount> {
        if self.from.is_some() {
            return Err(self.unexpected("from"));
        }
        if self.env.as_deref() == Some("") {
            return Err(bad("`env` names no variable"));
        }
        self.id = Some(match (self.source.as_str(), self.id.take()) {
            ("", Some(id)) => id,
            (_, Some(_)) => return Err(bad("a secret cannot have both `source` and `id`")),
            ("", None) if self.target.is_empty() => {
                return Err(bad("a secret needs `id`, `source` or `target`"));
            }
            // The target's base name is the id then.
            ("", None) => {
                let target = self.target.trim_end_matches('/');
                target.rsplit('/').next().unwrap_or_default().to_owned()
            }
            (source, None) => source.to_owned(),
        });
        Ok(())
    }
}

impl MountType {
    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
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
    digits(value)
        .and_then(|value| u32::from_str_radix(value, 8).ok())
        .map(|mode| mode & 0o7777)
        .ok_or_else(|| bad(format!("invalid mode `{value}`: not octal")))
}

fn number(key: &str, value: &str) -> Result<u32, BadMount> {
    digits(value)
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| bad(format!("invalid {key} `{value}`: not a number")))
}

/// Rust would take a sign too.
fn digits(value: &str) -> Option<&str> {
    value.bytes().all(|b| b.is_ascii_digit()).then_some(value)
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
        "p" | "pb" | "pib" => 1 << 50,
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

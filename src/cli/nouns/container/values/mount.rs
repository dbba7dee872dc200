//! `--mount`: fields separated by commas, quoted as in CSV (RFC 4180).

use std::collections::BTreeMap;

use gantry_engine::spec::{BindOptions, MountKind, MountSpec, Propagation, TmpfsOptions};
use gantry_engine::volume::VolumeSpec;

use super::{Parsed, absolute};
use crate::lower::words;

/// `type=…,source=…,target=…`.
pub fn mount(text: &str) -> Parsed<MountSpec> {
    let mut given = Given::parse(text)?;
    let kind = given.take("type").unwrap_or_else(|| "volume".to_owned());
    let target = given.take("target").ok_or("target= is missing")?;
    let read_only = given.flag("readonly")?;
    let source = given.take("source");
    if let Some(word) = given.take("consistency") {
        // Of other systems; here files are always the same on both sides.
        let known = ["consistent", "cached", "delegated", "default"];
        if !known.contains(&word.as_str()) {
            return Err(format!("consistency `{word}`: {}", known.join(", ")));
        }
    }
    let kind = match kind.as_str() {
        "bind" => bind(&mut given, source, read_only)?,
        "volume" => volume(&mut given, source)?,
        "tmpfs" if source.is_some() => return Err("a tmpfs has no source".to_owned()),
        "tmpfs" => MountKind::Tmpfs(TmpfsOptions {
            size: given
                .take("tmpfs-size")
                .as_deref()
                .map(words::size)
                .transpose()?,
            mode: given
                .take("tmpfs-mode")
                .as_deref()
                .map(words::octal)
                .transpose()?,
            ..TmpfsOptions::default()
        }),
        "image" => MountKind::Image {
            reference: source.ok_or("an image mount needs source=")?,
            subpath: given.take("image-subpath"),
        },
        other => {
            return Err(format!(
                "type `{other}` is not supported: bind, volume, tmpfs or image"
            ));
        }
    };
    match given.0.keys().next() {
        Some(unknown) => Err(format!("`{unknown}` is not a known option")),
        None => Ok(MountSpec {
            target,
            kind,
            read_only,
        }),
    }
}

fn bind(given: &mut Given, source: Option<String>, read_only: bool) -> Parsed<MountKind> {
    let source = absolute(&source.ok_or("a bind needs source=")?)?;
    let asked = given.take("bind-propagation");
    let recursive = given.take("bind-recursive");
    let non_recursive = given.flag("bind-nonrecursive")?;
    let private = asked.as_deref().is_none_or(|word| word == "rprivate");
    let non_recursive = match recursive.as_deref() {
        None => non_recursive,
        Some("disabled") => true,
        Some("" | "enabled" | "true" | "1") => false,
        Some("writable") => false,
        Some("readonly") if read_only && private => false,
        Some("readonly") => {
            return Err(
                "bind-recursive=readonly needs readonly and bind-propagation=rprivate".to_owned(),
            );
        }
        Some(other) => {
            return Err(format!(
                "bind-recursive `{other}`: enabled, disabled, writable or readonly"
            ));
        }
    };
    Ok(MountKind::Bind {
        source,
        options: BindOptions {
            create_source: given.flag("bind-create-src")?,
            non_recursive,
            writable_below: recursive.as_deref() == Some("writable"),
            propagation: asked
                .as_deref()
                .map_or(Ok(Propagation::default()), words::propagation)?,
            idmap: given.flag("idmap")?,
        },
    })
}

fn volume(given: &mut Given, source: Option<String>) -> Parsed<MountKind> {
    if let Some(driver) = given
        .take("volume-driver")
        .filter(|driver| driver != "local")
    {
        return Err(format!("volume-driver `{driver}` is not supported: local"));
    }
    if let Some(path) = source.as_deref().filter(|name| name.contains('/')) {
        return Err(format!(
            "`{path}` is not a volume's name; a path needs type=bind"
        ));
    }
    // A container's specification has no place for them: see `volume_to_make`.
    if !given.all("volume-opt").is_empty() && source.is_none() {
        return Err("volume-opt needs source=, the name of the volume".to_owned());
    }
    let subpath = given.take("volume-subpath");
    if let Some(path) = &subpath
        && (path.starts_with('/') || path.split('/').any(|part| part == ".."))
    {
        return Err(format!("volume-subpath `{path}` leads out of the volume"));
    }
    Ok(MountKind::Volume {
        name: source,
        no_copy: given.flag("volume-nocopy")?,
        subpath,
        labels: given.pairs("volume-label"),
    })
}

/// The volume that a mount with `volume-opt=` needs before there can be a container.
pub fn volume_to_make(text: &str) -> Parsed<Option<VolumeSpec>> {
    let mut given = Given::parse(text)?;
    let options = given.pairs("volume-opt");
    if options.is_empty() {
        return Ok(None);
    }
    Ok(Some(VolumeSpec {
        name: given.take("source"),
        labels: given.pairs("volume-label"),
        options,
        ..VolumeSpec::default()
    }))
}

/// What is left of the fields, by name.
struct Given(BTreeMap<String, Vec<String>>);

impl Given {
    fn parse(text: &str) -> Parsed<Self> {
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for field in csv(text)? {
            let (key, value) = field.split_once('=').unwrap_or((&field, "true"));
            let key = match key {
                "src" => "source",
                "dst" | "destination" => "target",
                "ro" => "readonly",
                key => key,
            };
            let values = given.entry(key.to_owned()).or_default();
            values.push(value.to_owned());
        }
        Ok(Self(given))
    }

    /// The last of several counts.
    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)?.pop()
    }

    fn all(&mut self, key: &str) -> Vec<String> {
        self.0.remove(key).unwrap_or_default()
    }

    /// The values that are `key=value` themselves; a key alone has an empty value.
    fn pairs(&mut self, key: &str) -> BTreeMap<String, String> {
        let pair = |text: String| {
            let (key, value) = text.split_once('=').unwrap_or((&text, ""));
            (key.to_owned(), value.to_owned())
        };
        self.all(key).into_iter().map(pair).collect()
    }

    fn flag(&mut self, key: &str) -> Parsed<bool> {
        match self.take(key).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => Err(format!("`{other}` is neither true nor false")),
        }
    }
}

/// The fields of a line of CSV: one in quotes may hold commas, and quotes that are doubled.
pub(super) fn csv(text: &str) -> Parsed<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let field = fields.last_mut().ok_or("no field")?;
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                field.push('"');
            }
            '"' if quoted && !matches!(rest.peek(), None | Some(',')) => {
                return Err("after a closing quote comes a comma".to_owned());
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("a quote stands in a field that does not begin with one".to_owned()),
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    match quoted {
        true => Err("a quote is not closed".to_owned()),
        false => Ok(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_csv() {
        let read = |text| csv(text).expect("CSV");
        assert_eq!(read("a=b,c"), ["a=b", "c"]);
        assert_eq!(
            read(r#"type=bind,"src=/a,b",x"#),
            ["type=bind", "src=/a,b", "x"]
        );
        assert_eq!(read(r#""a""b",c"#), [r#"a"b"#, "c"]);
        for wrong in [r#"a"b"#, r#""a"#, r#""a"b,c"#] {
            assert!(csv(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_honoured_or_refused_by_name() {
        let labelled = mount("src=v,dst=/v,volume-driver=local,volume-label=a=b,volume-label=c=d");
        let MountKind::Volume { labels, .. } = labelled.expect("a volume").kind else {
            panic!("a volume was asked for")
        };
        assert_eq!(labels.len(), 2);
        let to_make = |text| volume_to_make(text).expect("understood");
        let made = to_make("src=v,dst=/v,volume-opt=type=nfs,volume-opt=o=a=b").expect("a volume");
        assert_eq!((made.name.as_deref(), made.options.len()), (Some("v"), 2));
        assert_eq!((made.options["o"].as_str()), "a=b");
        assert_eq!(to_make("src=v,dst=/v"), None);
        let bound = |options: &str| mount(&format!("type=bind,src=/a,dst=/b,{options}"));
        for (options, non_recursive) in [
            ("bind-nonrecursive", true),
            ("bind-recursive=disabled", true),
            ("bind-recursive=writable", false),
            ("ro,bind-recursive=readonly", false),
            ("consistency=cached", false),
        ] {
            let MountKind::Bind { options: made, .. } = bound(options).expect(options).kind else {
                panic!("a bind was asked for")
            };
            assert_eq!(made.non_recursive, non_recursive, "{options}");
        }
        for (text, part) in [
            ("type=bind,src=/a,dst=/b,bind-recursive=bogus", "`bogus`"),
            (
                "type=bind,src=/a,dst=/b,bind-recursive=readonly",
                "needs readonly",
            ),
            ("type=bind,src=/a,dst=/b,consistency=odd", "`odd`"),
            ("type=tmpfs,src=/a,dst=/b", "no source"),
            ("src=v,dst=/b,volume-driver=rexray", "`rexray`"),
            ("dst=/b,volume-opt=type=nfs", "needs source="),
            ("src=/v,dst=/b", "type=bind"),
            ("src=v,dst=/b,volume-subpath=../x", "`../x`"),
        ] {
            let error = mount(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}

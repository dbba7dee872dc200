//! `--cache-from` and `--cache-to`, as BuildKit writes them.

use std::path::PathBuf;

use crate::build::error::BuildError;
use crate::content::Digest;
use crate::image::Reference;

/// The tag of a layout where none is given, as with BuildKit.
const TAG: &str = "latest";

/// Where steps may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) enum CacheFrom {
    /// A cache, or an image with one, in a registry.
    Registry(Reference),
    /// A layout in a directory.
    Directory {
        path: PathBuf,
        tag: String,
        digest: Option<Digest>,
    },
}

/// Where steps go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct CacheTo {
    pub(in crate::build) target: Target,
    pub(in crate::build) mode: Mode,
    /// A failure is only a warning.
    pub(in crate::build) may_fail: bool,
}

/// The places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) enum Target {
    Registry(Reference),
    Directory {
        path: PathBuf,
        tag: String,
    },
    /// The image's own configuration.
    Inline,
}

/// Which steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::build) enum Mode {
    /// Those whose layers the result has.
    Min,
    /// Those of all stages.
    Max,
}

impl CacheFrom {
    /// Reads a flag; a name alone is that of an image.
    pub(in crate::build) fn parse(text: &str) -> Result<Self, BuildError> {
        let option = Words::split("--cache-from", text)?;
        let from = match option.kind()? {
            "registry" => Self::Registry(option.reference()?),
            "local" => Self::Directory {
                path: option.needed("src")?.into(),
                tag: option.get("tag").unwrap_or(TAG).to_owned(),
                digest: option
                    .get("digest")
                    .map(|text| text.parse().map_err(|_| option.wrong("its digest is none")))
                    .transpose()?,
            },
            "inline" => {
                return Err(option.refused(
                    "an image brings its inline cache along; write type=registry,ref=IMAGE",
                ));
            }
            other => return Err(option.unknown(other)),
        };
        option.nothing_but(match from {
            Self::Registry(_) => &["ref"],
            Self::Directory { .. } => &["src", "tag", "digest"],
        })?;
        Ok(from)
    }
}

impl std::fmt::Display for CacheFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Directory { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl CacheTo {
    /// Reads a flag; a name alone is that of an image.
    pub(in crate::build) fn parse(text: &str) -> Result<Self, BuildError> {
        let option = Words::split("--cache-to", text)?;
        let target = match option.kind()? {
            "registry" => Target::Registry(option.reference()?),
            "local" => Target::Directory {
                path: option.needed("dest")?.into(),
                tag: option.get("tag").unwrap_or(TAG).to_owned(),
            },
            "inline" => Target::Inline,
            other => return Err(option.unknown(other)),
        };
        option.nothing_but(match target {
            Target::Registry(_) => &[
                "ref",
                "mode",
                "ignore-error",
                "compression",
                "oci-mediatypes",
                "image-manifest",
            ],
            Target::Directory { .. } => &[
                "dest",
                "tag",
                "mode",
                "ignore-error",
                "compression",
                "oci-mediatypes",
                "image-manifest",
            ],
            Target::Inline => &["mode", "ignore-error"],
        })?;
        // The one form there is may be asked for by name.
        option.only("compression", "gzip")?;
        option.only("oci-mediatypes", "true")?;
        option.only("image-manifest", "true")?;
        let mode = match option.get("mode") {
            None | Some("min") => Mode::Min,
            Some("max") if target == Target::Inline => {
                return Err(option
                    .refused("an image has the layers of its own stage only; leave out mode=max"));
            }
            Some("max") => Mode::Max,
            Some(other) => {
                return Err(option.wrong(&format!("mode `{other}` is neither min nor max")));
            }
        };
        let may_fail = match option.get("ignore-error") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(option.wrong("ignore-error is true or false")),
        };
        Ok(Self {
            target,
            mode,
            may_fail,
        })
    }
}

impl std::fmt::Display for CacheTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Target::Registry(reference) => f.write_str(&reference.familiar()),
            Target::Directory { path, .. } => write!(f, "{}", path.display()),
            Target::Inline => f.write_str("the image"),
        }
    }
}

/// `key=value,…` of a flag.
struct Words<'t> {
    flag: &'static str,
    text: &'t str,
    pairs: Vec<(String, &'t str)>,
}

impl<'t> Words<'t> {
    fn split(flag: &'static str, text: &'t str) -> Result<Self, BuildError> {
        let mut words = Self {
            flag,
            text,
            pairs: Vec::new(),
        };
        if !text.contains('=') {
            words.pairs = vec![("type".into(), "registry"), ("ref".into(), text)];
            return Ok(words);
        }
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(words.wrong(&format!("`{pair}` has no `=`")));
            };
            words
                .pairs
                .push((key.trim().to_ascii_lowercase(), value.trim()));
        }
        Ok(words)
    }

    fn get(&self, key: &str) -> Option<&'t str> {
        let mut pairs = self.pairs.iter().rev();
        pairs
            .find(|(known, _)| known == key)
            .map(|(_, value)| *value)
    }

    fn needed(&self, key: &str) -> Result<&'t str, BuildError> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| self.wrong(&format!("{key}= is missing")))
    }

    fn kind(&self) -> Result<&'t str, BuildError> {
        self.needed("type")
    }

    fn reference(&self) -> Result<Reference, BuildError> {
        Reference::parse(self.needed("ref")?).map_err(|reason| self.wrong(&reason.to_string()))
    }

    fn nothing_but(&self, known: &[&str]) -> Result<(), BuildError> {
        let mut keys = self.pairs.iter().map(|(key, _)| key.as_str());
        match keys.find(|key| *key != "type" && !known.contains(key)) {
            Some(key) => Err(self.refused(&format!(
                "`{key}` is not known here; there are {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    fn only(&self, key: &str, value: &str) -> Result<(), BuildError> {
        match self.get(key) {
            Some(other) if other != value => {
                Err(self.refused(&format!("caches are written with {key}={value} only")))
            }
            _ => Ok(()),
        }
    }

    fn unknown(&self, kind: &str) -> BuildError {
        self.refused(&format!(
            "there is no cache of type `{kind}` here; use registry, local or inline"
        ))
    }

    fn refused(&self, reason: &str) -> BuildError {
        BuildError::Unsupported {
            option: format!("{} {}", self.flag, self.text),
            reason: reason.to_owned(),
        }
    }

    fn wrong(&self, reason: &str) -> BuildError {
        BuildError::Option {
            option: format!("{} `{}`", self.flag, self.text),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_buildkit() {
        let reference = |text| Reference::parse(text).unwrap();
        let from = |text| CacheFrom::parse(text).unwrap();
        assert_eq!(from("h:5/x:c"), CacheFrom::Registry(reference("h:5/x:c")));
        assert_eq!(
            from("type=registry,ref=x"),
            CacheFrom::Registry(reference("x"))
        );
        let local = from("type=local,src=/c,tag=t");
        assert!(matches!(local, CacheFrom::Directory { tag, digest: None, .. } if tag == "t"));
        let to = |text| CacheTo::parse(text).unwrap();
        assert_eq!(to("type=local,dest=c,mode=max").mode, Mode::Max);
        assert_eq!(to("type=inline").target, Target::Inline);
        assert!(to("type=registry,ref=x,ignore-error=true,compression=gzip").may_fail);
    }

    #[test]
    fn others_are_refused_by_name() {
        for (text, part) in [
            ("type=gha", "gha"),
            ("type=s3,bucket=b", "s3"),
            ("type=azblob,name=n", "azblob"),
            ("type=local,dest=x,compression=zstd", "gzip"),
            (
                "type=registry,ref=x,force-compression=true",
                "force-compression",
            ),
            ("type=inline,mode=max", "mode=max"),
            ("type=local", "dest= is missing"),
            ("type=local,src=x", "dest= is missing"),
            ("type=registry,ref=UPPER", "UPPER"),
            ("mode=max", "type= is missing"),
            ("type=local,dest=x,mode=most", "most"),
            ("type=local,x", "`x`"),
        ] {
            let error = CacheTo::parse(text).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("--cache-to"),
                "{text}: {error}"
            );
        }
        for text in [
            "type=inline",
            "type=gha",
            "type=local,dest=x",
            "type=local,src=x,digest=y",
        ] {
            assert!(CacheFrom::parse(text).is_err(), "{text}");
        }
    }
}

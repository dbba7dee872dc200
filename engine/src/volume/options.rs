//! Options of the local driver: `type`, `o`, `device`, as mount(8) has them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::VolumeError;

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backing {
    /// Its own directory.
    Directory,
    /// A directory of the host.
    Bind {
        /// Which.
        device: PathBuf,
        /// No writes.
        read_only: bool,
    },
    /// Memory, fresh for each container.
    Tmpfs {
        /// Mount options: `size=64m`, `uid=1000` …
        options: Vec<String>,
    },
}

impl Backing {
    /// Understands driver options, or says which one it does not.
    pub fn from_options(
        name: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, VolumeError> {
        let unsupported = |reason: String| VolumeError::Unsupported {
            name: name.to_owned(),
            reason,
        };
        if let Some(key) = options
            .keys()
            .find(|key| !matches!(key.as_str(), "type" | "o" | "device"))
        {
            return Err(unsupported(format!(
                "driver option `{key}` is not supported; there are `type`, `o` and `device`"
            )));
        }
        let get = |key: &str| options.get(key).map(String::as_str).unwrap_or_default();
        let words: Vec<&str> = get("o").split(',').filter(|o| !o.is_empty()).collect();
        match get("type") {
            "" if options.is_empty() => Ok(Self::Directory),
            "none" | "" if words.iter().any(|w| matches!(*w, "bind" | "rbind")) => {
                let device = PathBuf::from(get("device"));
                if !device.is_absolute() {
                    return Err(unsupported(
                        "`o=bind` needs an absolute path as `device`".to_owned(),
                    ));
                }
                if let Some(word) = words
                    .iter()
                    .find(|w| !matches!(**w, "bind" | "rbind" | "ro" | "rw"))
                {
                    return Err(unsupported(format!(
                        "mount option `{word}` of a bind is not supported; there are `bind`, `rbind`, `ro` and `rw`"
                    )));
                }
                Ok(Self::Bind {
                    device,
                    read_only: words.contains(&"ro"),
                })
            }
            "tmpfs" => Ok(Self::Tmpfs {
                options: words.into_iter().map(str::to_owned).collect(),
            }),
            other => Err(unsupported(format!(
                "`type={other}` is not supported; there are `type=none` with `o=bind`, and `type=tmpfs`"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Backing, VolumeError> {
        let map = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Backing::from_options("v", &map)
    }

    #[test]
    fn the_forms_of_the_local_driver() {
        assert_eq!(parse(&[]).unwrap(), Backing::Directory);
        assert_eq!(
            parse(&[("type", "none"), ("o", "bind,ro"), ("device", "/srv")]).unwrap(),
            Backing::Bind {
                device: "/srv".into(),
                read_only: true
            }
        );
        assert_eq!(
            parse(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]).unwrap(),
            Backing::Tmpfs {
                options: vec!["size=1m".into()]
            }
        );
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (options, word) in [
            (vec![("type", "nfs"), ("device", ":/x")], "type=nfs"),
            (vec![("size", "1g")], "`size`"),
            (vec![("o", "bind"), ("device", "relative")], "absolute"),
            (vec![("o", "bind,noexec"), ("device", "/x")], "noexec"),
        ] {
            let message = parse(&options).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}

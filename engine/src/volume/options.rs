//! Options of the local driver: `type`, `o`, `device`, as mount(8) has them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::VolumeError;
use crate::sys::user_namespace;

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
    /// A file system on a device or a server, mounted by each container that uses it and by nobody else.
    Mounted(FileSystem),
}

/// A file system that is mounted where it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// The kernel's name for it: `tmpfs`, `nfs`, `ext4` …
    pub kind: String,
    /// What is mounted: `/dev/sdb1`, `:/exports/data` …
    pub device: String,
    /// Mount options.
    pub options: Vec<String>,
}

impl FileSystem {
    /// The options as the kernel takes them: a host's name after `addr=` becomes its address, which
    /// mount(8) would find out for network file systems.
    ///
    /// # Errors
    /// The name that has no address, and why.
    pub fn resolved(&self) -> Result<Vec<String>, (String, io::Error)> {
        let resolve = |option: &String| {
            let Some(name) = option.strip_prefix("addr=") else {
                return Ok(option.clone());
            };
            if name.parse::<IpAddr>().is_ok() {
                return Ok(option.clone());
            }
            let failed = |error| (name.to_owned(), error);
            let mut found = (name, 0).to_socket_addrs().map_err(failed)?;
            let address = found
                .next()
                .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            Ok(format!("addr={}", address.ip()))
        };
        self.options.iter().map(resolve).collect()
    }
}

/// What the kernel makes by itself: nobody's data lies there.
const VIRTUAL: &[&str] = &[
    "bpf",
    "cgroup",
    "cgroup2",
    "debugfs",
    "devpts",
    "devtmpfs",
    "mqueue",
    "proc",
    "ramfs",
    "securityfs",
    "sysfs",
    "tracefs",
];

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
            "none" | "" => Err(unsupported(
                "driver options without a `type` need `o=bind` and a `device`".to_owned(),
            )),
            virtual_kind if VIRTUAL.contains(&virtual_kind) => Err(unsupported(format!(
                "`type={virtual_kind}` holds no data; there are `type=none` with `o=bind`, `type=tmpfs`, and file systems on a device or a server (`type=nfs`, `type=ext4` …)"
            ))),
            kind if get("device").is_empty() => Err(unsupported(format!(
                "`type={kind}` needs a `device`: what is to be mounted"
            ))),
            kind if !user_namespace::is_initial() => Err(unsupported(format!(
                "`type={kind}` needs root: the kernel lets nobody else mount it; mount it on the machine and use `type=none` with `o=bind`"
            ))),
            kind => Ok(Self::Mounted(FileSystem {
                kind: kind.to_owned(),
                device: get("device").to_owned(),
                options: words.into_iter().map(str::to_owned).collect(),
            })),
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
        let nfs = [
            ("type", "nfs"),
            ("o", "addr=localhost,ro,vers=4"),
            ("device", ":/exports"),
        ];
        let Backing::Mounted(nfs) = parse(&nfs).unwrap() else {
            panic!("a file system");
        };
        assert_eq!(
            (nfs.kind.as_str(), nfs.device.as_str()),
            ("nfs", ":/exports")
        );
        assert_eq!(nfs.options, ["addr=localhost", "ro", "vers=4"]);
        let resolved = nfs.resolved().unwrap();
        assert!(resolved[0] == "addr=127.0.0.1" || resolved[0] == "addr=::1");
        assert_eq!(resolved[1..], nfs.options[1..]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (options, word) in [
            (vec![("type", "nfs"), ("o", "addr=127.0.0.1")], "`device`"),
            (vec![("type", "proc"), ("device", "proc")], "type=proc"),
            (vec![("device", "/srv")], "o=bind"),
            (vec![("size", "1g")], "`size`"),
            (vec![("o", "bind"), ("device", "relative")], "absolute"),
            (vec![("o", "bind,noexec"), ("device", "/x")], "noexec"),
        ] {
            let message = parse(&options).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}

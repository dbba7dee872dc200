//! Image configurations: what an image says about how to run it.
//!
//! OCI's and Docker's format in one (image-spec `config.md`, Docker's extra fields).
//! Fields we do not know are kept, so an image that passes through stays what it was.
//! Hostile ones are refused: too large, too many layers, no Linux.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::ImageError;
use crate::content::Digest;

/// Largest configuration accepted.
pub const CONFIG_LIMIT: u64 = 4 << 20;
/// Most layers accepted: overlayfs stacks at most 500 lower directories.
pub const LAYER_LIMIT: usize = 480;
/// One environment entry or argument may not exceed what `execve` takes (MAX_ARG_STRLEN).
const STRING_LIMIT: usize = 128 << 10;

/// An image's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Go's name of the processor: `amd64`, `arm64`.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// `v7`, `v8`.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// `linux`.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "nullable")]
    pub config: RunConfig,
    /// Its layers.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How it was made, oldest first.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
    /// `host` when the layers lie over the built-in `host` image. Such an image cannot leave
    /// this machine.
    #[serde(
        rename = "gantry.base",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub base: Option<String>,
    /// Everything else it says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How an image wants to be run. Field names on disk are Docker's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// `user[:group]`.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `80/tcp`; the values are empty objects.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    /// Program and first arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments, or program and arguments where there is no entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths that get an anonymous volume.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Where the process starts.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Signal that asks it to stop.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Seconds between that and SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Health probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Instructions for images made from this one.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
    /// Shell of shell-form instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Everything else it says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The value of a key that only matters by being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A health probe as images and Docker's API spell it; times are nanoseconds, 0 is "not said".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    /// `["CMD", …]`, `["CMD-SHELL", line]`, `["NONE"]`, or empty: inherit.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between probes.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one probe.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between probes in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step of how an image was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// Who.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Which tool.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// Made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Everything else it says.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ImageConfig {
    /// Reads a configuration and refuses hostile ones.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.len() as u64 > CONFIG_LIMIT {
            return Err(ImageError::HostileConfig(format!(
                "{} bytes, at most {CONFIG_LIMIT} are accepted",
                bytes.len()
            )));
        }
        let config: Self = serde_json::from_slice(bytes).map_err(ImageError::Config)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ImageError> {
        let refuse = |why: String| Err(ImageError::HostileConfig(why));
        if self.rootfs.kind != "layers" {
            return refuse(format!(
                "rootfs.type is `{:.40}`, not `layers`",
                self.rootfs.kind
            ));
        }
        if self.rootfs.diff_ids.len() > LAYER_LIMIT {
            return refuse(format!(
                "{} layers, at most {LAYER_LIMIT} are accepted",
                self.rootfs.diff_ids.len()
            ));
        }
        if !self.os.is_empty() && self.os != "linux" {
            return refuse(format!("it is for `{:.40}`, not for linux", self.os));
        }
        let run = &self.config;
        let lists = [
            Some(&run.env),
            run.entrypoint.as_ref(),
            run.cmd.as_ref(),
            run.shell.as_ref(),
        ];
        for text in lists
            .into_iter()
            .flatten()
            .flatten()
            .chain([&run.user, &run.working_dir])
        {
            if text.len() >= STRING_LIMIT {
                return refuse(format!(
                    "a string of {} bytes, longer than a program can be given",
                    text.len()
                ));
            }
            if text.contains('\0') {
                return refuse("a string with a NUL byte".to_owned());
            }
        }
        for port in run.exposed_ports.keys() {
            if !is_port(port) {
                return refuse(format!("`{:.60}` is no port", port));
            }
        }
        for path in run.volumes.keys() {
            if path.contains('\0') || path.len() >= 4096 {
                return refuse("a volume path with a NUL byte or over 4095 bytes".to_owned());
            }
        }
        Ok(())
    }

    /// The bytes whose digest is the image's id.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ImageError> {
        serde_json::to_vec(self).map_err(ImageError::Config)
    }
}

/// `80`, `80/tcp`, `8000-8010/udp`.
fn is_port(text: &str) -> bool {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    matches!(protocol, "tcp" | "udp" | "sctp")
        && first.parse::<u16>().is_ok()
        && last.parse::<u16>().is_ok()
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Go writes `null` for empty lists and maps.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_unknown_fields_and_reads_nulls() {
        let text = br#"{"architecture":"amd64","os":"linux","os.version":"1","config":{"Env":null,"Cmd":["a"],"Entrypoint":null,
            "Volumes":null,"Labels":null,"ExposedPorts":{"80/tcp":{}},"ArgsEscaped":true,"Memory":5},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"container":"abc"}"#;
        let config = ImageConfig::parse(text).unwrap();
        assert_eq!(config.config.cmd, Some(vec!["a".to_owned()]));
        assert_eq!(config.extra["container"], "abc");
        let again = ImageConfig::parse(&config.to_bytes().unwrap()).unwrap();
        assert_eq!(again, config);
        assert_eq!(again.config.extra["Memory"], 5);
    }

    /// A number that nobody asked for is the same number when the configuration is written again: its digest is its name.
    #[test]
    fn keeps_numbers_to_the_last_digit() {
        let digits = "2".repeat(103);
        for number in [digits.as_str(), "1.7976931348623157e308", "5e-324", "0.1"] {
            let text = format!(r#"{{"schemaVersion":{number}}}"#);
            let config = ImageConfig::parse(text.as_bytes()).unwrap();
            let again = ImageConfig::parse(&config.to_bytes().unwrap()).unwrap();
            assert_eq!(again, config, "{number}");
        }
    }

    #[test]
    fn refuses_hostile_ones() {
        let layers = vec![format!("\"{}\"", Digest::of(b"")); 500].join(",");
        for bad in [
            "{".to_owned(),
            r#"{"rootfs":{"type":"base"}}"#.to_owned(),
            r#"{"os":"windows"}"#.to_owned(),
            format!(r#"{{"rootfs":{{"type":"layers","diff_ids":[{layers}]}}}}"#),
            r#"{"rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}"#.to_owned(),
            format!(r#"{{"config":{{"Env":["A={}"]}}}}"#, "x".repeat(200_000)),
            r#"{"config":{"Cmd":["a\u0000b"]}}"#.to_owned(),
            r#"{"config":{"ExposedPorts":{"../x":{}}}}"#.to_owned(),
        ] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{:.80}", bad);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = ImageConfig::parse(&bytes);
        }
    }
}

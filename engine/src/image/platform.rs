//! `os/architecture[/variant]` and the choice from an index.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ImageError;

/// What an image runs on, in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// `v7`, `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Go's name of this machine's architecture.
pub fn architecture() -> &'static str {
    go_name(std::env::consts::ARCH)
}

fn go_name(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "armhf" | "armel" => "arm",
        "powerpc64le" | "ppc64el" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl Platform {
    /// This machine's.
    pub fn host() -> Self {
        let variant = if architecture() == "arm64" { "v8" } else { "" };
        Self {
            os: "linux".to_owned(),
            architecture: architecture().to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// Parses `linux/arm64/v8`, `linux/amd64` or just `arm64`.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = || ImageError::Platform(text.chars().take(100).collect());
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| {
            part.is_empty()
                || !part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        }) {
            return Err(wrong());
        }
        let lower: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
        let (os, architecture, variant) = match lower.as_slice() {
            [only] if only == "linux" => {
                return Ok(Self {
                    os: only.clone(),
                    ..Self::host()
                });
            }
            [architecture] => ("linux", architecture.as_str(), ""),
            [os, architecture] => (os.as_str(), architecture.as_str(), ""),
            [os, architecture, variant] => (os.as_str(), architecture.as_str(), variant.as_str()),
            _ => return Err(wrong()),
        };
        let mut variant = if variant.starts_with(|c: char| c.is_ascii_digit()) {
            format!("v{variant}")
        } else {
            variant.to_owned()
        };
        let architecture = go_name(architecture).to_owned();
        match (architecture.as_str(), variant.as_str()) {
            ("arm64", "") => variant = "v8".to_owned(),
            ("arm", "") => variant = "v7".to_owned(),
            ("amd64", "v1") => variant.clear(),
            _ => {}
        }
        Ok(Self {
            os: os.to_owned(),
            architecture,
            variant,
        })
    }

    /// How well an image for `offered` runs where this platform is wanted; `None` not at all.
    /// Higher is better.
    pub fn accepts(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != go_name(&offered.architecture) {
            return None;
        }
        // Newer variants run what was made for older ones: v8 > v7 > v6 > v5.
        let level =
            |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_str()) {
                ("arm64", "") => Some(8),
                ("arm", "") => Some(7),
                ("amd64", "") => Some(1),
                (_, "") => Some(0),
                (_, variant) => variant.strip_prefix('v')?.split('.').next()?.parse().ok(),
            };
        match (level(self), level(offered)) {
            (Some(wanted), Some(offered)) => (offered <= wanted).then_some(offered),
            _ => (self.variant == offered.variant).then_some(0),
        }
    }

    /// Whether programs for it run on this machine: as they are, or by an emulator that is registered with the kernel
    /// (binfmt_misc).
    pub fn runs_here(&self) -> bool {
        let native = self.architecture == architecture()
            || matches!(
                (architecture(), self.architecture.as_str()),
                ("amd64", "386") | ("arm64", "arm")
            );
        let name = match self.architecture.as_str() {
            "amd64" => "x86_64",
            "386" => "i386",
            "arm64" => "aarch64",
            "loong64" => "loongarch64",
            "mips64le" => "mips64el",
            "mipsle" => "mipsel",
            other => other,
        };
        let emulated = || {
            std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{name}"))
                .is_ok_and(|text| is_usable(&text))
        };
        self.os == "linux" && (native || emulated())
    }

    /// Why its programs do not run, and what to do.
    pub fn needs_emulator(&self) -> String {
        if self.os != "linux" {
            return format!(
                "this machine runs programs for Linux, not for `{}`",
                self.os
            );
        }
        format!(
            "programs for {} need an emulator here: register one with binfmt_misc and its flag `F` (qemu-user-static), or use such a machine",
            self.architecture
        )
    }
}

/// Whether an entry of binfmt_misc emulates in containers: it must be enabled, and hold its interpreter open (flag `F`),
/// which a container does not have.
fn is_usable(entry: &str) -> bool {
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags:"));
    entry.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.variant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_usual_spellings() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64/v8"),
            ("linux/arm/7", "linux/arm/v7"),
            ("Linux/ARM", "linux/arm/v7"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefers_the_newest_variant_that_runs() {
        let wanted = Platform::parse("linux/arm/v7").unwrap();
        let offer = |text: &str| wanted.accepts(&Platform::parse(text).unwrap());
        assert!(offer("linux/arm/v7") > offer("linux/arm/v6"));
        assert_eq!(offer("linux/arm64"), None);
        assert_eq!(
            Platform::parse("linux/arm/v6").unwrap().accepts(&wanted),
            None
        );
        assert_eq!(
            Platform::parse("amd64")
                .unwrap()
                .accepts(&Platform::parse("linux/amd64/v3").unwrap()),
            None
        );
    }
}

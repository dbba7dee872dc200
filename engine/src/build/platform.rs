//! What a stage is built for: its name, whether its programs run here, and the arguments that tell it.

use std::collections::BTreeMap;

/// `os/arch[/variant]`, normalised as containerd does.
pub(super) fn parse(text: &str, host: &Platform) -> Result<Platform, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let valid = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
    };
    if parts.len() > 3
        || !parts
            .iter()
            .all(|part| valid(&part.split('(').next().unwrap_or(part)))
    {
        return Err(format!(
            "invalid platform `{text}`: write os/arch or os/arch/variant, as linux/amd64"
        ));
    }
    const SYSTEMS: &[&str] = &[
        "linux", "windows", "darwin", "freebsd", "wasi", "wasip1", "netbsd", "openbsd",
    ];
    let os = |text: &str| match text
        .to_ascii_lowercase()
        .split('(')
        .next()
        .unwrap_or_default()
    {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    };
    let (os, arch, variant) = match parts.as_slice() {
        [one] if SYSTEMS.contains(&os(one).as_str()) => {
            (os(one), host.arch.clone(), host.variant.clone())
        }
        [one] => ("linux".to_owned(), (*one).to_owned(), String::new()),
        [first, arch] => (os(first), (*arch).to_owned(), String::new()),
        [first, arch, variant] => (
            os(first),
            (*arch).to_owned(),
            (*variant).to_ascii_lowercase(),
        ),
        _ => return Err(format!("invalid platform `{text}`")),
    };
    const ARCHITECTURES: &[&str] = &[
        "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
        "ppc64le", "riscv64", "s390x", "wasm",
    ];
    let (arch, variant) = match (arch.to_ascii_lowercase().as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686", _) => ("386".into(), String::new()),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64".into(), String::new()),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64".into(), other.to_owned()),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64".into(), String::new()),
        ("aarch64" | "arm64", other) => ("arm64".into(), other.to_owned()),
        ("armhf", _) => ("arm".into(), "v7".into()),
        ("armel", _) => ("arm".into(), "v6".into()),
        ("arm", "" | "7") => ("arm".into(), "v7".into()),
        ("arm", "5" | "6" | "8") => ("arm".into(), format!("v{variant}")),
        (other, variant) => (other.to_owned(), variant.to_owned()),
    };
    if parts.len() == 1 && !SYSTEMS.contains(&os.as_str())
        || !ARCHITECTURES.contains(&arch.as_str())
    {
        return Err(format!("unknown architecture in platform `{text}`"));
    }
    Ok(Platform { os, arch, variant })
}

/// A platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) arch: String,
    pub(super) variant: String,
}

impl Platform {
    /// The machine's own.
    pub(super) fn host() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            "loongarch64" => "loong64",
            other => other,
        };
        let variant = if arch == "arm" { "v7" } else { "" };
        Self {
            os: "linux".into(),
            arch: arch.into(),
            variant: variant.into(),
        }
    }
}

impl Platform {
    /// The same in the words of images.
    pub(super) fn of_image(&self) -> crate::image::Platform {
        crate::image::Platform::parse(&self.to_string())
            .unwrap_or_else(|_| crate::image::Platform::host())
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        if self.variant.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.variant)
        }
    }
}

/// The automatic platform arguments of a build.
pub(super) fn platform_args(
    build: &Platform,
    target: &Platform,
    stage: &str,
) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
        args.insert(format!("{prefix}PLATFORM"), platform.to_string());
        args.insert(format!("{prefix}OS"), platform.os.clone());
        args.insert(format!("{prefix}OSVERSION"), String::new());
        args.insert(format!("{prefix}ARCH"), platform.arch.clone());
        args.insert(format!("{prefix}VARIANT"), platform.variant.clone());
    }
    args.insert(
        "TARGETSTAGE".into(),
        if stage.is_empty() {
            "default".into()
        } else {
            stage.to_owned()
        },
    );
    args
}

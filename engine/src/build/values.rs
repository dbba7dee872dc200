//! Small value syntaxes of Dockerfiles: durations, ports, signals, paths, users.

use std::collections::BTreeMap;

/// Go's `time.ParseDuration`, in nanoseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[end..];
        total += number * unit;
    }
    if total > i64::MAX as f64 {
        return None;
    }
    let total = total as i64;
    Some(if negative { -total } else { total })
}

/// One word of `EXPOSE`, expanded: the keys it adds to `ExposedPorts`.
pub(super) fn ports(word: &str) -> Result<Vec<String>, String> {
    let (address, proto) = match word.rsplit_once('/') {
        Some((address, proto)) => (address, proto.to_ascii_lowercase()),
        None => (word, "tcp".to_owned()),
    };
    let proto = if proto.is_empty() {
        "tcp".to_owned()
    } else {
        proto
    };
    if !["tcp", "udp", "sctp"].contains(&proto.as_str()) {
        return Err(format!(
            "invalid port `{word}`: invalid protocol `{proto}`; one of tcp, udp, sctp"
        ));
    }
    // `[::1]:8080:80`, `127.0.0.1:8080:80`, `8080:80`: only the container's part counts.
    let (host, container) = match address.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, address),
    };
    if container.is_empty() {
        return Err(format!("invalid port `{word}`: no port specified"));
    }
    let range = |text: &str, what: &str| -> Result<(u16, u16), String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok((first, last)),
            (Some(_), Some(_)) => Err(format!(
                "invalid {what} port range `{text}`: it runs backwards"
            )),
            _ => Err(format!(
                "invalid {what} port `{text}`: ports are 0 to 65535"
            )),
        }
    };
    let (first, last) = range(container, "container")?;
    if let Some(host) = host {
        let (ip, host_port) = match host.rsplit_once(':') {
            Some((ip, port)) => (Some(ip), port),
            None => (None, host),
        };
        if let Some(ip) = ip {
            let ip = ip
                .strip_prefix('[')
                .and_then(|ip| ip.strip_suffix(']'))
                .unwrap_or(ip);
            if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
                return Err(format!("invalid port `{word}`: `{ip}` is not an address"));
            }
        }
        if !host_port.is_empty() {
            let (host_first, host_last) = range(host_port, "host")?;
            let (hosts, containers) = (host_last - host_first, last - first);
            // A range on the host may serve one container port.
            if hosts != containers && containers != 0 {
                return Err(format!(
                    "invalid port `{word}`: the ranges differ in length"
                ));
            }
        }
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{proto}"))
        .collect())
}

/// Whether a text names a signal: `SIGTERM`, `term`, `RTMIN+3`, `9`.
pub(super) fn is_signal(text: &str) -> bool {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
        "UNUSED", "RTMIN", "RTMAX",
    ];
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str, limit: u8| rest.parse::<u8>().is_ok_and(|n| (1..=limit).contains(&n));
    NAMES.contains(&name)
        || name
            .strip_prefix("RTMIN+")
            .is_some_and(|rest| offset(rest, 15))
        || name
            .strip_prefix("RTMAX-")
            .is_some_and(|rest| offset(rest, 14))
}

/// Go's `path.Clean`.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// A path as seen from a working directory, cleaned and rooted; a trailing slash is kept.
pub(super) fn absolute(workdir: &str, path: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{workdir}/{path}")
    };
    let mut clean = clean(&format!("/{joined}"));
    let directory = path.ends_with('/') || path == "." || path.ends_with("/.");
    if directory && !clean.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// `os/arch[/variant]`, normalised as containerd does.
pub(super) fn platform(text: &str, host: &Platform) -> Result<Platform, String> {
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

    /// Why its commands cannot run, and what to do.
    pub(super) fn needs_emulator(&self) -> String {
        format!(
            "RUN needs an emulator for {} here: register one with binfmt_misc (qemu-user-static), or build on such a machine",
            self.arch
        )
    }

    /// Whether programs of this platform run on a machine: its own, or emulated by a registered binfmt.
    pub(super) fn runs_on(&self, host: &Self) -> bool {
        let native = self.arch == host.arch
            || matches!(
                (host.arch.as_str(), self.arch.as_str()),
                ("amd64", "386") | ("arm64", "arm")
            );
        if self.os != host.os {
            return false;
        }
        let name = match self.arch.as_str() {
            "amd64" => "x86_64",
            "386" => "i386",
            "arm64" => "aarch64",
            "loong64" => "loongarch64",
            "mips64le" => "mips64el",
            "mipsle" => "mipsel",
            other => other,
        };
        native
            || std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{name}"))
                .is_ok_and(|text| text.starts_with("enabled"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_go() {
        for (text, expected) in [
            ("1.5s", Some(1_500_000_000)),
            ("1h2m", Some(3_720_000_000_000)),
            ("0", Some(0)),
            ("1us", Some(1000)),
            ("5", None),
            ("", None),
            ("s", None),
            ("-1s", Some(-1_000_000_000)),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn exposed_ports_drop_the_host_part() {
        assert_eq!(ports("8080:80").unwrap(), ["80/tcp"]);
        assert_eq!(ports("127.0.0.1:9000:90/UDP").unwrap(), ["90/udp"]);
        assert_eq!(
            ports("7000-7002").unwrap(),
            ["7000/tcp", "7001/tcp", "7002/tcp"]
        );
        for bad in ["80/foo", "65536", "x", "9-8", "", "1-"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_cleaned_like_go() {
        for (path, expected) in [
            ("/a/../../b", "/b"),
            ("./a//b/", "a/b"),
            ("..", ".."),
            ("", "."),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
        assert_eq!(absolute("/w", "x/"), "/w/x/");
        assert_eq!(absolute("/", "."), "/");
        assert_eq!(absolute("/w", "../../.."), "/");
    }

    #[test]
    fn signals() {
        for good in ["SIGTERM", "term", "9", "RTMIN+3", "SIGRTMAX-14"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["SIGNOPE", "", "0", "RTMIN+99"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}

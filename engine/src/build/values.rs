//! Small value syntaxes of Dockerfiles: durations, ports, signals, paths, users.

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

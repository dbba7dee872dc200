//! Small value syntaxes of Dockerfiles: durations, signals, paths; `ports` has those of `EXPOSE`.

mod ports;

pub(super) use ports::Ports;

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

/// Whether a text names a signal: `SIGTERM`, `term`, `RTMIN+3`, `9`.
fn is_signal(text: &str) -> bool {
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
    // As the table of the reference spells them: no sign, no leading zero.
    let offset = |rest: &str, limit: u8| {
        rest.starts_with(|c: char| c.is_ascii_digit() && c != '0')
            && rest.parse::<u8>().is_ok_and(|n| n <= limit)
    };
    NAMES.contains(&name)
        || name
            .strip_prefix("RTMIN+")
            .is_some_and(|rest| offset(rest, 15))
        || name
            .strip_prefix("RTMAX-")
            .is_some_and(|rest| offset(rest, 14))
}

/// What to do about a signal that is none.
pub(super) const SIGNAL_HELP: &str = "write a signal's name as SIGTERM, or its number";

/// Refuses what `STOPSIGNAL` cannot be, expanded.
pub(super) fn check_signal(text: &str) -> Result<(), String> {
    match is_signal(text) {
        true => Ok(()),
        false => Err(format!("invalid signal `{text}`")),
    }
}

/// Refuses what `VOLUME` cannot be, expanded.
pub(super) fn check_volume(path: &str) -> Result<(), String> {
    match path {
        "" => Err("VOLUME specified can not be an empty string".to_owned()),
        _ => Ok(()),
    }
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

/// What `WORKDIR` makes of a path: an absolute one stays as it is written, a relative one is joined to the directory
/// before it and cleaned; nothing means that one.
pub(super) fn workdir(current: &str, path: &str) -> String {
    let current = match current.starts_with('/') {
        true => current.to_owned(),
        false => clean(&format!("/{current}")),
    };
    match path {
        "" => current,
        path if path.starts_with('/') => path.to_owned(),
        path => clean(&format!("{current}/{path}")),
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
    fn an_absolute_working_directory_stays_as_it_is_written() {
        for (current, path, expected) in [
            ("/", "/app/", "/app/"),
            ("/w", "/a/../b", "/a/../b"),
            ("/app/", "x/", "/app/x"),
            ("/app/", "", "/app/"),
            ("", "a/./b", "/a/b"),
            ("/w", "../..", "/"),
        ] {
            assert_eq!(workdir(current, path), expected, "{current} {path}");
        }
    }

    #[test]
    fn signals() {
        for good in ["SIGTERM", "term", "9", "RTMIN+3", "SIGRTMAX-14"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["SIGNOPE", "", "0", "RTMIN+99", "RTMIN++3", "RTMIN+03"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}

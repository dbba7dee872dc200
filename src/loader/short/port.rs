//! Published ports: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]` with ranges.

use std::net::IpAddr;

/// The ports of one short entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports<'t> {
    /// Host address; empty: all.
    pub host_ip: &'t str,
    /// Protocol, lower case.
    pub protocol: &'static str,
    targets: (u16, u16),
    host: Option<(u16, u16)>,
}

/// One port of the long form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Container port.
    pub target: u16,
    /// Host port or range; empty: any.
    pub published: String,
}

/// What is wrong with a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PortError {
    #[error("no container port")]
    NoContainerPort,
    #[error("a container has no port 0")]
    Zero,
    #[error("`{0}` is not a port or a range of ports")]
    NotAPort(String),
    #[error("`{0}` is not a protocol")]
    Protocol(String),
    #[error("`{0}` is not an IP address")]
    Address(String),
    #[error("the IPv6 address `{0}` needs brackets: `[{0}]`")]
    Brackets(String),
    #[error("the host range and the container range have different lengths")]
    Lengths,
    #[error("the range `{0}` ends before it begins")]
    Backwards(String),
}

/// Reads one short entry.
pub fn parse(text: &str) -> Result<Ports<'_>, PortError> {
    let (address, host, container) = sections(text);
    let mut parts = container.split('/');
    let container = parts.next().unwrap_or_default();
    let protocol = parts.next().unwrap_or_default();
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        other => return Err(PortError::Protocol(other.to_owned())),
    };
    if container.is_empty() {
        return Err(PortError::NoContainerPort);
    }
    let address = match address.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(inner) => inner,
            None => return Err(PortError::Address(address.to_owned())),
        },
        None if address.contains(':') => return Err(PortError::Brackets(address.to_owned())),
        None => address,
    };
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(PortError::Address(address.to_owned()));
    }
    let (first, last) = range(container)?;
    if first == 0 {
        return Err(PortError::Zero);
    }
    let host = if host.is_empty() {
        None
    } else {
        Some(range(host)?)
    };
    if let Some((host_first, host_last)) = host
        && last - first != host_last - host_first
        && last != first
    {
        return Err(PortError::Lengths);
    }
    Ok(Ports {
        host_ip: address,
        protocol,
        targets: (first, last),
        host,
    })
}

impl Ports<'_> {
    /// Every single port, sorted as text by container port as docker compose prints them.
    pub fn each(self) -> impl ExactSizeIterator<Item = Parsed> {
        let (first, last) = self.targets;
        let mut targets: Vec<u16> = (first..=last).collect();
        // Numbers of one length have the order of their texts already.
        if first.checked_ilog10() != last.checked_ilog10() {
            targets.sort_by_key(|port| text_order(*port));
        }
        targets.into_iter().map(move |target| Parsed {
            target,
            published: match self.host {
                None => String::new(),
                Some((a, b)) if first == last && a != b => format!("{a}-{b}"),
                Some((a, _)) => (a + (target - first)).to_string(),
            },
        })
    }
}

/// A key that orders numbers as their texts: the digits, filled up with zeros, and how many
/// there were.
fn text_order(port: u16) -> (u32, u32) {
    let digits = port.checked_ilog10().unwrap_or_default() + 1;
    (u32::from(port) * 10_u32.pow(5 - digits), digits)
}

/// Address, host part, container part.
fn sections(text: &str) -> (&str, &str, &str) {
    let Some((before, container)) = text.rsplit_once(':') else {
        return ("", "", text);
    };
    match before.rsplit_once(':') {
        None => ("", before, container),
        Some((address, host)) => (address, host, container),
    }
}

fn range(text: &str) -> Result<(u16, u16), PortError> {
    let bad = || PortError::NotAPort(text.to_owned());
    let number = |t: &str| {
        if t.bytes().all(|b| b.is_ascii_digit()) {
            t.parse::<u16>().map_err(|_| bad())
        } else {
            Err(bad())
        }
    };
    match text.split_once('-') {
        None => number(text).map(|n| (n, n)),
        Some((a, b)) => {
            let (a, b) = (number(a)?, number(b)?);
            if b < a {
                return Err(PortError::Backwards(text.to_owned()));
            }
            Ok((a, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let show = |text: &str| {
            parse(text).map(|ports| {
                let (address, protocol) = (ports.host_ip, ports.protocol);
                ports
                    .each()
                    .map(|p| format!("{address}:{}:{}/{protocol}", p.published, p.target))
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        let cases = [
            ("80", "::80/tcp"),
            ("8080:80", ":8080:80/tcp"),
            ("127.0.0.1:8080:80/UDP", "127.0.0.1:8080:80/udp"),
            ("[::1]:8080:80", "::1:8080:80/tcp"),
            ("::80", "::80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("4000-4005:80", ":4000-4005:80/tcp"),
            ("0:80", ":0:80/tcp"),
            ("00080:80", ":80:80/tcp"),
            ("98-100", "::100/tcp ::98/tcp ::99/tcp"),
        ];
        for (text, want) in cases {
            assert_eq!(show(text).as_deref(), Ok(want), "{text}");
        }
        for text in [
            "",
            "a",
            "1:2:3:4",
            "::1:8080:80",
            "127.0.0.1:80",
            "/tcp",
            "80/x",
            "9-8",
            "1-3:1-2",
            "70000",
            "1.5",
            "0",
            "8080:0",
            "[::1:80:80",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

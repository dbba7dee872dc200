//! One word of `EXPOSE`, expanded: `[ip:][host:]port[-port][/protocol]`.

use std::net::IpAddr;

/// The parts of a word. Only the container's ports count; the rest is looked at and dropped.
#[derive(Clone, Copy, Debug)]
pub(in crate::build) struct Ports<'w> {
    word: &'w str,
    ip: &'w str,
    host: &'w str,
    container: &'w str,
    /// As it was written.
    proto: &'w str,
}

impl<'w> Ports<'w> {
    /// Splits a word.
    pub(in crate::build) fn read(word: &'w str) -> Result<Self, String> {
        let (outside, container) = word.rsplit_once(':').unwrap_or(("", word));
        let (ip, host) = outside.rsplit_once(':').unwrap_or(("", outside));
        let (container, proto) = container.split_once('/').unwrap_or((container, ""));
        if container.is_empty() {
            return Err(format!("invalid port `{word}`: no port specified"));
        }
        if !["", "tcp", "udp", "sctp"].contains(&proto.to_ascii_lowercase().as_str()) {
            return Err(format!(
                "invalid port `{word}`: invalid protocol `{proto}`; one of tcp, udp, sctp"
            ));
        }
        Ok(Self {
            word,
            ip,
            host,
            container,
            proto,
        })
    }

    /// Whether the protocol is written in lower case.
    pub(in crate::build) fn is_lower(&self) -> bool {
        self.proto == self.proto.to_lowercase()
    }

    /// Whether it says where on the machine.
    pub(in crate::build) fn is_mapping(&self) -> bool {
        !self.ip.is_empty() || !self.host.is_empty()
    }

    /// The keys that it adds to `ExposedPorts`.
    pub(in crate::build) fn keys(&self) -> Result<Vec<String>, String> {
        self.check_ip()?;
        let (first, last) = range(self.container, "container")?;
        if !self.host.is_empty() {
            let (host_first, host_last) = range(self.host, "host")?;
            // A range on the host may serve one container port.
            if host_last - host_first != last - first && last != first {
                let word = self.word;
                return Err(format!(
                    "invalid port `{word}`: the ranges differ in length"
                ));
            }
        }
        let proto = match self.proto {
            "" => "tcp".to_owned(),
            proto => proto.to_ascii_lowercase(),
        };
        Ok((first..=last)
            .map(|port| format!("{port}/{proto}"))
            .collect())
    }

    fn check_ip(&self) -> Result<(), String> {
        let bare = self
            .ip
            .strip_prefix('[')
            .and_then(|ip| ip.strip_suffix(']'))
            .unwrap_or(self.ip);
        if self.ip.is_empty() || bare.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let (word, ip) = (self.word, self.ip);
        Err(format!("invalid port `{word}`: `{ip}` is not an address"))
    }
}

/// `80` or `8000-9000`; a number may have a sign, as in the reference.
fn range(text: &str, what: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        (Ok(_), Ok(_)) => Err(format!(
            "invalid {what} port range `{text}`: it runs backwards"
        )),
        _ => Err(format!(
            "invalid {what} port `{text}`: ports are 0 to 65535"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    fn keys(word: &str) -> Result<Vec<String>, String> {
        Ports::read(word)?.keys()
    }

    #[test]
    fn the_host_part_is_dropped() {
        for (word, expected) in [
            ("8080:80", &["80/tcp"][..]),
            ("127.0.0.1:9000:90/UDP", &["90/udp"]),
            ("[::1]:8080:80", &["80/tcp"]),
            ("7000-7002", &["7000/tcp", "7001/tcp", "7002/tcp"]),
            ("9000-9010:90/", &["90/tcp"]),
            ("+80", &["80/tcp"]),
            ("080-+81", &["80/tcp", "81/tcp"]),
        ] {
            assert_eq!(keys(word).unwrap(), expected, "{word}");
        }
    }

    #[test]
    fn wrong_ports_are_refused() {
        for word in [
            "80/foo",
            "80/tcp/x",
            "65536",
            "x",
            "9-8",
            "",
            "1-",
            "-1",
            "8003-8000",
            "1-2:3-5",
            "host:1:2",
            "a/b:80",
            "x:80",
        ] {
            assert!(keys(word).is_err(), "{word}");
        }
    }
}

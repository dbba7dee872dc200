//! Who holds a port: the process behind the listening socket, from `/proc`.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::spec::Protocol;

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command line, words separated by spaces.
    pub command: String,
    /// What it is to the user, where the caller knows; see [`super::PublishError::naming`].
    pub known_as: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(known) = &self.known_as {
            return f.write_str(known);
        }
        // What another process calls itself may hold control characters.
        let name: String = self
            .command
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        write!(f, "process `{name}` (pid {})", self.pid)
    }
}

impl Holder {
    /// Finds the holder. Nothing is found when it belongs to somebody whose descriptors we may
    /// not see, or has gone meanwhile.
    pub(super) fn find(address: SocketAddr, protocol: Protocol) -> Option<Self> {
        let inodes = inodes(address, protocol);
        if inodes.is_empty() {
            return None;
        }
        let targets: Vec<String> = inodes
            .iter()
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let holds = fs::read_dir(entry.path().join("fd"))
                .ok()?
                .flatten()
                .any(|fd| {
                    fs::read_link(fd.path())
                        .is_ok_and(|link| targets.iter().any(|t| link.as_os_str() == t.as_str()))
                });
            holds.then(|| Self {
                pid,
                command: command(pid),
                known_as: None,
            })
        })
    }
}

fn command(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line
        .split(|b| *b == 0)
        .filter(|w| !w.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    words.join(" ")
}

/// Sockets that would refuse `address` a bind.
fn inodes(address: SocketAddr, protocol: Protocol) -> Vec<u64> {
    let files: [&str; 2] = match protocol {
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Tcp | Protocol::Sctp => ["tcp", "tcp6"],
    };
    let listening = (protocol != Protocol::Udp).then_some("0A");
    files
        .iter()
        .filter_map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| parse(line, listening))
                .collect::<Vec<_>>()
        })
        .filter(|(held, _)| {
            held.port() == address.port()
                && (held.ip() == address.ip()
                    || held.ip().is_unspecified()
                    || address.ip().is_unspecified())
        })
        .map(|(_, inode)| inode)
        .collect()
}

/// Local address and inode of a line of `/proc/net/tcp` and its like.
fn parse(line: &str, state: Option<&str>) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    if state.is_some_and(|wanted| fields.get(3) != Some(&wanted)) {
        return None;
    }
    // Addresses are words of four bytes, each printed in the machine's order.
    let word = |i: usize| {
        u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
        }
        _ => return None,
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(ip, port), fields.get(9)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_proc() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0";
        assert_eq!(
            parse(line, Some("0A")),
            Some(("127.0.0.1:8080".parse().unwrap(), 4242))
        );
        assert_eq!(parse(line, Some("01")), None);
        let line6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(parse(line6, None), Some(("[::1]:80".parse().unwrap(), 7)));
        for line in [
            "",
            "  sl  local_address",
            "1: 0:0 0 0A",
            "1: 0100007F: x 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(parse(line, None), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_read(line in "\\PC{0,120}", address in "[0-9A-Fé:]{0,40}") {
            parse(&line, None);
            parse(&format!("0: {address} 0 0A 0 0 0 0 0 1"), Some("0A"));
        }
    }
}

//! The container's `/etc/resolv.conf` and `/etc/hosts` as text, and whom its DNS responder asks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::sandbox::Endpoint;
use crate::spec::{DnsSpec, ExtraHost};

/// Where the container finds its resolver: Docker's address, which images have written into
/// their configuration.
pub const EMBEDDED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// Most upstream servers that are asked, as Docker and resolv.conf(5).
const MOST_SERVERS: usize = 3;

/// What a resolv.conf says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Settings {
    /// Reads resolv.conf(5); lines that it does not know are passed over, as resolvers do.
    fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|w| !w.is_empty());
            match words.next() {
                Some("nameserver") => settings.servers.extend(
                    words
                        .next()
                        // `fe80::1%eth0`: of use on its own link only, which a container is not on.
                        .and_then(|address| address.parse::<IpAddr>().ok()),
                ),
                // The last of `search` and `domain` wins.
                Some("search" | "domain") => settings.search = words.map(str::to_owned).collect(),
                Some("options") => settings.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        settings
    }

    fn overridden(mut self, spec: &DnsSpec) -> Self {
        if !spec.servers.is_empty() {
            self.servers.clone_from(&spec.servers);
        }
        if !spec.search.is_empty() {
            // `.` asks for no search domain at all.
            self.search = spec.search.iter().filter(|s| *s != ".").cloned().collect();
        }
        if !spec.options.is_empty() {
            self.options.clone_from(&spec.options);
        }
        self
    }
}

/// The container's resolv.conf. `host` is the text of the machine's. With `embedded` it names
/// the responder in the container's namespace, else the servers themselves (modes `host`, `none`).
pub fn resolv_conf(spec: &DnsSpec, host: &str, embedded: bool) -> String {
    let mut settings = Settings::parse(host).overridden(spec);
    let mut text = String::from("# Made by gantry for this container.\n");
    if embedded {
        text += &format!("nameserver {EMBEDDED}\n");
        // Names without a dot are asked for as they stand first: service names are such.
        if !settings.options.iter().any(|o| o.starts_with("ndots:")) {
            settings.options.push("ndots:0".to_owned());
        }
    } else {
        for server in &settings.servers {
            text += &format!("nameserver {server}\n");
        }
    }
    if !settings.search.is_empty() {
        text += &format!("search {}\n", settings.search.join(" "));
    }
    if !settings.options.is_empty() {
        text += &format!("options {}\n", settings.options.join(" "));
    }
    text
}

/// The servers that the responder asks for names it does not know.
pub fn upstreams(spec: &DnsSpec, host: &str) -> Vec<SocketAddr> {
    let mut servers = Settings::parse(host).overridden(spec).servers;
    servers.truncate(MOST_SERVERS);
    servers
        .into_iter()
        .map(|server| SocketAddr::new(server, 53))
        .collect()
}

/// What a hosts file is made from.
pub struct HostsFile<'a> {
    /// The container's host name.
    pub hostname: &'a str,
    /// Its domain name, or nothing.
    pub domainname: Option<&'a str>,
    /// Its endpoints.
    pub endpoints: &'a [Endpoint],
    /// Extra lines.
    pub extra_hosts: &'a [ExtraHost],
    /// What `host-gateway` stands for: the bridge's own address.
    pub host_gateway: Option<IpAddr>,
}

/// Lines for extra hosts. `gateway` is what `host-gateway` stands for; without one (mode `host`)
/// it is the loopback address, where the machine itself answers.
pub fn extra_hosts(extra: &[ExtraHost], gateway: Option<IpAddr>) -> String {
    let gateway = gateway.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    extra
        .iter()
        .map(|host| format!("{}\t{}\n", host.address.unwrap_or(gateway), host.name))
        .collect()
}

/// The container's `/etc/hosts`.
pub fn hosts(file: &HostsFile<'_>) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    text += &extra_hosts(file.extra_hosts, file.host_gateway);
    let names = match file.domainname.filter(|d| !d.is_empty()) {
        Some(domain) => format!("{0}.{domain} {0}", file.hostname),
        None => match file.hostname.split_once('.') {
            Some((short, _)) => format!("{} {short}", file.hostname),
            None => file.hostname.to_owned(),
        },
    };
    for endpoint in file.endpoints {
        let v4 = endpoint.ipv4.map(|(a, _)| IpAddr::V4(a));
        let v6 = endpoint.ipv6.map(|(a, _)| IpAddr::V6(a));
        for address in v4.into_iter().chain(v6) {
            text += &format!("{address}\t{names}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# c\nnameserver 192.0.2.1\nnameserver\t2001:db8::1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\ndomain x\nsearch a.example b.example\noptions edns0 timeout:1\n";

    #[test]
    fn embedded() {
        let text = resolv_conf(&DnsSpec::default(), HOST, true);
        assert_eq!(
            text,
            "# Made by gantry for this container.\nnameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 timeout:1 ndots:0\n"
        );
        let ups = upstreams(&DnsSpec::default(), HOST);
        assert_eq!(
            ups.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"]
        );
    }

    #[test]
    fn a_spec_takes_the_place_of_the_host() {
        let spec = DnsSpec {
            servers: vec!["198.51.100.9".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["ndots:2".into()],
        };
        let text = resolv_conf(&spec, HOST, false);
        assert_eq!(
            text,
            "# Made by gantry for this container.\nnameserver 198.51.100.9\noptions ndots:2\n"
        );
        assert!(!resolv_conf(&spec, HOST, true).contains("ndots:0"));
        assert_eq!(upstreams(&spec, HOST).len(), 1);
    }

    #[test]
    fn hosts_file() {
        let endpoint = Endpoint {
            driver: Default::default(),
            network_id: "n".into(),
            network: "n".into(),
            interface: "eth0".into(),
            host_interface: "gv".into(),
            ipv4: Some(("10.0.0.2".parse().unwrap(), 24)),
            ipv6: None,
            gateway4: Some("10.0.0.1".parse().unwrap()),
            gateway6: None,
            mac: String::new(),
            aliases: vec![],
            internal: false,
            gw_priority: 0,
        };
        let file = HostsFile {
            hostname: "web",
            domainname: Some("example.org"),
            endpoints: &[endpoint],
            extra_hosts: &[
                ExtraHost {
                    name: "host.docker.internal".into(),
                    address: None,
                },
                ExtraHost {
                    name: "db".into(),
                    address: Some("192.0.2.7".parse().unwrap()),
                },
            ],
            host_gateway: Some("10.0.0.1".parse().unwrap()),
        };
        let text = hosts(&file);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(
            text.ends_with(
                "10.0.0.1\thost.docker.internal\n192.0.2.7\tdb\n10.0.0.2\tweb.example.org web\n"
            ),
            "{text}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_resolv_conf_can_be_read(text in "\\PC{0,200}", lines in "(nameserver|search|domain|options|#)[ \t]\\PC{0,20}") {
            for text in [text, lines] {
                let made = resolv_conf(&DnsSpec::default(), &text, true);
                proptest::prop_assert!(made.contains("\nnameserver 127.0.0.11\n"));
                upstreams(&DnsSpec::default(), &text);
            }
        }
    }
}

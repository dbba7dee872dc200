//! Networks of a container: `--network`, `--link`, `--ip`, `--publish`.

use std::net::AddrParseError;
use std::str::FromStr;

use gantry_engine::network::{add_link_local, set_endpoint_option};
use gantry_engine::spec::{EndpointSpec, Link, NetworkMode, PortSpec};

use super::mount::csv;
use super::{Parsed, bad, given};
use crate::cli::error::CliError;
use crate::loader::short;
use crate::lower::published;
use crate::model::Port;

/// `--network`, repeated.
pub fn network(list: &[String]) -> Result<NetworkMode, CliError> {
    let mut endpoints = Vec::new();
    for text in list {
        let alone = match text.as_str() {
            "host" => Some(NetworkMode::Host),
            "none" => Some(NetworkMode::None),
            _ => text
                .strip_prefix("container:")
                .map(|name| NetworkMode::Container(name.to_owned())),
        };
        match alone {
            Some(mode) if list.len() == 1 => return Ok(mode),
            Some(_) => {
                return Err(bad(
                    "network",
                    text,
                    "cannot be combined with other networks",
                ));
            }
            None => {
                endpoints.push(long_endpoint(text).map_err(|reason| bad("network", text, reason))?)
            }
        }
    }
    Ok(NetworkMode::Networks(endpoints))
}

/// `NAME`, `default` or `name=NAME,alias=…,ip=…`.
fn long_endpoint(text: &str) -> Parsed<EndpointSpec> {
    if !text.contains('=') {
        return Ok(endpoint(if text == "default" { "bridge" } else { text }));
    }
    let mut found = EndpointSpec::default();
    for part in csv(text)? {
        let (key, value) = part.split_once('=').ok_or("expected key=value")?;
        match key {
            "name" => found.network = value.to_owned(),
            "alias" => found.aliases.push(value.to_owned()),
            "ip" => found.ipv4 = Some(value.parse().map_err(|_| "ip is not an IPv4 address")?),
            "ip6" => found.ipv6 = Some(value.parse().map_err(|_| "ip6 is not an IPv6 address")?),
            "link-local-ip" => link_local(&mut found, value)?,
            "mac-address" => found.mac_address = Some(value.to_owned()),
            "gw-priority" => {
                found.gw_priority = value.parse().map_err(|_| "gw-priority is not a number")?;
            }
            "driver-opt" => endpoint_option(&mut found, value)?,
            other => return Err(format!("`{other}` is not supported")),
        }
    }
    if found.network.is_empty() {
        Err("name= is missing".to_owned())
    } else {
        Ok(found)
    }
}

/// A driver option of an endpoint, `name=value`.
pub fn endpoint_option(endpoint: &mut EndpointSpec, text: &str) -> Parsed<()> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    set_endpoint_option(endpoint, name, value).map_err(|error| error.to_string())
}

/// A link-local address of an endpoint.
pub fn link_local(endpoint: &mut EndpointSpec, text: &str) -> Parsed<()> {
    let address = text
        .parse()
        .map_err(|_| "link-local-ip is not an address")?;
    add_link_local(endpoint, address).map_err(|error| error.to_string())
}

/// An endpoint with nothing but its network.
pub fn endpoint(network: &str) -> EndpointSpec {
    EndpointSpec {
        network: network.to_owned(),
        ..EndpointSpec::default()
    }
}

/// `container[:name]`.
pub fn link(text: &str) -> Parsed<Link> {
    let (target, alias) = text.split_once(':').unwrap_or((text, text));
    let target = target.trim_start_matches('/');
    if target.is_empty() || alias.is_empty() || alias.contains(':') {
        return Err("expected container[:name]".to_owned());
    }
    Ok(Link {
        target: target.to_owned(),
        alias: alias.rsplit('/').next().unwrap_or(alias).to_owned(),
    })
}

/// A flag's address; an empty one is none.
pub fn address<A: FromStr<Err = AddrParseError>>(
    flag: &str,
    value: &Option<String>,
) -> Result<Option<A>, CliError> {
    let parse = |text: String| text.parse().map_err(|error| bad(flag, &text, error));
    given(value).map(parse).transpose()
}

/// A domain in which names are looked up; `.` is none.
pub fn domain(text: &str) -> Parsed<String> {
    let valid = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    match text.trim() {
        "" => Err("not a domain".to_owned()),
        name if name.chars().all(valid) => Ok(name.to_owned()),
        _ => Err("not a domain".to_owned()),
    }
}

/// `[[ip:]host:]container[/protocol]` with ranges, or `published=…,target=…,protocol=…`.
pub fn ports(text: &str) -> Result<Vec<PortSpec>, CliError> {
    let form = "expected [[ip:]host:]container[/protocol]";
    let short = match text.contains('=') {
        true => &short_port(text).map_err(|reason| bad("publish", text, reason))?,
        false => text,
    };
    let ports = short::port::parse(short)
        .map_err(|error| bad("publish", text, format!("{error}; {form}")))?;
    ports
        .each()
        .map(|port| {
            let port = Port {
                target: port.target.into(),
                published: port.published,
                host_ip: ports.host_ip.to_owned(),
                protocol: ports.protocol.to_owned(),
                ..Port::default()
            };
            published(&port).map_err(|reason| bad("publish", text, reason))
        })
        .collect()
}

/// The short form of a port's fields, as Docker makes it.
fn short_port(text: &str) -> Parsed<String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        match field.split_once('=').ok_or("expected key=value")? {
            ("published", value) => published = value,
            ("target", value) => target = value,
            ("protocol", value) => protocol = value,
            // Of swarms: on this machine both are the same.
            ("mode", "host" | "ingress") => {}
            (other, _) => return Err(format!("`{other}` is not supported")),
        }
    }
    if target.is_empty() {
        return Err("target= is missing".to_owned());
    }
    let colon = if published.is_empty() { "" } else { ":" };
    Ok(format!("{published}{colon}{target}/{protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_exclude_each_other() {
        assert!(matches!(
            network(&["host".into()]).unwrap(),
            NetworkMode::Host
        ));
        assert!(network(&["host".into(), "a".into()]).is_err());
        let text = "name=a,gw-priority=-3,driver-opt=com.docker.network.endpoint.ifname=lan";
        let NetworkMode::Networks(list) = network(&[text.into()]).unwrap() else {
            panic!("networks");
        };
        assert_eq!(list[0].gw_priority, -3);
        assert_eq!(list[0].interface_name.as_deref(), Some("lan"));
        assert!(network(&["name=a,driver-opt=colour=red".into()]).is_err());
        let NetworkMode::Networks(list) = network(&["name=a,alias=b,ip=10.0.0.2".into()]).unwrap()
        else {
            panic!("networks");
        };
        assert_eq!(
            (list[0].network.as_str(), list[0].aliases.as_slice()),
            ("a", &["b".to_owned()][..])
        );
    }

    #[test]
    fn ports_in_fields_are_ports_in_short() {
        for (long, short) in [
            ("published=8080,target=80", "8080:80"),
            ("target=80,protocol=udp,mode=host", "80/udp"),
        ] {
            assert_eq!(ports(long).expect(long), ports(short).expect(short));
        }
        for wrong in ["published=80", "target=80,colour=red", "target=80,x"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}

//! Driver options of a network and of an endpoint: Docker's names; any other is refused by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_route::link::{IpVlanFlags, IpVlanMode, MacVlanMode};

use super::error::NetworkError;
use super::record::Publish;
use super::sandbox::valid_interface;
use crate::spec::{EndpointSpec, NetworkDriver};
use crate::sys::user_namespace;

/// The driver options that are known.
pub(super) struct Options {
    /// Name of the bridge interface.
    pub(super) bridge: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) masquerade: bool,
    pub(super) publish: Publish,
    /// Members may talk to each other.
    pub(super) icc: bool,
    /// The interface that members of a macvlan or ipvlan network are on.
    pub(super) parent: Option<String>,
    pub(super) macvlan: MacVlanMode,
    pub(super) ipvlan: (IpVlanMode, IpVlanFlags),
}

/// Whether a driver knows these options and their values; the error names the first that is wrong.
pub fn check_options(
    driver: NetworkDriver,
    given: &BTreeMap<String, String>,
) -> Result<(), NetworkError> {
    Options::parse(driver, given).map(drop)
}

/// Takes a driver option of an endpoint.
///
/// # Errors
/// When there is no such option, or its value is wrong.
pub fn set_endpoint_option(
    endpoint: &mut EndpointSpec,
    name: &str,
    value: &str,
) -> Result<(), NetworkError> {
    match name {
        "com.docker.network.endpoint.ifname" => {
            valid_interface(value)?;
            endpoint.interface_name = Some(value.to_owned());
        }
        "com.docker.network.endpoint.sysctls" => {
            for setting in value.split(',') {
                let (key, wanted) = interface_setting(setting).ok_or_else(|| {
                    let reason = "it is `net.ipv4.….IFNAME.…=VALUE` or `net.ipv6.….IFNAME.…=VALUE`, separated by commas";
                    NetworkError::DriverOption {
                        name: name.to_owned(),
                        value: value.to_owned(),
                        reason,
                    }
                })?;
                endpoint.sysctls.insert(key.to_owned(), wanted.to_owned());
            }
        }
        _ => return Err(NetworkError::UnknownEndpointOption(name.to_owned())),
    }
    Ok(())
}

/// Takes a link-local address of an endpoint; the second time it means nothing.
///
/// # Errors
/// When it is no such address.
pub fn add_link_local(endpoint: &mut EndpointSpec, address: IpAddr) -> Result<(), NetworkError> {
    if link_local_prefix(address).is_none() {
        return Err(NetworkError::LinkLocal(address));
    }
    if !endpoint.link_local.contains(&address) {
        endpoint.link_local.push(address);
    }
    Ok(())
}

/// The length of a link-local address' prefix (RFC 3927, RFC 4291 2.5.6); `None` for others.
pub(super) fn link_local_prefix(address: IpAddr) -> Option<u8> {
    match address {
        IpAddr::V4(v4) => v4.is_link_local().then_some(16),
        IpAddr::V6(v6) => v6.is_unicast_link_local().then_some(64),
    }
}

/// The name and the value of an interface's kernel setting.
fn interface_setting(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let parts: Vec<&str> = key.split('.').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let ["net", "ipv4" | "ipv6", _, "IFNAME", _] = parts.as_slice() else {
        return None;
    };
    parts.iter().all(plain).then_some((key, value))
}

impl Options {
    pub(super) fn parse(
        driver: NetworkDriver,
        given: &BTreeMap<String, String>,
    ) -> Result<Self, NetworkError> {
        let mut options = Self {
            bridge: None,
            mtu: None,
            masquerade: true,
            publish: Publish::Relay,
            icc: true,
            parent: None,
            macvlan: MacVlanMode::Bridge,
            ipvlan: (IpVlanMode::L2, IpVlanFlags::empty()),
        };
        for (name, value) in given {
            let known = match name.as_str() {
                "com.docker.network.driver.mtu" | "mtu" => {
                    let mtu = value.parse().ok().filter(|m| (68..=65535).contains(m));
                    options.mtu = mtu;
                    mtu.map(drop).ok_or("it is between 68 and 65535")
                }
                _ => match driver {
                    NetworkDriver::Bridge => options.of_bridge(name, value)?,
                    NetworkDriver::Macvlan => options.of_macvlan(name, value)?,
                    NetworkDriver::Ipvlan => options.of_ipvlan(name, value)?,
                },
            };
            known.map_err(|reason| NetworkError::DriverOption {
                name: name.clone(),
                value: value.clone(),
                reason,
            })?;
        }
        Ok(options)
    }

    fn of_bridge(&mut self, name: &str, value: &str) -> Result<Known, NetworkError> {
        let set = |field: &mut bool| {
            *field = match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err("it is `true` or `false`"),
            };
            Ok(())
        };
        Ok(match name {
            "com.docker.network.bridge.name" => {
                valid_interface(value)?;
                self.bridge = Some(value.to_owned());
                Ok(())
            }
            "gantry.network.publish" => match value {
                "relay" => Ok(Publish::Relay),
                "dnat" if !user_namespace::is_initial() => {
                    Err("an ordinary user has no packet filter of the machine's; it is `relay`, or needs root")
                }
                "dnat" => Ok(Publish::Dnat),
                _ => Err("it is `relay` or `dnat`"),
            }
            .map(|publish| self.publish = publish),
            "com.docker.network.bridge.enable_ip_masquerade" => set(&mut self.masquerade),
            "com.docker.network.bridge.enable_icc" => set(&mut self.icc),
            "com.docker.network.bridge.gateway_mode_ipv4"
            | "com.docker.network.bridge.gateway_mode_ipv6"
                if value == "nat" =>
            {
                Ok(())
            }
            _ => return Err(unknown(name, NetworkDriver::Bridge)),
        })
    }

    fn of_macvlan(&mut self, name: &str, value: &str) -> Result<Known, NetworkError> {
        Ok(match name {
            "parent" => self.take_parent(value)?,
            "macvlan_mode" => match value {
                "bridge" | "" => Ok(MacVlanMode::Bridge),
                "private" => Ok(MacVlanMode::Private),
                "vepa" => Ok(MacVlanMode::Vepa),
                "passthru" => Ok(MacVlanMode::Passthrough),
                _ => Err("it is `bridge`, `private`, `vepa` or `passthru`"),
            }
            .map(|mode| self.macvlan = mode),
            _ => return Err(unknown(name, NetworkDriver::Macvlan)),
        })
    }

    fn of_ipvlan(&mut self, name: &str, value: &str) -> Result<Known, NetworkError> {
        Ok(match name {
            "parent" => self.take_parent(value)?,
            "ipvlan_mode" => match value {
                "l2" | "" => Ok(IpVlanMode::L2),
                "l3" => Ok(IpVlanMode::L3),
                "l3s" => Ok(IpVlanMode::L3S),
                _ => Err("it is `l2`, `l3` or `l3s`"),
            }
            .map(|mode| self.ipvlan.0 = mode),
            "ipvlan_flag" => match value {
                "bridge" | "" => Ok(IpVlanFlags::empty()),
                "private" => Ok(IpVlanFlags::Private),
                "vepa" => Ok(IpVlanFlags::Vepa),
                _ => Err("it is `bridge`, `private` or `vepa`"),
            }
            .map(|flag| self.ipvlan.1 = flag),
            _ => return Err(unknown(name, NetworkDriver::Ipvlan)),
        })
    }

    /// An empty one is none, as with Docker.
    fn take_parent(&mut self, value: &str) -> Result<Known, NetworkError> {
        if !value.is_empty() {
            valid_interface(value)?;
            self.parent = Some(value.to_owned());
        }
        Ok(Ok(()))
    }
}

/// What a known option's value is found to be: fine, or wrong for this reason.
type Known = Result<(), &'static str>;

fn unknown(option: &str, driver: NetworkDriver) -> NetworkError {
    NetworkError::UnknownDriverOption {
        option: option.to_owned(),
        driver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: NetworkDriver, name: &str, value: &str) -> Result<Options, String> {
        let given = [(name.to_owned(), value.to_owned())].into();
        Options::parse(driver, &given).map_err(|e| e.to_string())
    }

    #[test]
    fn an_endpoint_has_options_of_its_own() {
        let mut endpoint = EndpointSpec::default();
        let mut set = |name: &str, value: &str| {
            let name = format!("com.docker.network.endpoint.{name}");
            set_endpoint_option(&mut endpoint, &name, value).map_err(|error| error.to_string())
        };
        set("ifname", "lan").unwrap();
        set(
            "sysctls",
            "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.gc_stale_time=9",
        )
        .unwrap();
        for (name, value) in [
            ("ifname", "a/b"),
            ("sysctls", "net.ipv4.ip_forward=1"),
            ("sysctls", "net.ipv4.conf.eth0.forwarding=1"),
            ("sysctls", "net.ipv4.conf.IFNAME.../x=1"),
            ("sysctls", "kernel.x.conf.IFNAME.y=1"),
            ("sysctls", "net.ipv4.conf.IFNAME.forwarding"),
            ("colour", "red"),
        ] {
            let error = set(name, value).unwrap_err();
            assert!(error.contains(name) || error.contains(value), "{error}");
        }
        assert_eq!(endpoint.interface_name.as_deref(), Some("lan"));
        assert_eq!(endpoint.sysctls["net.ipv4.conf.IFNAME.log_martians"], "1");
        assert_eq!(endpoint.sysctls.len(), 2);
    }

    #[test]
    fn values_are_understood() {
        use NetworkDriver::{Ipvlan, Macvlan};
        let mode = |value| parse(Macvlan, "macvlan_mode", value).unwrap().macvlan;
        assert_eq!(mode("vepa"), MacVlanMode::Vepa);
        assert_eq!(mode("passthru"), MacVlanMode::Passthrough);
        let mode = |value| parse(Ipvlan, "ipvlan_mode", value).unwrap().ipvlan.0;
        assert_eq!(mode("l2"), IpVlanMode::L2);
        assert_eq!(mode("l3s"), IpVlanMode::L3S);
        let flag = |value| parse(Ipvlan, "ipvlan_flag", value).unwrap().ipvlan.1;
        assert_eq!(flag("bridge"), IpVlanFlags::empty());
        assert_eq!(flag("private"), IpVlanFlags::Private);
        let parent = |value| parse(Ipvlan, "parent", value).unwrap().parent;
        assert_eq!(parent("eth0.10").as_deref(), Some("eth0.10"));
        assert_eq!(parent(""), None);
    }

    #[test]
    fn wrong_ones_are_refused_by_name() {
        use NetworkDriver::{Bridge, Ipvlan, Macvlan};
        for (driver, name, value, says) in [
            (
                Bridge,
                "parent",
                "eth0",
                "driver option `parent` is not supported with driver `bridge`",
            ),
            (
                Macvlan,
                "ipvlan_mode",
                "l2",
                "driver option `ipvlan_mode` is not supported with driver `macvlan`",
            ),
            (
                Ipvlan,
                "com.docker.network.bridge.enable_icc",
                "true",
                "is not supported with driver `ipvlan`",
            ),
            (
                Macvlan,
                "macvlan_mode",
                "l2",
                "driver option `macvlan_mode: l2` is invalid: it is `bridge`",
            ),
            (
                Ipvlan,
                "ipvlan_mode",
                "l4",
                "driver option `ipvlan_mode: l4` is invalid: it is `l2`",
            ),
            (
                Ipvlan,
                "ipvlan_flag",
                "x",
                "driver option `ipvlan_flag: x` is invalid",
            ),
            (
                Bridge,
                "gantry.network.publish",
                "nat",
                "it is `relay` or `dnat`",
            ),
            (Macvlan, "mtu", "7", "driver option `mtu: 7` is invalid"),
            (Macvlan, "parent", "a/b", "`a/b` is not an interface name"),
        ] {
            let text = parse(driver, name, value).err().unwrap();
            assert!(text.contains(says), "{text}");
        }
    }
}

//! Driver options of a network: Docker's names; any other is refused by name.

use super::error::NetworkError;
use super::sandbox::valid_interface;
use crate::spec::NetworkSpec;

/// The driver options that are known.
pub(super) struct Options {
    /// Name of the bridge interface.
    pub(super) bridge: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) masquerade: bool,
    /// Members may talk to each other.
    pub(super) icc: bool,
}

impl Options {
    pub(super) fn parse(spec: &NetworkSpec) -> Result<Self, NetworkError> {
        let mut options = Self {
            bridge: None,
            mtu: None,
            masquerade: true,
            icc: true,
        };
        for (name, value) in &spec.driver_opts {
            let wrong = |reason| NetworkError::DriverOption {
                name: name.clone(),
                value: value.clone(),
                reason,
            };
            let truth = || match value.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(wrong("it is `true` or `false`")),
            };
            match name.as_str() {
                "com.docker.network.driver.mtu" | "mtu" => {
                    let mtu = value.parse().ok().filter(|m| (68..=65535).contains(m));
                    options.mtu = Some(mtu.ok_or_else(|| wrong("it is between 68 and 65535"))?);
                }
                "com.docker.network.bridge.name" => {
                    valid_interface(value)?;
                    options.bridge = Some(value.clone());
                }
                "com.docker.network.bridge.enable_ip_masquerade" => options.masquerade = truth()?,
                "com.docker.network.bridge.enable_icc" => options.icc = truth()?,
                "com.docker.network.bridge.gateway_mode_ipv4"
                | "com.docker.network.bridge.gateway_mode_ipv6"
                    if value == "nat" => {}
                _ => return Err(NetworkError::UnknownDriverOption(name.clone())),
            }
        }
        Ok(options)
    }
}

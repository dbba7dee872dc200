//! Attributes that the engine cannot do, and those that mean nothing on one machine.

use crate::model::{Project, Service};

use super::Finding;

/// Refuses what a project asks for beyond its services.
pub(super) fn project(project: &Project, findings: &mut Vec<Finding>, warnings: &mut Vec<Finding>) {
    for (key, network) in project.networks.iter().filter(|(_, n)| !n.external) {
        match network.driver.as_str() {
            "" | "default" | "bridge" => {}
            "overlay" => warnings.push(Finding {
                path: format!("networks.{key}.driver"),
                message: "an overlay network of one machine is a bridge".to_owned(),
                hint: None,
            }),
            other => findings.push(Finding {
                path: format!("networks.{key}.driver"),
                message: format!("the network driver `{other}` is not supported"),
                hint: Some(
                    "use `bridge`; `network_mode: host` and `none` need no network".to_owned(),
                ),
            }),
        }
        if !matches!(network.ipam.driver.as_str(), "" | "default") {
            findings.push(Finding {
                path: format!("networks.{key}.ipam.driver"),
                message: format!(
                    "the address management `{}` is not supported",
                    network.ipam.driver
                ),
                hint: Some("use `default`".to_owned()),
            });
        }
    }
    for (key, volume) in project.volumes.iter().filter(|(_, v)| !v.external) {
        if !matches!(volume.driver.as_str(), "" | "local") {
            findings.push(Finding {
                path: format!("volumes.{key}.driver"),
                message: format!("the volume driver `{}` is not supported", volume.driver),
                hint: Some("use `local`".to_owned()),
            });
        }
    }
}

/// Refuses what a service asks for.
pub(super) fn service(
    name: &str,
    service: &Service,
    findings: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let path = |attribute: &str| format!("services.{name}.{attribute}");
    let mut refuse = |given: bool, attribute: &str, message: &str, hint: Option<&str>| {
        if given {
            findings.push(Finding {
                path: path(attribute),
                message: message.to_owned(),
                hint: hint.map(str::to_owned),
            });
        }
    };
    let windows = "is of Windows and has no meaning on Linux";
    refuse(
        service.cpu_count != 0,
        "cpu_count",
        &format!("`cpu_count` {windows}"),
        Some("use `cpus`"),
    );
    refuse(
        service.cpu_percent.nanos() != 0,
        "cpu_percent",
        &format!("`cpu_percent` {windows}"),
        Some("use `cpus`"),
    );
    refuse(
        service.credential_spec.is_some(),
        "credential_spec",
        &format!("`credential_spec` {windows}"),
        None,
    );
    refuse(
        !matches!(service.isolation.as_str(), "" | "default"),
        "isolation",
        &format!("`isolation` {windows}"),
        None,
    );
    refuse(
        !matches!(service.runtime.as_str(), "" | "runc"),
        "runtime",
        "other runtimes are not supported: Gantry has its own",
        Some("leave `runtime` out"),
    );
    refuse(
        !service.gpus.is_empty(),
        "gpus",
        "GPU requests are not supported",
        Some("name the devices under `devices`"),
    );
    refuse(
        service.provider.is_some(),
        "provider",
        "providers are not supported",
        None,
    );
    refuse(
        service.use_api_socket,
        "use_api_socket",
        "there is no engine socket to mount",
        None,
    );
    refuse(
        !service.storage_opt.is_empty(),
        "storage_opt",
        "storage options are not supported",
        None,
    );
    refuse(
        !service.models.is_empty(),
        "models",
        "AI models are not supported",
        None,
    );
    refuse(
        !service.pre_start.is_empty(),
        "pre_start",
        "`pre_start` hooks are not supported",
        Some("use a service and `condition: service_completed_successfully`"),
    );
    for (index, link) in service.external_links.iter().enumerate() {
        let renamed = link.split_once(':').is_some_and(|(from, to)| from != to);
        refuse(
            renamed,
            &format!("external_links[{index}]"),
            "an external link cannot rename a container",
            Some("join its network and use its own name"),
        );
    }
    for (key, attachment) in &service.networks {
        let Some(attachment) = attachment else {
            continue;
        };
        refuse(
            !attachment.link_local_ips.is_empty(),
            &format!("networks.{key}.link_local_ips"),
            "link-local addresses are not supported",
            None,
        );
        refuse(
            !attachment.driver_opts.is_empty(),
            &format!("networks.{key}.driver_opts"),
            "options of a single endpoint are not supported",
            None,
        );
    }
    let Some(deploy) = &service.deploy else {
        return;
    };
    refuse(
        !matches!(deploy.mode.as_str(), "" | "replicated"),
        "deploy.mode",
        "only `replicated` is supported on one machine",
        Some("use `replicas`"),
    );
    let reservations = deploy.resources.reservations.as_ref();
    refuse(
        reservations.is_some_and(|r| !r.devices.is_empty()),
        "deploy.resources.reservations.devices",
        "device reservations are not supported",
        Some("name the devices under `devices`"),
    );
    let mut tell = |given: bool, attribute: &str| {
        if given {
            warnings.push(Finding {
                path: path(attribute),
                message: format!("`{attribute}` has no effect on one machine"),
                hint: None,
            });
        }
    };
    tell(deploy.update_config.is_some(), "deploy.update_config");
    tell(deploy.rollback_config.is_some(), "deploy.rollback_config");
    tell(!deploy.endpoint_mode.is_empty(), "deploy.endpoint_mode");
    tell(
        !deploy.placement.constraints.is_empty() || !deploy.placement.preferences.is_empty(),
        "deploy.placement",
    );
    if let Some(policy) = &deploy.restart_policy {
        tell(policy.delay.is_some(), "deploy.restart_policy.delay");
        tell(policy.window.is_some(), "deploy.restart_policy.window");
    }
}

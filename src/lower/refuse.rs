//! Attributes that the engine cannot do, and those that mean nothing on one machine.

use gantry_engine::container::create::{find_platform, find_runtime};
use gantry_engine::network::{NetworkError, check_options};
use gantry_engine::spec::NetworkDriver;
use gantry_engine::volume::{Backing, VolumeError};

use crate::model::{Deploy, Project, Service};

use super::Findings;

/// One attribute that is refused when it is given.
struct Refusal<'a> {
    given: bool,
    attribute: &'a str,
    message: &'a str,
    help: &'a str,
}

const fn refusal<'a>(
    given: bool,
    attribute: &'a str,
    message: &'a str,
    help: &'a str,
) -> Refusal<'a> {
    Refusal {
        given,
        attribute,
        message,
        help,
    }
}

/// Refuses what a project asks for beyond its services.
pub(super) fn project(project: &Project, findings: &mut Findings) {
    for (key, network) in project.networks.iter().filter(|(_, n)| !n.external) {
        match network.driver.as_str() {
            "" | "default" | "bridge" | "macvlan" | "ipvlan" => {}
            "overlay" => findings.warn(
                format!("networks.{key}.driver"),
                "an overlay network of one machine is a bridge",
                "write `bridge`, or leave `driver` out",
            ),
            other => findings.refuse(
                format!("networks.{key}.driver"),
                format!("the network driver `{other}` is not supported"),
                "use `bridge`, `macvlan` or `ipvlan`; `network_mode: host` and `none` need no network",
            ),
        }
        let driver = NetworkDriver::of_name(&network.driver).unwrap_or_default();
        if let Err(error) = check_options(driver, &network.driver_opts) {
            let path = format!("networks.{key}.driver_opts");
            match error {
                NetworkError::DriverOption { ref name, .. }
                | NetworkError::UnknownDriverOption {
                    option: ref name, ..
                } => findings.refuse(
                    format!("{path}.{name}"),
                    error.to_string(),
                    "change the option, or leave it out",
                ),
                other => findings.refuse(path, other.to_string(), "change the options"),
            }
        }
        if !matches!(network.ipam.driver.as_str(), "" | "default") {
            findings.refuse(
                format!("networks.{key}.ipam.driver"),
                format!(
                    "the address management `{}` is not supported",
                    network.ipam.driver
                ),
                "use `default`",
            );
        }
    }
    for (key, volume) in project.volumes.iter().filter(|(_, v)| !v.external) {
        if !matches!(volume.driver.as_str(), "" | "local") {
            findings.refuse(
                format!("volumes.{key}.driver"),
                format!("the volume driver `{}` is not supported", volume.driver),
                "use `local`",
            );
        } else if let Err(VolumeError::Unsupported { reason, .. }) =
            Backing::from_options(&volume.name, &volume.driver_opts)
        {
            findings.refuse(
                format!("volumes.{key}.driver_opts"),
                reason,
                "a directory is `type: none`, `o: bind` and a `device`; a server's is `type: nfs`, `o: addr=…` and a `device`",
            );
        }
    }
}

/// Refuses what a service asks for.
pub(super) fn service(name: &str, service: &Service, findings: &mut Findings) {
    if !service.platform.is_empty()
        && let Err(error) = find_platform(&service.platform)
    {
        findings.refuse(
            format!("services.{name}.platform"),
            error.to_string(),
            "leave `platform` out, and DOCKER_DEFAULT_PLATFORM unset, for this machine's own",
        );
    }
    let of_windows = windows(service);
    for Refusal {
        given,
        attribute,
        message,
        help,
    } in of_windows.into_iter().chain(foreign(service))
    {
        if given {
            findings.refuse(format!("services.{name}.{attribute}"), message, help);
        }
    }
    links(name, service, findings);
    if let Some(deploy) = &service.deploy {
        of_swarm(name, deploy, findings);
    }
}

/// Attributes of Windows containers.
fn windows(service: &Service) -> [Refusal<'static>; 4] {
    [
        refusal(
            service.cpu_count != 0,
            "cpu_count",
            "`cpu_count` is of Windows and has no meaning on Linux",
            "use `cpus`",
        ),
        refusal(
            service.cpu_percent.nanos() != 0,
            "cpu_percent",
            "`cpu_percent` is of Windows and has no meaning on Linux",
            "use `cpus`",
        ),
        refusal(
            service.credential_spec.is_some(),
            "credential_spec",
            "`credential_spec` is of Windows and has no meaning on Linux",
            "remove it; give credentials as `secrets`",
        ),
        refusal(
            !matches!(service.isolation.as_str(), "" | "default"),
            "isolation",
            "`isolation` is of Windows and has no meaning on Linux",
            "remove it",
        ),
    ]
}

/// Attributes that need programs or services which Gantry does not have.
fn foreign(service: &Service) -> [Refusal<'static>; 6] {
    [
        refusal(
            service.runtime != "runc" && find_runtime(&service.runtime).is_err(),
            "runtime",
            "no such OCI runtime is installed",
            "install it, write its path, or leave `runtime` out",
        ),
        refusal(
            service.provider.is_some(),
            "provider",
            "providers are not supported",
            "run the thing as a service with an `image:`, or start it before `up` and remove this",
        ),
        refusal(
            service.use_api_socket,
            "use_api_socket",
            "there is no engine socket to mount",
            "remove it: Gantry has no daemon to talk to",
        ),
        refusal(
            !service.storage_opt.is_empty(),
            "storage_opt",
            "storage options are not supported",
            "remove it; limit what is written with a `tmpfs` of a given `size`",
        ),
        refusal(
            !service.models.is_empty(),
            "models",
            "AI models are not supported",
            "run the model server as a service and pass its address in `environment`",
        ),
        refusal(
            !service.pre_start.is_empty(),
            "pre_start",
            "`pre_start` hooks are not supported",
            "use a service and `condition: service_completed_successfully`",
        ),
    ]
}

fn links(name: &str, service: &Service, findings: &mut Findings) {
    for (index, link) in service.external_links.iter().enumerate() {
        if link.split_once(':').is_some_and(|(from, to)| from != to) {
            findings.refuse(
                format!("services.{name}.external_links[{index}]"),
                "an external link cannot rename a container",
                "join its network and use its own name",
            );
        }
    }
}

/// What only an orchestrator can do is refused when the service would run otherwise, and told
/// when it would not.
fn of_swarm(name: &str, deploy: &Deploy, findings: &mut Findings) {
    let path = |attribute: &str| format!("services.{name}.{attribute}");
    if !matches!(deploy.mode.as_str(), "" | "replicated") {
        findings.refuse(
            path("deploy.mode"),
            "only `replicated` is supported on one machine",
            "use `replicas`",
        );
    }
    let policy = deploy.restart_policy.as_ref();
    for (given, attribute) in [
        (deploy.update_config.is_some(), "deploy.update_config"),
        (deploy.rollback_config.is_some(), "deploy.rollback_config"),
        (!deploy.endpoint_mode.is_empty(), "deploy.endpoint_mode"),
        (
            !deploy.placement.constraints.is_empty() || !deploy.placement.preferences.is_empty(),
            "deploy.placement",
        ),
        (
            policy.is_some_and(|p| p.delay.is_some()),
            "deploy.restart_policy.delay",
        ),
        (
            policy.is_some_and(|p| p.window.is_some()),
            "deploy.restart_policy.window",
        ),
    ] {
        if given {
            findings.warn(
                path(attribute),
                format!("`{attribute}` has no effect on one machine"),
                "leave it for an orchestrator, or remove it",
            );
        }
    }
}

//! Devices by path, by the names that their makers gave them, and by number.

use std::path::PathBuf;

use gantry_engine::cdi::{self, CdiError};
use gantry_engine::spec::{ContainerSpec, DeviceSpec};

use crate::model::{Device, DeviceRequest};

use super::{Context, Findings, some};

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    for (index, device) in service.devices.iter().enumerate() {
        if device.source.starts_with('/') {
            spec.devices.push(DeviceSpec {
                source: PathBuf::from(&device.source),
                target: some(&device.target).unwrap_or_else(|| device.source.clone()),
                permissions: some(&device.permissions).unwrap_or_else(|| "rwm".to_owned()),
            });
            continue;
        }
        let at = context.path(&format!("devices[{index}]"));
        let names = found(vec![name(device)]);
        add(spec, findings, at, names);
    }
    let reservations = service
        .deploy
        .as_ref()
        .and_then(|deploy| deploy.resources.reservations.as_ref());
    let reserved = reservations.map_or(&[][..], |reservations| &reservations.devices);
    for (attribute, requests) in [
        ("gpus", service.gpus.as_slice()),
        ("deploy.resources.reservations.devices", reserved),
    ] {
        for (index, request) in requests.iter().enumerate() {
            let at = context.path(&format!("{attribute}[{index}]"));
            add(spec, findings, at, requested(request));
        }
    }
}

/// A name may have a colon, which the short form takes for the beginning of a target.
fn name(device: &Device) -> String {
    match device.target == device.source {
        true => device.source.clone(),
        false => format!("{}:{}", device.source, device.target),
    }
}

/// The names of devices that are asked for by what they can do. One that is asked for by its name can do everything.
fn requested(request: &DeviceRequest) -> Result<Vec<String>, CdiError> {
    if let Some(option) = request.options.keys().next() {
        return Err(CdiError::Request(format!(
            "the device option `{option}` is not supported"
        )));
    }
    let is_gpu = request.capabilities.iter().any(|what| what == "gpu");
    if request.driver.is_empty() && !request.capabilities.is_empty() && !is_gpu {
        return Err(CdiError::Request(format!(
            "no driver is known for devices that can do `{}`",
            request.capabilities.join("`, `")
        )));
    }
    found(cdi::request(
        &request.driver,
        request.count,
        &request.device_ids,
    )?)
}

fn found(names: Vec<String>) -> Result<Vec<String>, CdiError> {
    cdi::find(&names).map(|_| names)
}

fn add(
    spec: &mut ContainerSpec,
    findings: &mut Findings,
    at: String,
    names: Result<Vec<String>, CdiError>,
) {
    match names {
        Ok(names) => spec.cdi_devices.extend(names),
        Err(error) => {
            let help = match error {
                CdiError::Unknown { .. } => {
                    "have its driver describe it (NVIDIA: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`)"
                }
                CdiError::Name(_) => "write `/dev/…`, or `vendor.com/class=name`",
                CdiError::Request(_) => "name the devices under `devices`, or with `driver: cdi`",
                _ => "ask for another device, or leave it out",
            };
            findings.refuse(at, error.to_string(), help);
        }
    }
}

//! Block device weights and rates.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxResources, LinuxThrottleDevice};

use super::Version;
use super::limits::Settings;

/// What to write for the block device limits.
pub(super) fn translate(
    limits: &LinuxResources,
    version: Version,
    _directory: &Path,
    settings: &mut Settings,
) {
    let Some(io) = limits.block_io() else {
        return;
    };
    if io.leaf_weight().is_some_and(|w| w != 0) {
        settings.refuse("block io leaf weight", "the kernel has given this limit up");
    }
    match version {
        Version::V1 => v1(io, settings),
        Version::V2 => v2(io, settings),
    }
}

fn v1(io: &LinuxBlockIo, settings: &mut Settings) {
    if let Some(weight) = io.weight().filter(|&w| w != 0) {
        let files = ["blkio.weight", "blkio.bfq.weight"];
        settings.write_any("block io weight", &files, weight);
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            let files = ["blkio.weight_device", "blkio.bfq.weight_device"];
            settings.write_any("block io device weight", &files, value);
        }
    }
    for (limit, files, devices) in [
        (
            "read bps",
            "blkio.throttle.read_bps_device",
            io.throttle_read_bps_device(),
        ),
        (
            "write bps",
            "blkio.throttle.write_bps_device",
            io.throttle_write_bps_device(),
        ),
        (
            "read iops",
            "blkio.throttle.read_iops_device",
            io.throttle_read_iops_device(),
        ),
        (
            "write iops",
            "blkio.throttle.write_iops_device",
            io.throttle_write_iops_device(),
        ),
    ] {
        for device in devices.iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            settings.write(limit, files, value);
        }
    }
}

fn v2(io: &LinuxBlockIo, settings: &mut Settings) {
    if let Some(weight) = io.weight().filter(|&w| w != 0) {
        let weight = v2_weight(weight);
        settings.write_any("block io weight", &["io.bfq.weight", "io.weight"], weight);
    }
    for device in io.weight_device().iter().flatten() {
        if let Some(weight) = device.weight() {
            let value = format!(
                "{}:{} {}",
                device.major(),
                device.minor(),
                v2_weight(weight)
            );
            let files = ["io.bfq.weight", "io.weight"];
            settings.write_any("block io device weight", &files, value);
        }
    }
    // One line a device holds all its rates.
    let mut lines: BTreeMap<(i64, i64), String> = BTreeMap::new();
    let mut add = |key: &str, devices: &Option<Vec<LinuxThrottleDevice>>| {
        for device in devices.iter().flatten() {
            let line = lines.entry((device.major(), device.minor())).or_default();
            let rate = match device.rate() {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            line.push_str(&format!(" {key}={rate}"));
        }
    };
    add("rbps", io.throttle_read_bps_device());
    add("wbps", io.throttle_write_bps_device());
    add("riops", io.throttle_read_iops_device());
    add("wiops", io.throttle_write_iops_device());
    for ((major, minor), rates) in lines {
        settings.write(
            "block io rates",
            "io.max",
            format!("{major}:{minor}{rates}"),
        );
    }
}

/// v1 weighs from 10 to 1000, v2 from 1 to 10000.
fn v2_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::super::limits::shown;
    use super::*;
    use oci_spec::runtime::{
        LinuxBlockIoBuilder, LinuxResourcesBuilder, LinuxThrottleDeviceBuilder,
    };

    #[test]
    fn rates_of_a_device_share_a_line_in_v2() {
        let rate = |rate: u64| {
            let device = LinuxThrottleDeviceBuilder::default();
            vec![device.major(8).minor(0).rate(rate).build().expect("valid")]
        };
        let io = LinuxBlockIoBuilder::default()
            .weight(10u16)
            .throttle_read_bps_device(rate(100))
            .throttle_write_iops_device(rate(7))
            .build()
            .expect("valid");
        let limits = LinuxResourcesBuilder::default()
            .block_io(io)
            .build()
            .expect("valid");
        assert_eq!(
            shown(translate, &limits, Version::V2).0,
            ["io.bfq.weight|io.weight=1", "io.max=8:0 rbps=100 wiops=7"]
        );
        assert_eq!(
            shown(translate, &limits, Version::V1).0,
            [
                "blkio.weight|blkio.bfq.weight=10",
                "blkio.throttle.read_bps_device=8:0 100",
                "blkio.throttle.write_iops_device=8:0 7"
            ]
        );
        assert_eq!(v2_weight(1000), 10_000);
    }
}

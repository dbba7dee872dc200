//! CPU weight and bandwidth.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::Version;
use super::limits::Settings;

/// The kernel's default period in microseconds.
const PERIOD: u64 = 100_000;

/// What to write for the CPU limits.
pub(super) fn translate(
    limits: &LinuxResources,
    version: Version,
    _directory: &Path,
    settings: &mut Settings,
) {
    let Some(cpu) = limits.cpu() else {
        return;
    };
    match version {
        Version::V1 => {
            if let Some(shares) = cpu.shares().filter(|&s| s != 0) {
                settings.write("cpu shares", "cpu.shares", shares);
            }
            if let Some(period) = cpu.period().filter(|&p| p != 0) {
                settings.write("cpu period", "cpu.cfs_period_us", period);
            }
            if let Some(quota) = cpu.quota().filter(|&q| q != 0) {
                settings.write("cpu quota", "cpu.cfs_quota_us", quota);
            }
            if let Some(period) = cpu.realtime_period().filter(|&p| p != 0) {
                settings.write("realtime period", "cpu.rt_period_us", period);
            }
            if let Some(runtime) = cpu.realtime_runtime().filter(|&r| r != 0) {
                settings.write("realtime runtime", "cpu.rt_runtime_us", runtime);
            }
            if let Some(burst) = cpu.burst() {
                settings.write("cpu burst", "cpu.cfs_burst_us", burst);
            }
        }
        Version::V2 => {
            if let Some(shares) = cpu.shares().filter(|&s| s != 0) {
                settings.write("cpu shares", "cpu.weight", weight(shares));
            }
            let period = cpu.period().filter(|&p| p != 0);
            match (cpu.quota().filter(|&q| q != 0), period) {
                (Some(quota @ 1..), period) => {
                    let value = format!("{quota} {}", period.unwrap_or(PERIOD));
                    settings.write("cpu quota", "cpu.max", value);
                }
                (_, Some(period)) => {
                    settings.write("cpu period", "cpu.max", format!("max {period}"));
                }
                (Some(_), None) => settings.write("cpu quota", "cpu.max", "max"),
                (None, None) => {}
            }
            let realtime = cpu.realtime_period().filter(|&p| p != 0).is_some()
                || cpu.realtime_runtime().filter(|&r| r != 0).is_some();
            if realtime {
                settings.refuse("realtime", "cgroup v2 has no realtime limits");
            }
            if let Some(burst) = cpu.burst() {
                settings.write("cpu burst", "cpu.max.burst", burst);
            }
        }
    }
    if let Some(idle) = cpu.idle() {
        settings.write("cpu idle", "cpu.idle", idle);
    }
}

/// Shares (2 to 262144, 1024 the default) as a weight (1 to 10000, 100 the default). A curve through
/// these three points: with a straight line the two defaults would not meet.
fn weight(shares: u64) -> u64 {
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::super::limits::shown;
    use super::*;
    use oci_spec::runtime::{LinuxCpuBuilder, LinuxResourcesBuilder};

    fn check(quota: i64, period: u64, v1: &[&str], v2: &[&str]) {
        let cpu = LinuxCpuBuilder::default()
            .shares(512u64)
            .quota(quota)
            .period(period)
            .build()
            .expect("valid");
        let limits = LinuxResourcesBuilder::default()
            .cpu(cpu)
            .build()
            .expect("valid");
        assert_eq!(shown(translate, &limits, Version::V1).0, v1);
        assert_eq!(shown(translate, &limits, Version::V2).0, v2);
    }

    #[test]
    fn bandwidth() {
        check(
            150_000,
            100_000,
            &[
                "cpu.shares=512",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=150000",
            ],
            &["cpu.weight=59", "cpu.max=150000 100000"],
        );
        check(
            -1,
            0,
            &["cpu.shares=512", "cpu.cfs_quota_us=-1"],
            &["cpu.weight=59", "cpu.max=max"],
        );
        check(
            0,
            50_000,
            &["cpu.shares=512", "cpu.cfs_period_us=50000"],
            &["cpu.weight=59", "cpu.max=max 50000"],
        );
    }

    #[test]
    fn the_ends_and_the_default_of_the_weights_meet() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 100);
        assert_eq!(weight(262_144), 10_000);
        assert_eq!(weight(0), 1);
        assert_eq!(weight(u64::MAX), 10_000);
    }
}

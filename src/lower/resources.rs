//! Limits and devices. `deploy.resources` fills what the service's own attributes leave open;
//! the loader has refused files in which the two disagree.

use std::path::PathBuf;

use gantry_engine::spec::{BlockIoDevice, BlockIoLimits, ContainerSpec, Resources, Ulimit};

use crate::model::{self, Blkio};

use super::{Context, Findings, some};

pub(super) fn apply(context: &Context<'_>, spec: &mut ContainerSpec, findings: &mut Findings) {
    let service = context.service;
    let deploy = service.deploy.as_ref().map(|deploy| &deploy.resources.0);
    let limits = deploy.and_then(|resources| resources.limits.as_ref());
    let reservations = deploy.and_then(|resources| resources.reservations.as_ref());
    for (attribute, size) in [
        ("mem_limit", service.mem_limit),
        ("mem_reservation", service.mem_reservation),
        ("shm_size", service.shm_size),
    ] {
        if size.0 < 0 {
            findings.refuse(
                context.path(attribute),
                format!("`{attribute}` cannot be negative"),
                "leave it out for no limit",
            );
        }
    }
    spec.resources = Resources {
        memory: bytes(service.mem_limit).or_else(|| limits.and_then(|l| bytes(l.memory))),
        memory_reservation: bytes(service.mem_reservation)
            .or_else(|| reservations.and_then(|r| bytes(r.memory))),
        memory_swap: nonzero(service.memswap_limit.0),
        memory_swappiness: bytes(service.mem_swappiness),
        oom_kill_disable: service.oom_kill_disable,
        oom_score_adj: nonzero(service.oom_score_adj).and_then(|n| i32::try_from(n).ok()),
        cpus: cpus(service.cpus).or_else(|| limits.and_then(|l| cpus(l.cpus))),
        cpu_shares: positive(service.cpu_shares),
        cpu_period: positive(service.cpu_period),
        cpu_quota: nonzero(service.cpu_quota),
        cpu_rt_period: positive(service.cpu_rt_period),
        cpu_rt_runtime: nonzero(service.cpu_rt_runtime),
        cpuset_cpus: some(&service.cpuset),
        cpuset_mems: None,
        pids: nonzero(service.pids_limit).or_else(|| limits.and_then(|l| nonzero(l.pids))),
        block_io: service
            .blkio_config
            .as_ref()
            .map(block_io)
            .unwrap_or_default(),
    };
    spec.shm_size = bytes(service.shm_size);
    spec.ulimits = service
        .ulimits
        .iter()
        .map(|(name, limit)| {
            let (soft, hard) = limit.limits();
            (name.clone(), Ulimit { soft, hard })
        })
        .collect();
    spec.sysctls = service.sysctls.clone();
    spec.device_cgroup_rules = service.device_cgroup_rules.clone();
    super::devices::apply(context, spec, findings);
}

fn nonzero(number: i64) -> Option<i64> {
    (number != 0).then_some(number)
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

fn bytes(bytes: model::Bytes) -> Option<u64> {
    positive(bytes.0)
}

fn cpus(cpus: model::Cpus) -> Option<f64> {
    let nanos = cpus.nanos();
    // Through the decimal text, so that 0.1 stays 0.1.
    (nanos > 0).then(|| cpus.0.to_string().parse().unwrap_or(nanos as f64 / 1e9))
}

fn block_io(config: &Blkio) -> BlockIoLimits {
    let rates = |devices: &[model::ThrottleDevice]| {
        devices
            .iter()
            .map(|device| BlockIoDevice {
                path: PathBuf::from(&device.path),
                value: u64::try_from(device.rate.0).unwrap_or(0),
            })
            .collect()
    };
    BlockIoLimits {
        weight: (config.weight != 0).then_some(config.weight),
        weight_device: config
            .weight_device
            .iter()
            .map(|device| BlockIoDevice {
                path: PathBuf::from(&device.path),
                value: u64::from(device.weight),
            })
            .collect(),
        read_bps: rates(&config.device_read_bps),
        write_bps: rates(&config.device_write_bps),
        read_iops: rates(&config.device_read_iops),
        write_iops: rates(&config.device_write_iops),
    }
}

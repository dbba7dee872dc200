//! Limits: cgroup resources and rlimits.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPidsBuilder, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType,
};

use crate::container::ContainerError;
use crate::spec::{BlockIoDevice, ContainerSpec, Resources, Ulimit};

/// CFS period that `cpus` is measured in, in microseconds.
const PERIOD: u64 = 100_000;

/// cgroup limits, without device rules.
pub fn resources(asked: &Resources) -> Result<LinuxResources, ContainerError> {
    let mut result = LinuxResources::default();
    result
        .set_devices(None)
        .set_memory(memory(asked)?)
        .set_cpu(cpu(asked)?)
        .set_block_io(block_io(asked)?);
    // Docker: 0 and -1 are no limit.
    if let Some(limit) = asked.pids {
        let limit = if limit <= 0 { -1 } else { limit };
        result.set_pids(LinuxPidsBuilder::default().limit(limit).build().ok());
    }
    Ok(result)
}

fn signed(bytes: u64, what: &str) -> Result<i64, ContainerError> {
    i64::try_from(bytes)
        .map_err(|_| ContainerError::Invalid(format!("{what} of {bytes} bytes is too large")))
}

/// Limits of memory and swap.
pub fn memory(asked: &Resources) -> Result<Option<LinuxMemory>, ContainerError> {
    let mut memory = LinuxMemory::default();
    let empty = memory;
    if let Some(limit) = asked.memory {
        if limit < 6 << 20 {
            return Err(ContainerError::Invalid(
                "minimum memory limit allowed is 6 MiB".to_owned(),
            ));
        }
        memory.set_limit(Some(signed(limit, "memory limit")?));
        // Docker's default: as much swap again.
        if asked.memory_swap.is_none() {
            memory.set_swap(Some(signed(limit.saturating_mul(2), "memory limit")?));
        }
    }
    if let Some(reservation) = asked.memory_reservation {
        memory.set_reservation(Some(signed(reservation, "memory reservation")?));
    }
    if let Some(swap) = asked.memory_swap {
        let limit = memory.limit().unwrap_or(0);
        if swap != -1 && asked.memory.is_none() {
            return Err(ContainerError::Invalid(
                "a swap limit needs a memory limit too".to_owned(),
            ));
        }
        if swap > 0 && swap < limit {
            return Err(ContainerError::Invalid(
                "the swap limit counts memory and swap together: it cannot be below the memory limit"
                    .to_owned(),
            ));
        }
        memory.set_swap(Some(if swap == 0 {
            limit.saturating_mul(2)
        } else {
            swap
        }));
    }
    memory.set_swappiness(asked.memory_swappiness);
    if asked.oom_kill_disable {
        memory.set_disable_oom_killer(Some(true));
    }
    Ok((memory != empty).then_some(memory))
}

/// Limits of CPU time and the choice of CPUs.
pub fn cpu(asked: &Resources) -> Result<Option<LinuxCpu>, ContainerError> {
    let mut cpu = LinuxCpu::default();
    let empty = cpu.clone();
    if let Some(cpus) = asked.cpus {
        if asked.cpu_period.is_some() || asked.cpu_quota.is_some() {
            return Err(ContainerError::Invalid(
                "`cpus` and CPU period or quota are two ways to say one thing; choose one"
                    .to_owned(),
            ));
        }
        if !(cpus > 0.0 && cpus.is_finite()) {
            return Err(ContainerError::Invalid(format!(
                "`cpus` of {cpus} is not a positive number"
            )));
        }
        cpu.set_period(Some(PERIOD))
            .set_quota(Some((cpus * PERIOD as f64) as i64));
    } else {
        // Docker: 0 is the default of both.
        cpu.set_period(asked.cpu_period.filter(|period| *period != 0))
            .set_quota(asked.cpu_quota.filter(|quota| *quota != 0));
    }
    cpu.set_shares(asked.cpu_shares)
        .set_realtime_period(asked.cpu_rt_period)
        .set_realtime_runtime(asked.cpu_rt_runtime)
        .set_cpus(asked.cpuset_cpus.clone())
        .set_mems(asked.cpuset_mems.clone());
    Ok((cpu != empty).then_some(cpu))
}

fn block_io(asked: &Resources) -> Result<Option<LinuxBlockIo>, ContainerError> {
    let limits = &asked.block_io;
    if *limits == crate::spec::BlockIoLimits::default() {
        return Ok(None);
    }
    let mut io = LinuxBlockIo::default();
    io.set_weight(limits.weight)
        .set_weight_device(weights(&limits.weight_device)?)
        .set_throttle_read_bps_device(rates(&limits.read_bps)?)
        .set_throttle_write_bps_device(rates(&limits.write_bps)?)
        .set_throttle_read_iops_device(rates(&limits.read_iops)?)
        .set_throttle_write_iops_device(rates(&limits.write_iops)?);
    Ok(Some(io))
}

fn device_numbers(path: &Path) -> Result<(i64, i64), ContainerError> {
    let metadata = std::fs::metadata(path).map_err(|source| ContainerError::Host {
        action: "use the block device",
        path: path.display().to_string(),
        source,
    })?;
    if !metadata.file_type().is_block_device() {
        return Err(ContainerError::Invalid(format!(
            "`{}` is not a block device",
            path.display()
        )));
    }
    let device = metadata.rdev();
    Ok((
        i64::from(rustix::fs::major(device)),
        i64::from(rustix::fs::minor(device)),
    ))
}

fn rates(devices: &[BlockIoDevice]) -> Result<Option<Vec<LinuxThrottleDevice>>, ContainerError> {
    let mut result = Vec::new();
    for device in devices {
        let (major, minor) = device_numbers(&device.path)?;
        result.extend(
            LinuxThrottleDeviceBuilder::default()
                .major(major)
                .minor(minor)
                .rate(device.value)
                .build(),
        );
    }
    Ok((!result.is_empty()).then_some(result))
}

fn weights(devices: &[BlockIoDevice]) -> Result<Option<Vec<LinuxWeightDevice>>, ContainerError> {
    let mut result = Vec::new();
    for device in devices {
        let (major, minor) = device_numbers(&device.path)?;
        let weight = u16::try_from(device.value).map_err(|_| {
            ContainerError::Invalid(format!("block I/O weight {} is above 1000", device.value))
        })?;
        result.extend(
            LinuxWeightDeviceBuilder::default()
                .major(major)
                .minor(minor)
                .weight(weight)
                .build(),
        );
    }
    Ok((!result.is_empty()).then_some(result))
}

/// rlimits by Docker's lower-case names.
pub fn rlimits(asked: &ContainerSpec) -> Result<Vec<PosixRlimit>, ContainerError> {
    asked
        .ulimits
        .iter()
        .map(|(name, limit)| rlimit(name, *limit))
        .collect()
}

/// One of them.
pub fn rlimit(name: &str, limit: Ulimit) -> Result<PosixRlimit, ContainerError> {
    use PosixRlimitType as T;
    let typ = match name.to_ascii_lowercase().as_str() {
        "as" => T::RlimitAs,
        "core" => T::RlimitCore,
        "cpu" => T::RlimitCpu,
        "data" => T::RlimitData,
        "fsize" => T::RlimitFsize,
        "locks" => T::RlimitLocks,
        "memlock" => T::RlimitMemlock,
        "msgqueue" => T::RlimitMsgqueue,
        "nice" => T::RlimitNice,
        "nofile" => T::RlimitNofile,
        "nproc" => T::RlimitNproc,
        "rss" => T::RlimitRss,
        "rtprio" => T::RlimitRtprio,
        "rttime" => T::RlimitRttime,
        "sigpending" => T::RlimitSigpending,
        "stack" => T::RlimitStack,
        _ => {
            return Err(ContainerError::Invalid(format!(
                "unknown ulimit `{name}` (see setrlimit(2); names are lower case, without RLIMIT_)"
            )));
        }
    };
    // -1 as an unsigned number is RLIM_INFINITY.
    let (soft, hard) = (limit.soft as u64, limit.hard as u64);
    let wrong = |what: &str| ContainerError::Invalid(format!("ulimit `{name}`: {what}"));
    if soft > hard {
        return Err(wrong("the soft limit is above the hard limit"));
    }
    PosixRlimitBuilder::default()
        .typ(typ)
        .soft(soft)
        .hard(hard)
        .build()
        .map_err(|error| wrong(&error.to_string()))
}

//! The one way from flags to a [`ContainerSpec`].

use gantry_engine::spec::{
    BlockIoDevice, ContainerSpec, Healthcheck, LogDriver, LogSpec, NetworkMode, Resources,
    SecuritySpec,
};

use super::ContainerOptions;
use crate::cli::error::CliError;
use crate::cli::nouns::container::values::given;
use crate::cli::nouns::container::{devices, values};
use crate::cli::platform;

impl ContainerOptions {
    /// The specification.
    ///
    /// # Errors
    /// Every value that cannot be understood, by its flag's name.
    pub fn to_spec(&self) -> Result<ContainerSpec, CliError> {
        self.refused.check()?;
        let (image, command) = match self.image_and_command.split_first() {
            Some((image, command)) => (image.clone(), command.to_vec()),
            None => return Err(CliError::usage("an image is missing")),
        };
        let (devices, cdi_devices) = devices::devices(&self.device, self.gpus.as_deref())?;
        let mut spec = ContainerSpec {
            name: given(&self.name),
            image,
            platform: platform::or_default(given(&self.platform).as_deref())?,
            command: (!command.is_empty()).then_some(command),
            entrypoint: self.entrypoint.as_ref().map(|text| match text.as_str() {
                "" => Vec::new(),
                program => vec![program.to_owned()],
            }),
            env: values::environment(&self.env_file, &self.env)?,
            labels: values::labels(&self.label_file, &self.label)?,
            annotations: values::annotations(&self.annotation)?,
            user: given(&self.user),
            group_add: self.group_add.clone(),
            working_dir: given(&self.workdir),
            hostname: given(&self.hostname),
            domainname: given(&self.domainname),
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive,
            init: self.init.then_some(true),
            runtime: given(&self.runtime),
            stop_signal: given(&self.stop_signal),
            stop_timeout: self.stop_timeout.map(values::patience),
            restart: values::restart(&self.restart)?,
            healthcheck: self.healthcheck()?,
            volumes_from: self.volumes_from.clone(),
            network: self.network_mode()?,
            mac_address: given(&self.mac_address),
            publish_all: self.publish_all,
            expose: self.expose.clone(),
            extra_hosts: values::each("add-host", &self.add_host, values::extra_host)?,
            security: self.security()?,
            resources: self.resources()?,
            devices,
            cdi_devices,
            device_cgroup_rules: self.device_cgroup_rule.clone(),
            sysctls: values::pairs("sysctl", &self.sysctl)?,
            shm_size: values::bytes("shm-size", &self.shm_size)?,
            cgroup_parent: given(&self.cgroup_parent),
            no_shm: self.ipc.as_deref() == Some("none"),
            pid: values::namespace("pid", self.pid.as_deref())?,
            ipc: values::namespace("ipc", self.ipc.as_deref())?,
            uts: values::namespace("uts", self.uts.as_deref())?,
            cgroup: values::namespace("cgroupns", self.cgroupns.as_deref())?,
            user_namespace: values::user_namespace(self.userns.as_deref())?,
            log: self.log()?,
            auto_remove: self.rm,
            ..ContainerSpec::default()
        };
        spec.dns.servers.clone_from(&self.dns);
        spec.dns.search = values::each("dns-search", &self.dns_search, values::domain)?;
        spec.dns.options.clone_from(&self.dns_option);
        for port in &self.publish {
            spec.ports.extend(values::ports(port)?);
        }
        spec.mounts = values::each("volume", &self.volume, values::volume)?;
        spec.mounts
            .extend(values::each("mount", &self.mount, values::mount)?);
        spec.mounts
            .extend(values::each("tmpfs", &self.tmpfs, values::tmpfs)?);
        values::yield_anonymous(&mut spec.mounts);
        for (name, limit) in values::each("ulimit", &self.ulimit, values::ulimit)? {
            spec.ulimits.insert(name, limit);
        }
        Ok(spec)
    }

    fn healthcheck(&self) -> Result<Option<Healthcheck>, CliError> {
        if self.no_healthcheck {
            if given(&self.health_cmd).is_some() {
                return Err(CliError::usage("--no-healthcheck contradicts --health-cmd"));
            }
            return Ok(Some(Healthcheck::Disabled));
        }
        let time = |flag, value: &Option<String>| {
            values::optional(flag, value.as_deref(), values::duration)
                .map(|time| time.filter(|time| !time.is_zero()))
        };
        let probe = Healthcheck::Probe {
            test: given(&self.health_cmd).map(|command| {
                ["/bin/sh", "-c", &command]
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            }),
            interval: time("health-interval", &self.health_interval)?,
            timeout: time("health-timeout", &self.health_timeout)?,
            retries: self.health_retries.filter(|retries| *retries != 0),
            start_period: time("health-start-period", &self.health_start_period)?,
            start_interval: time("health-start-interval", &self.health_start_interval)?,
        };
        let nothing = Healthcheck::Probe {
            test: None,
            interval: None,
            timeout: None,
            retries: None,
            start_period: None,
            start_interval: None,
        };
        Ok((probe != nothing).then_some(probe))
    }

    fn network_mode(&self) -> Result<NetworkMode, CliError> {
        let mut mode = values::network(&self.network)?;
        let links = values::each("link", &self.link, values::link)?;
        let ipv4 = values::address("ip", &self.ip)?;
        let ipv6 = values::address("ip6", &self.ip6)?;
        let wants = !self.network_alias.is_empty()
            || !links.is_empty()
            || !self.link_local_ip.is_empty()
            || ipv4.is_some()
            || ipv6.is_some();
        match &mut mode {
            NetworkMode::Networks(endpoints) if wants => {
                if endpoints.is_empty() {
                    endpoints.push(values::endpoint("bridge"));
                }
                let first = &mut endpoints[0];
                first.links.extend(links);
                first.aliases.extend(self.network_alias.iter().cloned());
                first.ipv4 = ipv4.or(first.ipv4);
                first.ipv6 = ipv6.or(first.ipv6);
                for text in &self.link_local_ip {
                    values::link_local(first, text)
                        .map_err(|reason| values::bad("link-local-ip", text, reason))?;
                }
            }
            NetworkMode::Networks(_) => {}
            _ if wants => {
                return Err(CliError::usage(
                    "--network-alias, --link, --link-local-ip, --ip and --ip6 need a network of the engine",
                ));
            }
            _ => {}
        }
        Ok(mode)
    }

    fn security(&self) -> Result<SecuritySpec, CliError> {
        let mut security = SecuritySpec {
            privileged: self.privileged,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            read_only_rootfs: self.read_only,
            ..SecuritySpec::default()
        };
        let here = std::env::current_dir().map_err(|source| CliError::Io {
            what: "find the working directory".to_owned(),
            source,
        })?;
        for option in &self.security_opt {
            crate::lower::security_option(option, &mut security, &here)
                .then_some(())
                .ok_or_else(|| values::bad("security-opt", option, "no such option"))?;
        }
        Ok(security)
    }

    fn resources(&self) -> Result<Resources, CliError> {
        let mut resources = Resources {
            memory: values::bytes("memory", &self.memory)?,
            memory_reservation: values::bytes("memory-reservation", &self.memory_reservation)?,
            memory_swap: values::memory_swap(self.memory_swap.as_deref())?,
            memory_swappiness: self.memory_swappiness.and_then(|n| u64::try_from(n).ok()),
            oom_kill_disable: self.oom_kill_disable,
            oom_score_adj: self.oom_score_adj,
            cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_rt_period: self.cpu_rt_period,
            cpu_rt_runtime: self.cpu_rt_runtime,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit.filter(|limit| *limit > 0),
            ..Resources::default()
        };
        values::leave_zeros_unset(&mut resources);
        let rates = |flag, list: &[String]| -> Result<Vec<BlockIoDevice>, CliError> {
            values::each(flag, list, values::device_rate)
        };
        let numbers = |flag, list: &[String]| -> Result<Vec<BlockIoDevice>, CliError> {
            values::each(flag, list, values::device_number)
        };
        resources.block_io.weight = self.blkio_weight.filter(|weight| *weight != 0);
        resources.block_io.weight_device =
            numbers("blkio-weight-device", &self.blkio_weight_device)?;
        resources.block_io.read_bps = rates("device-read-bps", &self.device_read_bps)?;
        resources.block_io.write_bps = rates("device-write-bps", &self.device_write_bps)?;
        resources.block_io.read_iops = numbers("device-read-iops", &self.device_read_iops)?;
        resources.block_io.write_iops = numbers("device-write-iops", &self.device_write_iops)?;
        Ok(resources)
    }

    fn log(&self) -> Result<LogSpec, CliError> {
        let driver = match self.log_driver.as_deref() {
            None | Some("" | "json-file") => LogDriver::JsonFile,
            Some("local") => LogDriver::Local,
            Some("none") => LogDriver::None,
            Some(other) => {
                return Err(values::bad(
                    "log-driver",
                    other,
                    "json-file, local and none are supported",
                ));
            }
        };
        Ok(LogSpec {
            driver,
            options: values::pairs("log-opt", &self.log_opt)?,
        })
    }
}

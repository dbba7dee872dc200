//! The flags that describe a container, for `create` and `run`, and the one way from
//! them to a [`ContainerSpec`].

use std::time::Duration;

use clap::Args;
use gantry_engine::spec::{
    BlockIoDevice, ContainerSpec, Healthcheck, LogDriver, LogSpec, NetworkMode, Resources,
    SecuritySpec,
};

use super::devices;
use super::refused::RefusedOptions;
use super::values;
use crate::cli::error::CliError;
use crate::cli::platform;

/// What was typed.
#[derive(Debug, Args)]
pub struct ContainerOptions {
    /// A line for /etc/hosts: host:ip or host:host-gateway.
    #[arg(long)]
    pub add_host: Vec<String>,
    /// OCI annotation, key=value.
    #[arg(long)]
    pub annotation: Vec<String>,
    /// Block IO weight, 10 to 1000.
    #[arg(long)]
    pub blkio_weight: Option<u16>,
    /// Block IO weight of a device, path:weight.
    #[arg(long)]
    pub blkio_weight_device: Vec<String>,
    /// Capability to add.
    #[arg(long)]
    pub cap_add: Vec<String>,
    /// Capability to drop.
    #[arg(long)]
    pub cap_drop: Vec<String>,
    /// Parent cgroup.
    #[arg(long)]
    pub cgroup_parent: Option<String>,
    /// cgroup namespace: host or private.
    #[arg(long)]
    pub cgroupns: Option<String>,
    /// CFS period in microseconds.
    #[arg(long)]
    pub cpu_period: Option<u64>,
    /// CFS quota in microseconds.
    #[arg(long, allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Realtime period in microseconds.
    #[arg(long)]
    pub cpu_rt_period: Option<u64>,
    /// Realtime runtime in microseconds.
    #[arg(long)]
    pub cpu_rt_runtime: Option<i64>,
    /// Relative CPU weight.
    #[arg(short = 'c', long)]
    pub cpu_shares: Option<u64>,
    /// Number of CPUs, 1.5 for one and a half.
    #[arg(long)]
    pub cpus: Option<f64>,
    /// CPUs to run on, 0-2,5.
    #[arg(long)]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    #[arg(long)]
    pub cpuset_mems: Option<String>,
    /// Host device, path[:path[:rwm]], or its name, vendor.com/class=name.
    #[arg(long)]
    pub device: Vec<String>,
    /// Raw cgroup device rule.
    #[arg(long)]
    pub device_cgroup_rule: Vec<String>,
    /// Bytes per second read from a device, path:rate.
    #[arg(long)]
    pub device_read_bps: Vec<String>,
    /// Reads per second from a device, path:rate.
    #[arg(long)]
    pub device_read_iops: Vec<String>,
    /// Bytes per second written to a device, path:rate.
    #[arg(long)]
    pub device_write_bps: Vec<String>,
    /// Writes per second to a device, path:rate.
    #[arg(long)]
    pub device_write_iops: Vec<String>,
    /// DNS server.
    #[arg(long)]
    pub dns: Vec<std::net::IpAddr>,
    /// DNS option.
    #[arg(long)]
    pub dns_option: Vec<String>,
    /// DNS search domain.
    #[arg(long)]
    pub dns_search: Vec<String>,
    /// NIS domain name.
    #[arg(long)]
    pub domainname: Option<String>,
    /// Program in place of the image's entrypoint.
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Environment variable; a name alone takes its value from here.
    #[arg(short = 'e', long)]
    pub env: Vec<String>,
    /// File of environment variables.
    #[arg(long)]
    pub env_file: Vec<std::path::PathBuf>,
    /// Document a port.
    #[arg(long)]
    pub expose: Vec<String>,
    /// GPUs: all, a number, or device=ID.
    #[arg(long)]
    pub gpus: Option<String>,
    /// Supplementary group.
    #[arg(long)]
    pub group_add: Vec<String>,
    /// Command that tells whether the container works.
    #[arg(long)]
    pub health_cmd: Option<String>,
    /// Time between probes.
    #[arg(long)]
    pub health_interval: Option<String>,
    /// Failures in a row that make it unhealthy.
    #[arg(long)]
    pub health_retries: Option<u32>,
    /// Time between probes while starting.
    #[arg(long)]
    pub health_start_interval: Option<String>,
    /// Time in which failures do not count.
    #[arg(long)]
    pub health_start_period: Option<String>,
    /// Time a probe may take.
    #[arg(long)]
    pub health_timeout: Option<String>,
    /// Host name.
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// Run a small init as the first process.
    #[arg(long)]
    pub init: bool,
    /// Keep standard input open.
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Fixed IPv4 address.
    #[arg(long)]
    pub ip: Option<std::net::Ipv4Addr>,
    /// Fixed IPv6 address.
    #[arg(long)]
    pub ip6: Option<std::net::Ipv6Addr>,
    /// IPC namespace: private, host, container:NAME.
    #[arg(long)]
    pub ipc: Option<String>,
    /// Label, key=value.
    #[arg(short = 'l', long)]
    pub label: Vec<String>,
    /// File of labels.
    #[arg(long)]
    pub label_file: Vec<std::path::PathBuf>,
    /// Another container's name here, container[:name].
    #[arg(long)]
    pub link: Vec<String>,
    /// json-file or none.
    #[arg(long)]
    pub log_driver: Option<String>,
    /// Log option, key=value.
    #[arg(long)]
    pub log_opt: Vec<String>,
    /// Fixed MAC address.
    #[arg(long)]
    pub mac_address: Option<String>,
    /// Memory limit.
    #[arg(short = 'm', long)]
    pub memory: Option<String>,
    /// Memory soft limit.
    #[arg(long)]
    pub memory_reservation: Option<String>,
    /// Memory plus swap; -1 is unlimited.
    #[arg(long, allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Swappiness, 0 to 100; -1 is the machine's.
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    pub memory_swappiness: Option<i64>,
    /// Mount: type=bind|volume|tmpfs|image,source=…,target=…
    #[arg(long)]
    pub mount: Vec<String>,
    /// Name.
    #[arg(long)]
    pub name: Option<String>,
    /// Network: a name, bridge, host, none or container:NAME.
    #[arg(long, visible_alias = "net")]
    pub network: Vec<String>,
    /// Further name on the network.
    #[arg(long)]
    pub network_alias: Vec<String>,
    /// Switch off the image's probe.
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Never kill on memory shortage.
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// Preference of the kernel when memory is short, -1000 to 1000.
    #[arg(long, allow_negative_numbers = true)]
    pub oom_score_adj: Option<i32>,
    /// PID namespace: host, container:NAME.
    #[arg(long)]
    pub pid: Option<String>,
    /// Limit of processes.
    #[arg(long, allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// Platform, os/arch[/variant].
    #[arg(long)]
    pub platform: Option<String>,
    /// All capabilities and devices.
    #[arg(long)]
    pub privileged: bool,
    /// Publish a port, [[ip:]host:]container[/protocol].
    #[arg(short = 'p', long)]
    pub publish: Vec<String>,
    /// Publish every exposed port.
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Read-only root.
    #[arg(long)]
    pub read_only: bool,
    /// Restart policy: no, on-failure[:N], always, unless-stopped.
    #[arg(long, default_value = "no")]
    pub restart: String,
    /// Remove it when it has ended.
    #[arg(long)]
    pub rm: bool,
    /// Security option.
    #[arg(long)]
    pub security_opt: Vec<String>,
    /// Size of /dev/shm.
    #[arg(long)]
    pub shm_size: Option<String>,
    /// Signal that stops it.
    #[arg(long)]
    pub stop_signal: Option<String>,
    /// Seconds between that and SIGKILL.
    #[arg(long)]
    pub stop_timeout: Option<u64>,
    /// Kernel parameter, key=value.
    #[arg(long)]
    pub sysctl: Vec<String>,
    /// Memory mount, path[:options].
    #[arg(long)]
    pub tmpfs: Vec<String>,
    /// With a terminal.
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Resource limit, name=soft[:hard].
    #[arg(long)]
    pub ulimit: Vec<String>,
    /// user[:group].
    #[arg(short = 'u', long)]
    pub user: Option<String>,
    /// Another OCI runtime, by name or path: crun, runc, runsc.
    #[arg(long)]
    pub runtime: Option<String>,
    /// User namespace: host, private (root is nobody outside), container:NAME.
    #[arg(long)]
    pub userns: Option<String>,
    /// UTS namespace: host.
    #[arg(long)]
    pub uts: Option<String>,
    /// Bind or volume, [source:]target[:options].
    #[arg(short = 'v', long)]
    pub volume: Vec<String>,
    /// Take over another container's mounts.
    #[arg(long)]
    pub volumes_from: Vec<String>,
    /// Working directory.
    #[arg(short = 'w', long)]
    pub workdir: Option<String>,
    #[command(flatten)]
    pub refused: RefusedOptions,
    /// When to pull the image: always, missing, never.
    #[arg(long, default_value = "missing")]
    pub pull: String,
    /// No progress of the pull.
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Print help (`-h` is the host name, as in Docker).
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The image, then the command and its arguments: everything after the image belongs to the
    /// command, flags too.
    #[arg(
        value_name = "IMAGE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub image_and_command: Vec<String>,
}

impl ContainerOptions {
    /// The specification.
    ///
    /// # Errors
    /// Every value that cannot be understood, by its flag's name.
    pub fn to_spec(&self) -> Result<ContainerSpec, CliError> {
        self.refused.check()?;
        let (image, command) = match self.image_and_command.split_first() {
            Some((flag, _)) if flag.starts_with('-') => {
                return Err(CliError::usage(format!("there is no flag `{flag}`")));
            }
            Some((image, command)) => (image.clone(), command.to_vec()),
            None => return Err(CliError::usage("an image is missing")),
        };
        let (devices, cdi_devices) = devices::devices(&self.device, self.gpus.as_deref())?;
        let mut spec = ContainerSpec {
            name: self.name.clone(),
            image,
            platform: platform::or_default(self.platform.as_deref())?,
            command: (!command.is_empty()).then_some(command),
            entrypoint: self.entrypoint.as_ref().map(|text| match text.as_str() {
                "" => Vec::new(),
                program => vec![program.to_owned()],
            }),
            env: values::environment(&self.env_file, &self.env)?,
            labels: values::labels(&self.label_file, &self.label)?,
            annotations: values::pairs("annotation", &self.annotation)?,
            user: self.user.clone(),
            group_add: self.group_add.clone(),
            working_dir: self.workdir.clone(),
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: self.interactive,
            init: self.init.then_some(true),
            runtime: self.runtime.clone(),
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout.map(Duration::from_secs),
            restart: values::restart(&self.restart)?,
            healthcheck: self.healthcheck()?,
            volumes_from: self.volumes_from.clone(),
            network: self.network_mode()?,
            mac_address: self.mac_address.clone(),
            publish_all: self.publish_all,
            expose: self.expose.clone(),
            extra_hosts: values::each("add-host", &self.add_host, values::extra_host)?,
            security: self.security()?,
            resources: self.resources()?,
            devices,
            cdi_devices,
            device_cgroup_rules: self.device_cgroup_rule.clone(),
            sysctls: values::pairs("sysctl", &self.sysctl)?,
            shm_size: values::optional("shm-size", self.shm_size.as_deref(), values::size)?,
            cgroup_parent: self.cgroup_parent.clone(),
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
        spec.dns.search.clone_from(&self.dns_search);
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
            if self.health_cmd.is_some() {
                return Err(CliError::usage("--no-healthcheck contradicts --health-cmd"));
            }
            return Ok(Some(Healthcheck::Disabled));
        }
        let time = |flag, value: &Option<String>| {
            values::optional(flag, value.as_deref(), values::duration)
        };
        let probe = Healthcheck::Probe {
            test: self.health_cmd.as_ref().map(|command| {
                ["/bin/sh", "-c", command]
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            }),
            interval: time("health-interval", &self.health_interval)?,
            timeout: time("health-timeout", &self.health_timeout)?,
            retries: self.health_retries,
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
        let wants = !self.network_alias.is_empty()
            || !links.is_empty()
            || self.ip.is_some()
            || self.ip6.is_some();
        match &mut mode {
            NetworkMode::Networks(endpoints) if wants => {
                if endpoints.is_empty() {
                    endpoints.push(values::endpoint("bridge"));
                }
                let first = &mut endpoints[0];
                first.links.extend(links);
                first.aliases.extend(self.network_alias.iter().cloned());
                first.ipv4 = self.ip.or(first.ipv4);
                first.ipv6 = self.ip6.or(first.ipv6);
            }
            NetworkMode::Networks(_) => {}
            _ if wants => {
                return Err(CliError::usage(
                    "--network-alias, --link, --ip and --ip6 need a network of the engine",
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
        let rates = |flag, list: &[String]| -> Result<Vec<BlockIoDevice>, CliError> {
            values::each(flag, list, values::device_rate)
        };
        resources.block_io.weight = self.blkio_weight.filter(|weight| *weight != 0);
        resources.block_io.weight_device = rates("blkio-weight-device", &self.blkio_weight_device)?;
        resources.block_io.read_bps = rates("device-read-bps", &self.device_read_bps)?;
        resources.block_io.write_bps = rates("device-write-bps", &self.device_write_bps)?;
        resources.block_io.read_iops = rates("device-read-iops", &self.device_read_iops)?;
        resources.block_io.write_iops = rates("device-write-iops", &self.device_write_iops)?;
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

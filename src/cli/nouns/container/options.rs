//! The flags that describe a container, for `create` and `run`.

use clap::Args;

use super::refused::RefusedOptions;

mod to_spec;

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
    #[arg(long, alias = "dns-opt")]
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
    pub ip: Option<String>,
    /// Fixed IPv6 address.
    #[arg(long)]
    pub ip6: Option<String>,
    /// Link-local address besides.
    #[arg(long)]
    pub link_local_ip: Vec<String>,
    /// IPC namespace: private, shareable, none (no /dev/shm), host, container:NAME.
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
    /// Publish a port, [[ip:]host:]container[/protocol] or published=…,target=….
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
    /// Seconds between that and SIGKILL; -1 waits for ever.
    #[arg(long, allow_negative_numbers = true)]
    pub stop_timeout: Option<i64>,
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
    // Not `allow_hyphen_values`: with it, `-p80:80` would be taken for the image.
    #[arg(
        value_name = "IMAGE [COMMAND [ARGS...]]",
        required = true,
        num_args = 1..,
        trailing_var_arg = true
    )]
    pub image_and_command: Vec<String>,
}

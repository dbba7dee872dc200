//! `events`, `update` and `spec` of `gantry oci`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gantry_engine::oci::{self, For, Store};
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::nouns::container::values;
use crate::cli::output::print;

use super::act::failed;
use super::refuse;

/// What was typed after `events`.
#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Time between two statistics.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Show the statistics once.
    #[arg(long)]
    stats: bool,
    /// The container.
    id: String,
}

fn interval(text: &str) -> Result<Duration, String> {
    match values::duration(text)? {
        Duration::ZERO => Err("the interval must be above zero".to_owned()),
        interval => Ok(interval),
    }
}

/// What was typed after `update`.
#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// File of limits as in `linux.resources`, or `-` for standard input; other flags are ignored then.
    #[arg(short = 'r', long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(10..=1000))]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota in microseconds.
    #[arg(long, value_name = "N")]
    cpu_period: Option<u64>,
    /// CPU time in a period in microseconds.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPU time that may be saved up in microseconds.
    #[arg(long, value_name = "N")]
    cpu_burst: Option<u64>,
    /// Relative weight of CPU time.
    #[arg(long, visible_alias = "cpu-shares", value_name = "N")]
    cpu_share: Option<u64>,
    /// Realtime period in microseconds.
    #[arg(long, value_name = "N")]
    cpu_rt_period: Option<u64>,
    /// Realtime CPU time in a period in microseconds.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to run on.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Nodes of memory to use.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// 1 for what runs only when nothing else does.
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(i64).range(0..=1))]
    cpu_idle: Option<i64>,
    /// Memory; -1 is no limit.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory: Option<i64>,
    /// Memory that is left to the container as long as possible.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Memory and swap together; -1 is no limit.
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory_swap: Option<i64>,
    /// Processes and threads; -1 is no limit.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Memory of the kernel (refused).
    #[arg(long, hide = true, value_name = "BYTES")]
    kernel_memory: Option<String>,
    /// Memory of the kernel's TCP buffers (refused).
    #[arg(long, hide = true, value_name = "BYTES")]
    kernel_memory_tcp: Option<String>,
    /// Cache schema (refused).
    #[arg(long, hide = true, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Memory bandwidth schema (refused).
    #[arg(long, hide = true, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    /// The container.
    id: String,
}

fn bytes(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    values::size(text).and_then(|bytes| i64::try_from(bytes).map_err(|error| error.to_string()))
}

/// What was typed after `spec`.
#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// Directory that gets it.
    #[arg(short = 'b', long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For an ordinary user.
    #[arg(long)]
    rootless: bool,
}

/// `events`.
pub(super) fn events(store: &Store, args: &EventsArgs) -> Result<(), CliError> {
    let mut watch = oci::watch(store, &args.id).map_err(failed)?;
    let tell = |event: Value| print(&format!("{event}\n"));
    if args.stats {
        return tell(watch.stats().map_err(failed)?);
    }
    loop {
        let ended = watch.ends_within(args.interval).map_err(failed)?;
        if let Some(event) = watch.oom() {
            tell(event)?;
        }
        if ended {
            return Ok(());
        }
        match watch.stats() {
            Ok(stats) => tell(stats)?,
            // It has ended and was deleted meanwhile.
            Err(_) if watch.ends_within(Duration::ZERO).map_err(failed)? => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// `update`.
pub(super) fn update(store: &Store, args: &UpdateArgs) -> Result<(), CliError> {
    args.refuse()?;
    let resources = match &args.resources {
        Some(file) => oci::read_resources(file).map_err(failed)?,
        None => serde_json::from_value(args.resources())
            .map_err(|error| CliError::usage(error.to_string()))?,
    };
    oci::update(store, &args.id, &resources).map_err(failed)
}

impl UpdateArgs {
    fn refuse(&self) -> Result<(), CliError> {
        let given_up = "Linux has given this limit up";
        let no_rdt = "there is no support for Intel RDT";
        refuse(&[
            (self.kernel_memory.is_some(), "--kernel-memory", given_up),
            (
                self.kernel_memory_tcp.is_some(),
                "--kernel-memory-tcp",
                given_up,
            ),
            (self.l3_cache_schema.is_some(), "--l3-cache-schema", no_rdt),
            (self.mem_bw_schema.is_some(), "--mem-bw-schema", no_rdt),
        ])
    }

    /// The flags in the specification's format.
    fn resources(&self) -> Value {
        let mut resources = json!({
            "cpu": {
                "shares": self.cpu_share,
                "quota": self.cpu_quota,
                "burst": self.cpu_burst,
                "period": self.cpu_period,
                "realtimeRuntime": self.cpu_rt_runtime,
                "realtimePeriod": self.cpu_rt_period,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
                "idle": self.cpu_idle,
            },
            "memory": {
                "limit": self.memory,
                "reservation": self.memory_reservation,
                "swap": self.memory_swap,
            },
        });
        if let Some(limit) = self.pids_limit {
            resources["pids"] = json!({ "limit": limit });
        }
        if let Some(weight) = self.blkio_weight {
            resources["blockIO"] = json!({ "weight": weight });
        }
        resources
    }
}

/// `spec`.
pub(super) fn spec(args: &SpecArgs) -> Result<(), CliError> {
    let whom = if args.rootless { For::User } else { For::Root };
    oci::write_example(&args.bundle, whom).map_err(failed)
}

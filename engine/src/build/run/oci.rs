//! The OCI specification of a `RUN`: Docker's defaults, or everything with `--security=insecure`.

use std::os::unix::fs::PermissionsExt;

use oci_spec::runtime::{
    LinuxBuilder, Mount, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder,
};

use super::attach::bind;
use super::document::{Access, RunSpec};
use super::network::Connected;
use super::role::{RunError, io};
use crate::runtime::defaults::{self, SysAccess};

/// The OCI specification of the command.
pub(super) fn describe(
    spec: &RunSpec,
    mut own: Vec<Mount>,
    network: &Connected,
) -> Result<Spec, RunError> {
    let (capabilities, sys) = if spec.insecure {
        (defaults::all_capabilities(), SysAccess::ReadWrite)
    } else {
        (defaults::capabilities(), SysAccess::ReadOnly)
    };
    let mut mounts = defaults::mounts(spec.shm_size.unwrap_or(defaults::SHM_SIZE), sys);
    mounts.extend(network_files(spec, network)?);
    mounts.append(&mut own);

    let process = ProcessBuilder::default()
        .args(spec.argv.clone())
        .env(spec.env.clone())
        .cwd(spec.cwd.clone())
        .capabilities(defaults::capability_sets(&capabilities))
        .rlimits(rlimits(spec)?)
        .no_new_privileges(false)
        .build()
        .map_err(RunError::Oci)?;
    let mut linux = LinuxBuilder::default().namespaces(defaults::namespaces());
    if spec.insecure {
        linux = linux.masked_paths(Vec::new()).readonly_paths(Vec::new());
    } else {
        linux = linux
            .masked_paths(defaults::masked_paths())
            .readonly_paths(defaults::readonly_paths());
    }
    let linux = linux.build().map_err(RunError::Oci)?;
    // The path is the launch's; without this the default root is read-only.
    let root = RootBuilder::default()
        .path("/")
        .readonly(false)
        .build()
        .map_err(RunError::Oci)?;
    SpecBuilder::default()
        .version("1.2.0")
        .root(root)
        .hostname(spec.hostname.clone())
        .process(process)
        .mounts(mounts)
        .linux(linux)
        .build()
        .map_err(RunError::Oci)
}

fn rlimits(spec: &RunSpec) -> Result<Vec<PosixRlimit>, RunError> {
    let mut rlimits = Vec::with_capacity(spec.ulimits.len());
    for (name, limit) in &spec.ulimits {
        let kind = rlimit(name).ok_or_else(|| RunError::Ulimit(name.clone()))?;
        // -1 is unlimited, which is the largest number for the kernel.
        let rlimit = PosixRlimitBuilder::default()
            .typ(kind)
            .soft(limit.soft as u64)
            .hard(limit.hard as u64)
            .build();
        rlimits.push(rlimit.map_err(RunError::Oci)?);
    }
    Ok(rlimits)
}

fn rlimit(name: &str) -> Option<PosixRlimitType> {
    use PosixRlimitType as Kind;
    Some(match name.to_ascii_lowercase().as_str() {
        "cpu" => Kind::RlimitCpu,
        "fsize" => Kind::RlimitFsize,
        "data" => Kind::RlimitData,
        "stack" => Kind::RlimitStack,
        "core" => Kind::RlimitCore,
        "rss" => Kind::RlimitRss,
        "nproc" => Kind::RlimitNproc,
        "nofile" => Kind::RlimitNofile,
        "memlock" => Kind::RlimitMemlock,
        "as" => Kind::RlimitAs,
        "locks" => Kind::RlimitLocks,
        "sigpending" => Kind::RlimitSigpending,
        "msgqueue" => Kind::RlimitMsgqueue,
        "nice" => Kind::RlimitNice,
        "rtprio" => Kind::RlimitRtprio,
        "rttime" => Kind::RlimitRttime,
        _ => return None,
    })
}

/// `/etc/hosts` and `/etc/resolv.conf` for the command, which must not believe that it changes the image's: those stay
/// as they are.
fn network_files(spec: &RunSpec, network: &Connected) -> Result<Vec<Mount>, RunError> {
    let mut mounts = Vec::new();
    for (name, text) in network.files(spec) {
        let path = spec.scratch.join(name);
        std::fs::write(&path, text).map_err(io("write network files"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))
            .map_err(io("write network files"))?;
        mounts.push(bind(&path, "", &format!("/etc/{name}"), Access::ReadOnly)?);
    }
    Ok(mounts)
}

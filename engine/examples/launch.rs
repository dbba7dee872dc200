//! Launches a command in a throw-away container over this machine's own root, as root:
//! `cargo run -p gantry-engine --example launch -- sh -c 'id; mount; cat /proc/self/status'`.

use std::process::ExitCode;

use gantry_engine::cgroup::{Cgroup, Layout};
use gantry_engine::mount::{Overlay, RootMount};
use gantry_engine::runtime::defaults::{self, SysAccess};
use gantry_engine::runtime::seccomp::Seccomp;
use gantry_engine::runtime::{Init, Launch, NetNs, RuntimeError, Stdio, prepare};
use oci_spec::runtime::{
    LinuxBuilder, LinuxResourcesBuilder, ProcessBuilder, RootBuilder, SpecBuilder, UserBuilder,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scratch = std::env::temp_dir().join(format!("gantry-launch-{}", std::process::id()));
    let result = run(arguments, &scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  caused by: {cause}");
                source = cause.source();
            }
            ExitCode::from(
                error
                    .downcast_ref::<RuntimeError>()
                    .map_or(125, RuntimeError::exit_code),
            )
        }
    }
}

fn run(
    arguments: Vec<String>,
    scratch: &std::path::Path,
) -> Result<u8, Box<dyn std::error::Error>> {
    for directory in ["mask", "upper", "work"] {
        std::fs::create_dir_all(scratch.join(directory))?;
    }
    let root = RootMount::Overlay(Overlay {
        lower: vec![scratch.join("mask"), "/".into()],
        upper: Some(scratch.join("upper")),
        work: Some(scratch.join("work")),
        volatile: true,
    });
    let process = ProcessBuilder::default()
        .args(if arguments.is_empty() {
            vec!["/bin/true".to_owned()]
        } else {
            arguments
        })
        .env(vec![format!("PATH={}", defaults::PATH)])
        .cwd("/")
        .user(UserBuilder::default().uid(0u32).gid(0u32).build()?)
        .capabilities(defaults::capability_sets(&defaults::capabilities()))
        .rlimits(vec![])
        .no_new_privileges(false)
        .build()?;
    let linux = LinuxBuilder::default()
        .namespaces(defaults::namespaces())
        .masked_paths(defaults::masked_paths())
        .readonly_paths(defaults::readonly_paths())
        .build()?;
    let spec = SpecBuilder::default()
        .root(RootBuilder::default().path("/").readonly(false).build()?)
        .process(process)
        .mounts(defaults::mounts(defaults::SHM_SIZE, SysAccess::ReadOnly))
        .hostname("launched")
        .linux(linux)
        .build()?;
    let layout = Layout::detect()?;
    let limits = LinuxResourcesBuilder::default()
        .devices(defaults::device_rules())
        .build()?;
    let path = format!("gantry-launch-{}", std::process::id());
    let (cgroup, _) = Cgroup::create(&layout, &path, &limits)?;
    let [stdin, stdout, stderr] = [
        rustix::io::dup(rustix::stdio::stdin())?,
        rustix::io::dup(rustix::stdio::stdout())?,
        rustix::io::dup(rustix::stdio::stderr())?,
    ];
    let started = prepare(Launch {
        id: &path,
        spec: &spec,
        root: &root,
        netns: NetNs::New,
        cgroup: Some(&cgroup),
        stdio: Stdio::Fds {
            stdin,
            stdout,
            stderr,
        },
        seccomp: Seccomp::Default,
        init: Init::Payload,
        user: None,
        groups: &[],
    })
    .and_then(|parked| parked.release());
    let exit = started.and_then(|started| {
        for warning in &started.warnings {
            eprintln!("warning: {warning}");
        }
        started.wait()
    });
    cgroup.remove()?;
    Ok(exit?.code())
}

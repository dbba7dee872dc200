//! Making a container: everything is validated and decided here, nothing runs yet.
//!
//! The order matters for crashes: directory, volumes, files, name, and the record last. A directory
//! without a record is a creation that died; it is nobody's container and is swept away.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::cdi;
use crate::image::{HealthConfig, Image, ImageStore, Platform, RunConfig};
use crate::runtime::seccomp::Profile;
use crate::runtime::{RuntimeError, defaults};
use crate::snapshot;
use crate::spec::{
    ContainerSpec, FileSpec, Healthcheck, NamespaceMode, NetworkMode, RestartPolicy, SeccompSpec,
    UserNamespace,
};
use crate::state::{
    ContainerId, Durability, Lock, Name, crash_point, create_private_dir, write_file,
};
use crate::sys::user_namespace::owner;

use super::ids::{self, IdRange};
use super::machine::Machine;
use super::record::{Files, ProbeConfig, Record, Resolved};
use super::store::ContainerStore;
use super::{ContainerError, check, mount_points, names, signal};

/// A container just made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What was asked for and is not so.
    pub warnings: Vec<String>,
}

/// Makes a container.
pub fn create(
    store: &ContainerStore,
    images: &ImageStore,
    mut spec: ContainerSpec,
) -> Result<Created, ContainerError> {
    let mut warnings = Vec::new();
    validate(store, &spec, &mut warnings)?;
    let image = resolve_image(images, &spec)?;
    let id = ContainerId::random().map_err(host("read random numbers from", "getrandom"))?;
    let resolved = resolve(&spec, &image, &id)?;
    resolve_references(store, &mut spec)?;
    let ids = ids::choose(store, &spec, &id)?;

    let files = Files::new(store.paths(), &id);
    create_private_dir(&files.dir)?;
    // While it is held, name and directory are a creation under way and not a leftover.
    let _creating = Lock::exclusive(&files.lock())?;
    crash_point("create.directory");
    let made = make(store, images, &image, spec, (resolved, ids), id, &files);
    match made {
        Ok((id, name)) => Ok(Created {
            id,
            name: name.to_string(),
            warnings,
        }),
        Err(error) => {
            // Best effort: the first error is the one to tell.
            let _ = store.paths().trash().put(&files.dir);
            Err(error)
        }
    }
}

fn make(
    store: &ContainerStore,
    images: &ImageStore,
    image: &Image,
    mut spec: ContainerSpec,
    (resolved, ids): (Resolved, Option<IdRange>),
    id: ContainerId,
    files: &Files,
) -> Result<(ContainerId, Name), ContainerError> {
    snapshot::prepare(image, &files.dir)?;
    let durability = if spec.auto_remove {
        snapshot::Durability::Volatile
    } else {
        snapshot::Durability::Kept
    };
    let root = snapshot::root_mount(image, &files.dir, durability);
    write_given_files(files, &spec.files)?;
    let mounts = mount_points::decide(store, images, image, &spec, &resolved.user)?;
    crash_point("create.mounts");

    let alive = |other: &ContainerId| store.holds_name(other);
    let name = match &spec.name {
        Some(name) => {
            let name: Name = name.parse()?;
            store.paths().names().reserve(&name, &id, &alive)?;
            name
        }
        None => names::reserve_random(store, &id, &alive)?,
    };
    spec.name = Some(name.to_string());
    crash_point("create.named");

    let durability = if spec.auto_remove {
        Durability::Process
    } else {
        Durability::Power
    };
    // Their content is on disk now; the record need not say it a second time.
    for file in &mut spec.files {
        file.content = Vec::new();
    }
    let record = Record {
        cgroup: cgroup_path(store, &spec, &id),
        created: Timestamp::now(),
        image_id: image.id.to_string(),
        name: name.clone(),
        id,
        spec,
        resolved,
        mounts,
        root,
        ids,
    };
    let written = store.write(&record, durability);
    if written.is_err() {
        let _ = store.paths().names().release(&name, &record.id);
    }
    written?;
    crash_point("create.recorded");
    Ok((record.id, name))
}

pub(super) fn host(
    action: &'static str,
    path: impl Into<String>,
) -> impl FnOnce(std::io::Error) -> ContainerError {
    let path = path.into();
    move |source| ContainerError::Host {
        action,
        path,
        source,
    }
}

fn cgroup_path(store: &ContainerStore, spec: &ContainerSpec, id: &ContainerId) -> String {
    match &spec.cgroup_parent {
        Some(parent) => format!("{}/{id}", parent.trim_matches('/')),
        None => format!("{}/{id}", store.paths().cgroup_parent()),
    }
}

/// Refuses what cannot be honoured, by name.
fn validate(
    store: &ContainerStore,
    spec: &ContainerSpec,
    warnings: &mut Vec<String>,
) -> Result<(), ContainerError> {
    let unsupported = |option: &str, reason: &str| {
        Err(ContainerError::Unsupported {
            option: option.to_owned(),
            reason: reason.to_owned(),
        })
    };
    let same = |one: &str, other: &str| {
        let found = |text| store.find(text).ok();
        one == other || found(one).is_some_and(|id| found(other) == Some(id))
    };
    let problems = check::check_among(spec, &same).into_iter();
    let beyond = check::beyond(&Machine::this(), &spec.resources);
    if let Some(problem) = problems.chain(beyond).next() {
        return Err(ContainerError::Invalid(problem.message));
    }
    if let Some(name) = &spec.name {
        name.parse::<Name>()?;
    }
    cdi::find(&spec.cdi_devices)?;
    if let SeccompSpec::File(path) = &spec.security.seccomp {
        Profile::read(path).map_err(RuntimeError::from)?;
    }
    if spec.auto_remove && spec.restart != RestartPolicy::No {
        return Err(ContainerError::Invalid(
            "`--rm` and a restart policy contradict each other; choose one".to_owned(),
        ));
    }
    if let NamespaceMode::Container(_) = spec.cgroup {
        return unsupported(
            "cgroup namespace `container:`",
            "there are `private` and `host`",
        );
    }
    for label in &spec.security.labels {
        if label != "disable" {
            return unsupported(
                &format!("security option `label:{label}`"),
                "SELinux labels are not set; `label:disable` is accepted",
            );
        }
    }
    if let Some(profile) = &spec.security.apparmor
        && profile != "unconfined"
    {
        return unsupported(
            &format!("AppArmor profile `{profile}`"),
            "only `unconfined` is accepted",
        );
    }
    if !spec.ports.is_empty() && matches!(spec.network, NetworkMode::Host | NetworkMode::None) {
        // Docker discards them and says so.
        warnings
            .push("published ports are discarded when using host or none network mode".to_owned());
    }
    Ok(())
}

/// The image, for the platform that was asked for.
fn resolve_image(images: &ImageStore, spec: &ContainerSpec) -> Result<Image, ContainerError> {
    match &spec.platform {
        None => Ok(images.resolve(&spec.image)?),
        Some(text) => Ok(images.resolve_for(&spec.image, &find_platform(text)?)?),
    }
}

/// A platform whose programs run on this machine.
pub fn find_platform(text: &str) -> Result<Platform, ContainerError> {
    let platform = Platform::parse(text)?;
    if platform.runs_here() {
        return Ok(platform);
    }
    Err(ContainerError::Unsupported {
        option: format!("platform `{text}`"),
        reason: platform.needs_emulator(),
    })
}

/// Replaces names of other containers by ids, so that a rename does not break them.
fn resolve_references(
    store: &ContainerStore,
    spec: &mut ContainerSpec,
) -> Result<(), ContainerError> {
    match &mut spec.network {
        NetworkMode::Container(other) => *other = store.find(other)?.to_string(),
        NetworkMode::Networks(endpoints) => {
            for link in endpoints.iter().flat_map(|endpoint| &endpoint.links) {
                store.find(&link.target)?;
            }
        }
        NetworkMode::Host | NetworkMode::None => {}
    }
    if let UserNamespace::Container(other) = &mut spec.user_namespace {
        *other = store.find(other)?.to_string();
    }
    for mode in [&mut spec.pid, &mut spec.ipc, &mut spec.uts] {
        if let NamespaceMode::Container(other) = mode {
            *other = store.find(other)?.to_string();
        }
    }
    if let NamespaceMode::Container(other) = &spec.ipc {
        let other = store.read(&other.parse()?)?;
        if other.spec.no_shm && other.spec.ipc == NamespaceMode::Private {
            return Err(ContainerError::Invalid(format!(
                "container `{}` has no shared memory that another could join: it was made with `--ipc none`",
                other.name
            )));
        }
    }
    Ok(())
}

/// What image, specification and defaults add up to.
fn resolve(
    spec: &ContainerSpec,
    image: &Image,
    id: &ContainerId,
) -> Result<Resolved, ContainerError> {
    let config = &image.config.config;
    let (argv, entrypoint_len) = argv(spec, config)?;
    let is_machines = spec.uts == NamespaceMode::Host || spec.network == NetworkMode::Host;
    let hostname = match &spec.hostname {
        Some(name) => name.clone(),
        None if is_machines => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        None => id.short().to_owned(),
    };
    let stop_signal = spec
        .stop_signal
        .as_deref()
        .or(Some(config.stop_signal.as_str()).filter(|signal| !signal.is_empty()))
        .map_or(Ok(libc::SIGTERM), signal::parse)?;
    let image_grace = config
        .stop_timeout
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs);
    let mut labels = config.labels.clone();
    labels.extend(spec.labels.clone());
    Ok(Resolved {
        argv,
        entrypoint_len,
        env: environment(spec, config, &hostname),
        working_dir: spec
            .working_dir
            .clone()
            .or_else(|| Some(config.working_dir.clone()).filter(|dir| !dir.is_empty()))
            .unwrap_or_else(|| "/".to_owned()),
        user: spec.user.clone().unwrap_or_else(|| config.user.clone()),
        hostname,
        stop_signal,
        stop_timeout: spec
            .stop_timeout
            .or(image_grace)
            .unwrap_or(Duration::from_secs(10)),
        labels,
        exposed: exposed(spec, config),
        probe: probe(spec.healthcheck.as_ref(), config),
        runtime: spec
            .runtime
            .as_deref()
            .map(find_runtime)
            .transpose()?
            .flatten(),
    })
}

/// The documented ports of image and specification, and the published ones, one by one.
fn exposed(spec: &ContainerSpec, config: &RunConfig) -> Vec<String> {
    let documented = config.exposed_ports.keys().chain(&spec.expose);
    let published = spec
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.container_port, port.protocol));
    let ports: BTreeSet<String> = documented
        .flat_map(|text| check::exposed_ports(text).unwrap_or_else(|| vec![text.clone()]))
        .chain(published)
        .collect();
    ports.into_iter().collect()
}

/// The program of a runtime, by name or path; `None` for our own.
pub fn find_runtime(name: &str) -> Result<Option<PathBuf>, ContainerError> {
    if name.is_empty() || name == "gantry" {
        return Ok(None);
    }
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path
        .split(':')
        .chain(usual.split(':'))
        .filter(|dir| !dir.is_empty());
    let runs = |file: &Path| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let found = if name.contains('/') {
        std::path::absolute(name).ok().filter(|file| runs(file))
    } else {
        places
            .map(|dir| Path::new(dir).join(name))
            .find(|file| runs(file))
    };
    found.map(Some).ok_or_else(|| {
        ContainerError::Invalid(format!(
            "no OCI runtime `{name}`: install it, name its path, or leave it to Gantry's own, `gantry`"
        ))
    })
}

/// Docker's rule: an entrypoint of one's own drops the image's command.
fn argv(spec: &ContainerSpec, config: &RunConfig) -> Result<(Vec<String>, usize), ContainerError> {
    let image_command = config.cmd.clone().unwrap_or_default();
    let (mut argv, command) = match (&spec.entrypoint, &spec.command) {
        (Some(entrypoint), command) => (entrypoint.clone(), command.clone().unwrap_or_default()),
        (None, Some(command)) => (
            config.entrypoint.clone().unwrap_or_default(),
            command.clone(),
        ),
        (None, None) => (config.entrypoint.clone().unwrap_or_default(), image_command),
    };
    // One empty word is Docker's way to say that there is none; as a command it is not found.
    if argv.len() == 1 && argv[0].is_empty() {
        argv.clear();
    }
    let entrypoint_len = argv.len();
    argv.extend(command);
    if argv.is_empty() {
        return Err(ContainerError::Invalid(format!(
            "no command specified: image `{}` has none; give one",
            spec.image
        )));
    }
    Ok((argv, entrypoint_len))
}

/// PATH, HOSTNAME and TERM as Docker sets them, then the image's, then the user's. HOME is the
/// runtime's, which knows the user.
fn environment(spec: &ContainerSpec, config: &RunConfig, hostname: &str) -> Vec<String> {
    let mut env: indexmap::IndexMap<String, String> = indexmap::IndexMap::new();
    env.insert("PATH".to_owned(), defaults::PATH.to_owned());
    env.insert("HOSTNAME".to_owned(), hostname.to_owned());
    if spec.tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    for entry in &config.env {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        env.insert(name.to_owned(), value.to_owned());
    }
    for (name, value) in &spec.env {
        match value {
            Some(value) => {
                env.insert(name.clone(), value.clone());
            }
            None => {
                env.shift_remove(name);
            }
        }
    }
    env.into_iter().map(|(k, v)| format!("{k}={v}")).collect()
}

fn probe(asked: Option<&Healthcheck>, config: &RunConfig) -> Option<ProbeConfig> {
    let image = config.healthcheck.clone().unwrap_or_default();
    let from_image = image_test(&image, config);
    let nanos = |n: i64| {
        u64::try_from(n)
            .ok()
            .filter(|n| *n > 0)
            .map(Duration::from_nanos)
    };
    // 0 stands for what the image says.
    let given = |time: Option<Duration>| time.filter(|time| !time.is_zero());
    let (test, interval, timeout, retries, start_period, start_interval) = match asked {
        Some(Healthcheck::Disabled) => return None,
        Some(Healthcheck::Probe {
            test,
            interval,
            timeout,
            retries,
            start_period,
            start_interval,
        }) => (
            test.clone().or(from_image)?,
            given(*interval),
            given(*timeout),
            *retries,
            given(*start_period),
            given(*start_interval),
        ),
        None => (from_image?, None, None, None, None, None),
    };
    let seconds = Duration::from_secs;
    Some(ProbeConfig {
        test,
        interval: interval.or(nanos(image.interval)).unwrap_or(seconds(30)),
        timeout: timeout.or(nanos(image.timeout)).unwrap_or(seconds(30)),
        retries: retries
            .or(u32::try_from(image.retries).ok().filter(|n| *n > 0))
            .unwrap_or(3),
        start_period: start_period
            .or(nanos(image.start_period))
            .unwrap_or_default(),
        start_interval: start_interval
            .or(nanos(image.start_interval))
            .unwrap_or(seconds(5)),
    })
}

fn image_test(health: &HealthConfig, config: &RunConfig) -> Option<Vec<String>> {
    match health.test.split_first() {
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            let mut argv = config
                .shell
                .clone()
                .filter(|shell| !shell.is_empty())
                .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            argv.push(rest.join(" "));
            Some(argv)
        }
        _ => None,
    }
}

/// Writes configs and secrets beside the writable layer; they are bound into place at start.
fn write_given_files(files: &Files, given: &[FileSpec]) -> Result<(), ContainerError> {
    use std::os::unix::fs::{PermissionsExt, chown};
    if given.is_empty() {
        return Ok(());
    }
    create_private_dir(&files.dir.join("files"))?;
    for (index, file) in given.iter().enumerate() {
        let path = files.given(index);
        let name = || path.display().to_string();
        write_file(&path, &file.content, Durability::Process)?;
        let (uid, gid) = owner(file.uid, file.gid);
        chown(&path, Some(uid.as_raw()), Some(gid.as_raw())).map_err(host("give away", name()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o7777))
            .map_err(host("set the mode of", name()))?;
    }
    Ok(())
}

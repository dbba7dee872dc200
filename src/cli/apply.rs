//! Bringing a project to a state: what `up`, `create`, `scale`, `run`, `down`, `start`, `stop`
//! and the others have in common. Images first, then lock, observe, plan, execute.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use gantry_engine::container::machine::Machine;

use crate::backend::{Backend, BackendError, ProjectLock};
use crate::cli::builds;
use crate::cli::error::CliError;
use crate::cli::findings;
use crate::cli::global::Global;
use crate::cli::session::{Session, colour, colour_on};
use crate::executor::{self, Done, Event, Execution, Kind, Phase};
use crate::lower::build::BuildOverrides;
use crate::lower::{Finding, Findings, Overrides, Stack};
use crate::model::{Project, PullPolicy};
use crate::plan::images::{Buildable, Builds, ImageStep, Local, Need, Policy, decide};
use crate::plan::{Desired, Observed, Plan, labels};
use crate::ui::progress::{Mode, Reporter};

/// Translates the model for making containers: refused attributes are the error, all of them,
/// and those without effect are told.
pub fn lowered(
    global: &Global,
    project: Project,
    scale: &[crate::cli::flags::Scale],
) -> Result<Stack, CliError> {
    for entry in scale {
        if !project.services.contains_key(&entry.service) {
            return Err(CliError::NotFound {
                what: "service",
                name: entry.service.clone(),
                hint: None,
            });
        }
    }
    let overrides = Overrides {
        scale: scale
            .iter()
            .map(|entry| (entry.service.clone(), entry.replicas))
            .collect(),
        underscores: global.compatibility,
        machine: Some(Machine::this()),
    };
    let (stack, findings) = crate::lower::lower(project, &overrides);
    accept(global, findings)?;
    Ok(stack)
}

/// Translates the model for verbs that only stop, start or remove what exists: an attribute
/// that was refused made no container, and must not keep anyone from removing the others.
/// `None` without a compose file.
#[must_use]
pub fn known(global: &Global, session: &Session) -> Option<Stack> {
    let overrides = Overrides {
        scale: BTreeMap::new(),
        underscores: global.compatibility,
        machine: None,
    };
    let project = session.project.clone()?;
    Some(crate::lower::lower(project, &overrides).0)
}

/// Prints the warnings; what was refused is the error.
pub fn accept(global: &Global, findings: Findings) -> Result<(), CliError> {
    if !findings.refused.is_empty() {
        return Err(CliError::Refused(findings.refused));
    }
    findings::warn(global, &findings.warnings);
    Ok(())
}

/// What exists of a project. `desired` adds networks and volumes it refers to by name that do
/// not carry the project's label.
pub fn observe(
    backend: &dyn Backend,
    project: &str,
    desired: Option<&Desired>,
) -> Result<Observed, BackendError> {
    let label = [(labels::PROJECT, project)];
    let mut observed = Observed {
        containers: backend.containers(&label)?,
        networks: backend
            .networks(&label)?
            .into_iter()
            .map(|network| (network.name.clone(), network))
            .collect(),
        volumes: backend
            .volumes(&label)?
            .into_iter()
            .map(|volume| (volume.name.clone(), volume))
            .collect(),
    };
    for resource in desired.iter().flat_map(|d| d.networks.values()) {
        if !observed.networks.contains_key(&resource.name)
            && let Some(network) = backend.network(&resource.name)?
        {
            observed.networks.insert(resource.name.clone(), network);
        }
    }
    for resource in desired.iter().flat_map(|d| d.volumes.values()) {
        if !observed.volumes.contains_key(&resource.name)
            && let Some(volume) = backend.volume(&resource.name)?
        {
            observed.volumes.insert(resource.name.clone(), volume);
        }
    }
    Ok(observed)
}

/// Takes the project's lock, telling the user when somebody else has it.
pub fn lock(backend: &dyn Backend, project: &str) -> Result<Box<dyn ProjectLock>, BackendError> {
    backend.lock_project(project, &mut || {
        let text = format!("waiting for another command on project `{project}` to finish\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
    })
}

/// The renderer the flags ask for; `title` says what is done to the things it lists.
#[must_use]
pub fn reporter(global: &Global, title: &'static str) -> Reporter {
    Reporter::new(global.progress, title, colour(global), global.dry_run)
}

/// The same, or one that tells of nothing but warnings.
#[must_use]
pub fn reporter_unless(quiet: bool, global: &Global, title: &'static str) -> Reporter {
    if quiet {
        Reporter::new(Mode::Quiet, title, colour(global), global.dry_run)
    } else {
        reporter(global, title)
    }
}

/// Whether standard output may be coloured.
#[must_use]
pub fn colour_stdout(global: &Global) -> bool {
    use std::io::IsTerminal as _;
    colour_on(global.ansi, std::io::stdout().is_terminal())
}

/// Executes a plan, or prints it with `--dry-run`.
pub fn carry_out(
    global: &Global,
    execution: &Execution<'_>,
    plan: &Plan,
) -> Result<Done, CliError> {
    if global.dry_run {
        for warning in &plan.warnings {
            (execution.events)(Event::Warning(warning.to_string()));
        }
        crate::cli::output::print(&plan.to_string())?;
        return Ok(Done::default());
    }
    Ok(executor::execute(execution, plan)?)
}

// ---- images ---------------------------------------------------------------------------------

/// How images are provided.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// `--build`, `--no-build`.
    pub builds: Builds,
    /// `--pull`; `None` follows each service's policy.
    pub pull: Option<Policy>,
    /// Say nothing about pulls.
    pub quiet_pull: bool,
    /// Say nothing about builds.
    pub quiet_build: bool,
}

/// Reads `--pull`.
pub fn pull_flag(text: &str) -> Result<Option<Policy>, CliError> {
    Ok(Some(match text {
        "policy" => return Ok(None),
        "always" => Policy::Always,
        "missing" => Policy::Missing,
        "never" => Policy::Never,
        "build" => Policy::Build,
        other => {
            return Err(CliError::usage(format!(
                "`--pull {other}`: expected `always`, `missing`, `never` or `policy`"
            )));
        }
    }))
}

/// Pulls and builds what the services need, and notes which image each resolves to.
pub fn provide_images(
    global: &Global,
    backend: &dyn Backend,
    stack: &mut Stack,
    services: &[String],
    options: &ImageOptions,
    events: executor::Sink<'_>,
) -> Result<(), CliError> {
    let mut local: BTreeMap<String, Option<crate::backend::Image>> = BTreeMap::new();
    let mut steps = Vec::new();
    for name in services {
        let Some(reference) = stack.image(name).map(str::to_owned) else {
            continue;
        };
        let image = match local.get(&reference) {
            Some(image) => image,
            None => {
                let image = backend.image(&reference)?;
                local.entry(reference.clone()).or_insert(image)
            }
        };
        let service = &stack.project.services[name];
        let need = Need {
            service: name.clone(),
            reference: reference.clone(),
            buildable: match (service.is_buildable(), service.image.is_empty()) {
                (false, _) => Buildable::No,
                (true, false) => Buildable::Named,
                (true, true) => Buildable::Only,
            },
            policy: match options.pull {
                Some(policy) => policy,
                None => policy(name, &service.pull_policy)?,
            },
            local: image.as_ref().map(|image| Local {
                age: image
                    .tagged
                    .and_then(|time| SystemTime::now().duration_since(time).ok())
                    .unwrap_or(Duration::ZERO),
            }),
        };
        if let Some(step) = decide(&need, options.builds) {
            steps.push((need, step));
        }
    }
    // One image is fetched or built once, however many services use it.
    let mut seen = BTreeSet::new();
    steps.retain(|(need, step)| *step == ImageStep::Build || seen.insert(need.reference.clone()));
    if global.dry_run {
        for (need, step) in &steps {
            crate::cli::output::print(&format!("image {} {step}\n", need.reference))?;
        }
    } else {
        run_image_steps(global, backend, &stack.project, &steps, options, events)?;
        for (need, _) in &steps {
            local.insert(need.reference.clone(), backend.image(&need.reference)?);
        }
    }
    for name in services {
        let id = stack
            .image(name)
            .and_then(|reference| local.get(reference))
            .and_then(Option::as_ref)
            .map(|image| image.id.clone());
        if let Some(service) = stack.desired.services.get_mut(name) {
            service.image_id = id;
        }
    }
    Ok(())
}

fn policy(service: &str, text: &str) -> Result<Policy, CliError> {
    match PullPolicy::parse(text) {
        Some(PullPolicy::Missing) => Ok(Policy::Missing),
        Some(PullPolicy::Always) => Ok(Policy::Always),
        Some(PullPolicy::Never) => Ok(Policy::Never),
        Some(PullPolicy::Build) => Ok(Policy::Build),
        Some(PullPolicy::Every(limit)) => Ok(Policy::Every(limit)),
        None => Err(CliError::Refused(vec![Finding {
            path: format!("services.{service}.pull_policy"),
            message: format!("`{text}` is no pull policy"),
            help: "use `missing`, `always`, `never`, `build`, `daily`, `weekly` or `every_<n>`"
                .to_owned(),
        }])),
    }
}

fn run_image_steps(
    global: &Global,
    backend: &dyn Backend,
    project: &Project,
    steps: &[(Need, ImageStep)],
    options: &ImageOptions,
    events: executor::Sink<'_>,
) -> Result<(), CliError> {
    let mut builds = Vec::new();
    let mut pulls = Vec::new();
    for (need, step) in steps {
        match step {
            ImageStep::Build => builds.push(need.service.clone()),
            ImageStep::Pull | ImageStep::PullOrBuild => pulls.push((need, *step)),
            ImageStep::Missing => {
                return Err(CliError::NotFound {
                    what: "image",
                    name: need.reference.clone(),
                    hint: Some(match need.buildable {
                        Buildable::No => format!("fetch it with `gantry pull {}`", need.service),
                        Buildable::Named | Buildable::Only => {
                            format!("build it with `gantry build {}`", need.service)
                        }
                    }),
                });
            }
        }
    }
    let failed = Mutex::new(None);
    let fallback = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (need, step) in pulls {
            let (failed, fallback) = (&failed, &fallback);
            scope.spawn(move || {
                let platform = project.services[&need.service].platform.as_str();
                let platform = (!platform.is_empty()).then_some(platform);
                let result = pull_one(
                    backend,
                    &need.reference,
                    platform,
                    options.quiet_pull,
                    events,
                );
                let slot = match (result, step) {
                    (Ok(()), _) => return,
                    (Err(_), ImageStep::PullOrBuild) => {
                        lock_of(fallback).push(need.service.clone());
                        return;
                    }
                    (Err(mut error), _) => {
                        error.what = format!("service `{}`: {}", need.service, error.what);
                        error
                    }
                };
                lock_of(failed).get_or_insert(slot);
            });
        }
    });
    if let Some(error) = failed
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        return Err(error.into());
    }
    builds.extend(
        fallback
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    );
    builds::run(
        global,
        backend,
        project,
        &builds,
        &BuildOverrides::default(),
        options.quiet_build,
        events,
    )
}

fn lock_of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Fetches one image.
pub fn pull_one(
    backend: &dyn Backend,
    reference: &str,
    platform: Option<&str>,
    quiet: bool,
    events: executor::Sink<'_>,
) -> Result<(), BackendError> {
    image_phase(events, reference, Phase::Pulling);
    let progress = |progress| {
        if !quiet {
            events(Event::Image {
                reference: reference.to_owned(),
                progress,
            });
        }
    };
    match backend.pull(reference, platform, &progress) {
        Ok(_) => {
            image_phase(events, reference, Phase::Pulled);
            Ok(())
        }
        Err(error) => {
            image_phase(events, reference, Phase::Error(error.to_string()));
            Err(error)
        }
    }
}

/// Tells how far an image is.
pub fn image_phase(events: executor::Sink<'_>, reference: &str, phase: Phase) {
    events(Event::Phase {
        kind: Kind::Image,
        name: reference.to_owned(),
        phase,
    });
}

/// Whole seconds as a duration.
#[must_use]
pub fn seconds(flag: Option<u32>) -> Option<Duration> {
    flag.map(|seconds| Duration::from_secs(u64::from(seconds)))
}

/// Whether orphans are told about: `COMPOSE_IGNORE_ORPHANS`, `COMPOSE_REMOVE_ORPHANS`.
#[must_use]
pub fn orphans(remove: bool) -> crate::plan::up::Orphans {
    use crate::plan::up::Orphans;
    let set = |name: &str| {
        std::env::var(name).is_ok_and(|value| matches!(value.as_str(), "1" | "true" | "TRUE" | "t"))
    };
    if remove || set("COMPOSE_REMOVE_ORPHANS") {
        Orphans::Removed
    } else if set("COMPOSE_IGNORE_ORPHANS") {
        Orphans::Ignored
    } else {
        Orphans::Reported
    }
}

//! The builds of a project's services: all at once, each after those whose images it begins with.
//!
//! What the builds have in common (stages, steps) is done once by the engine, whoever comes first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::backend::{Backend, BackendError, BuildCancel, BuildEvent, BuildSpec};
use crate::cli::apply::{accept, image_phase};
use crate::cli::error::CliError;
use crate::cli::global::Global;
use crate::executor::{self, Event, Phase};
use crate::lower::Findings;
use crate::lower::build::{BuildOverrides, prerequisites, request};
use crate::model::Project;

/// More builds at a time would only wait for each other's steps.
const AT_ONCE: usize = 16;

/// One build.
#[derive(Debug)]
pub struct Build {
    /// The service, or the first of several with one definition.
    pub service: String,
    spec: BuildSpec,
    /// Places of the builds that go before.
    after: Vec<usize>,
}

/// The builds of services, those that others are built from first. Services that share one
/// definition share one build.
pub fn of(
    global: &Global,
    project: &Project,
    services: &[String],
    overrides: &BuildOverrides,
) -> Result<Vec<Build>, CliError> {
    let mut order = Vec::new();
    for service in services {
        visit(project, service, &mut order);
    }
    let mut findings = Findings::default();
    let mut builds: Vec<Build> = Vec::new();
    // Which build makes a service's image.
    let mut made: Vec<(String, usize)> = Vec::new();
    for service in order {
        let Some(spec) = request(project, &service, overrides, &mut findings) else {
            continue;
        };
        let before = prerequisites(project, &service);
        let after = made.iter().filter(|(name, _)| before.contains(name));
        let after: Vec<usize> = after.map(|(_, at)| *at).collect();
        let same = builds.iter().position(|build| build.spec == spec);
        made.push((service.clone(), same.unwrap_or(builds.len())));
        if same.is_none() {
            builds.push(Build {
                service,
                spec,
                after,
            });
        }
    }
    accept(global, findings)?;
    Ok(builds)
}

/// Builds the images of services.
pub fn run(
    global: &Global,
    backend: &dyn Backend,
    project: &Project,
    services: &[String],
    overrides: &BuildOverrides,
    quiet: bool,
    events: executor::Sink<'_>,
) -> Result<(), CliError> {
    // All of them are understood before the first one runs.
    let builds = of(global, project, services, overrides)?;
    let queue = Queue::new(builds.len());
    std::thread::scope(|scope| {
        for _ in 0..builds.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(at) = queue.next(&builds) {
                    let built = one(backend, &builds[at], &queue.cancel, quiet, events);
                    queue.done(at, built);
                }
            });
        }
    });
    queue.into_result()
}

fn one(
    backend: &dyn Backend,
    build: &Build,
    cancel: &BuildCancel,
    quiet: bool,
    events: executor::Sink<'_>,
) -> Result<(), BackendError> {
    let name = build.spec.tags.first().cloned().unwrap_or_default();
    image_phase(events, &name, Phase::Building);
    let tell = |event| {
        events(Event::Build {
            service: build.service.clone(),
            event,
        });
    };
    let held = Held::default();
    let sink = |event| match quiet {
        true => held.take(event, &tell),
        false => tell(event),
    };
    match backend.build(&build.spec, cancel, &sink) {
        Ok(_) => {
            image_phase(events, &name, Phase::Built);
            Ok(())
        }
        Err(error) => {
            let word = if cancel.is_cancelled() {
                "given up: another build failed"
            } else {
                "the build failed"
            };
            image_phase(events, &name, Phase::Error(word.to_owned()));
            Err(error)
        }
    }
}

/// What the steps of a quiet build print: told when a step has failed.
#[derive(Default)]
struct Held(Mutex<VecDeque<(String, BuildEvent)>>);

impl Held {
    /// More lines than these are not kept.
    const MOST: usize = 1000;

    fn take(&self, event: BuildEvent, tell: &dyn Fn(BuildEvent)) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            BuildEvent::Log { ref step, .. } => {
                if lines.len() == Self::MOST {
                    lines.pop_front();
                }
                lines.push_back((step.clone(), event));
            }
            BuildEvent::Failed(failed) => {
                let of_step = lines.drain(..).filter(|(step, _)| *step == failed);
                of_step.for_each(|(_, line)| tell(line));
                tell(BuildEvent::Failed(failed));
            }
            BuildEvent::Warning(_) => tell(event),
            BuildEvent::Started(_) | BuildEvent::Cached(_) | BuildEvent::Done(_) => {}
        }
    }
}

/// Which builds are to be done.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    cancel: BuildCancel,
}

struct State {
    begun: Vec<bool>,
    done: Vec<bool>,
    /// The first one is the cause: the others were given up.
    failed: Option<BackendError>,
}

impl Queue {
    fn new(count: usize) -> Self {
        Self {
            state: Mutex::new(State {
                begun: vec![false; count],
                done: vec![false; count],
                failed: None,
            }),
            changed: Condvar::new(),
            cancel: BuildCancel::default(),
        }
    }

    /// Waits for a build that may begin; `None` when none will.
    fn next(&self, builds: &[Build]) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.begun.iter().all(|begun| *begun) {
                return None;
            }
            let ready = (0..builds.len()).find(|at| {
                !state.begun[*at] && builds[*at].after.iter().all(|before| state.done[*before])
            });
            if let Some(at) = ready {
                state.begun[at] = true;
                return Some(at);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, at: usize, result: Result<(), BackendError>) {
        let mut state = self.lock();
        state.done[at] = true;
        if let Err(error) = result
            && state.failed.is_none()
        {
            state.failed = Some(error);
            self.cancel.cancel();
        }
        self.changed.notify_all();
    }

    fn into_result(self) -> Result<(), CliError> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn visit(project: &Project, service: &str, order: &mut Vec<String>) {
    if order.iter().any(|done| done == service) {
        return;
    }
    for other in prerequisites(project, service) {
        if other != service {
            visit(project, &other, order);
        }
    }
    order.push(service.to_owned());
}

/// Services with a `build` section, of those named or all.
#[must_use]
pub fn buildable(project: &Project, services: &[String]) -> Vec<String> {
    let named = |name: &String| services.is_empty() || services.contains(name);
    project
        .services
        .iter()
        .filter(|(name, service)| named(name) && service.is_buildable())
        .map(|(name, _)| name.clone())
        .collect()
}

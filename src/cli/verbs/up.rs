//! `up`: create and start containers.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use crate::backend::Backend;
use crate::cli::apply::{self, ImageOptions};
use crate::cli::attached::{self, Abort, Attached};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Scale, whole_seconds};
use crate::cli::global::Global;
use crate::cli::session::Session;
use crate::executor::{Cancel, Event, Execution, Kind, Phase, Sink, wait};
use crate::loader;
use crate::lower::Stack;
use crate::plan::images::Builds;
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies, Recreate, Start, UpOptions, up as plan_up,
};
use crate::plan::{Observed, Operation, Plan, observed};

/// What was typed after `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Stops all containers if any container was stopped. Incompatible with -d.
    #[arg(long)]
    pub abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure. Incompatible with -d.
    #[arg(long)]
    pub abort_on_container_failure: bool,
    /// Recreate dependent containers. Incompatible with --no-recreate.
    #[arg(long)]
    pub always_recreate_deps: bool,
    /// Restrict attaching to the specified services. Incompatible with --attach-dependencies.
    #[arg(long)]
    pub attach: Vec<String>,
    /// Automatically attach to log output of dependent services.
    #[arg(long)]
    pub attach_dependencies: bool,
    /// Build images before starting containers.
    #[arg(long)]
    pub build: bool,
    /// Detached mode: Run containers in the background.
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Return the exit code of the selected service container. Implies --abort-on-container-exit.
    #[arg(long)]
    pub exit_code_from: Option<String>,
    /// Recreate containers even if their configuration and image haven't changed.
    #[arg(long)]
    pub force_recreate: bool,
    /// Enable interactive shortcuts when running attached. Incompatible with --detach. Can also be enable/disable by setting COMPOSE_MENU environment var.
    #[arg(long)]
    pub menu: bool,
    /// Do not attach (stream logs) to the specified services.
    #[arg(long)]
    pub no_attach: Vec<String>,
    /// Don't build an image, even if it's policy.
    #[arg(long)]
    pub no_build: bool,
    /// Produce monochrome output.
    #[arg(long)]
    pub no_color: bool,
    /// Don't start linked services.
    #[arg(long)]
    pub no_deps: bool,
    /// Don't print prefix in logs.
    #[arg(long)]
    pub no_log_prefix: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    pub no_recreate: bool,
    /// Don't start the services after creating them.
    #[arg(long)]
    pub no_start: bool,
    /// Pull image before running ("always"|"missing"|"never").
    #[arg(long, default_value = "policy")]
    pub pull: String,
    /// Suppress the build output.
    #[arg(long)]
    pub quiet_build: bool,
    /// Pull without printing progress information.
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file.
    #[arg(long)]
    pub remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers.
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub scale: Vec<Scale>,
    /// Use this timeout in seconds for container shutdown when attached or when containers are already running.
    #[arg(short = 't', long, value_parser = whole_seconds)]
    pub timeout: Option<u32>,
    /// Show timestamps.
    #[arg(long)]
    pub timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    pub wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy.
    #[arg(long, value_parser = whole_seconds)]
    pub wait_timeout: Option<u32>,
    /// Watch source code and rebuild/refresh containers when files are updated.
    #[arg(short = 'w', long)]
    pub watch: bool,
    /// Assume "yes" as answer to all prompts and run non-interactively.
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Services, by default all that no profile switches off.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// What was typed, with nothing left open.
#[derive(Clone, Debug)]
pub struct Up {
    /// What must become true.
    pub plan: UpOptions,
    /// How images are provided.
    pub images: ImageOptions,
    /// Numbers of containers.
    pub scale: Vec<Scale>,
    /// What happens afterwards.
    pub mode: Mode,
}

/// What `up` does after it has started everything.
#[derive(Clone, Debug)]
pub enum Mode {
    /// It ends.
    Detached,
    /// It waits until the services are ready.
    Wait(Option<Duration>),
    /// It shows what they print until they end or the user has had enough.
    Attached(Attached),
}

impl UpArgs {
    /// Flags to options; contradictions are usage errors.
    pub fn resolve(self) -> Result<Up, CliError> {
        self.contradictions()?;
        let mode = self.mode();
        if self.menu && matches!(mode, Mode::Attached(_)) {
            return Err(CliError::Unsupported {
                what: "`--menu`".to_owned(),
                reason: "it draws over the output of containers",
            });
        }
        let images = ImageOptions {
            builds: match (self.build, self.no_build) {
                (true, _) => Builds::Always,
                (_, true) => Builds::Never,
                _ => Builds::WhenMissing,
            },
            pull: apply::pull_flag(&self.pull)?,
            quiet_pull: self.quiet_pull,
            quiet_build: self.quiet_build,
        };
        Ok(Up {
            plan: self.plan(),
            images,
            mode,
            scale: self.scale,
        })
    }

    /// Refuses flags that exclude each other.
    fn contradictions(&self) -> Result<(), CliError> {
        const ABORT: &str = "--abort-on-container-exit";
        const ABORT_FAILURE: &str = "--abort-on-container-failure";
        const EXIT_CODE: &str = "--exit-code-from";
        const ATTACH: &str = "--attach";
        const ATTACH_DEPS: &str = "--attach-dependencies";
        const RENEW: &str = "--renew-anon-volumes";
        let given: BTreeSet<&str> = [
            ("--force-recreate", self.force_recreate),
            ("--no-recreate", self.no_recreate),
            ("--always-recreate-deps", self.always_recreate_deps),
            ("--build", self.build),
            ("--no-build", self.no_build),
            (RENEW, self.renew_anon_volumes),
            (ATTACH, !self.attach.is_empty()),
            (ATTACH_DEPS, self.attach_dependencies),
            ("--detach", self.detach),
            ("--wait", self.wait),
            ("--watch", self.watch),
            (ABORT, self.abort_on_container_exit),
            (ABORT_FAILURE, self.abort_on_container_failure),
            (EXIT_CODE, self.exit_code_from.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect();
        let excluding = [
            ("--force-recreate", "--no-recreate"),
            ("--always-recreate-deps", "--no-recreate"),
            ("--build", "--no-build"),
            (RENEW, "--no-recreate"),
            ("--no-build", "--watch"),
            ("--wait", "--watch"),
            (ATTACH, ATTACH_DEPS),
            ("--detach", ABORT),
            ("--detach", ABORT_FAILURE),
            ("--detach", EXIT_CODE),
            ("--detach", "--watch"),
            ("--detach", ATTACH),
            ("--detach", ATTACH_DEPS),
            (ABORT, ABORT_FAILURE),
            ("--wait", ABORT),
            ("--wait", ABORT_FAILURE),
            ("--wait", EXIT_CODE),
            ("--wait", ATTACH),
            ("--wait", ATTACH_DEPS),
        ];
        match excluding
            .iter()
            .find(|(one, other)| given.contains(one) && given.contains(other))
        {
            None => Ok(()),
            Some((one, other)) => Err(CliError::usage(format!(
                "`{one}` and `{other}` are incompatible"
            ))),
        }
    }

    fn plan(&self) -> UpOptions {
        let recreate = match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Forced,
            (_, true) => Recreate::Never,
            _ => Recreate::Diverged,
        };
        UpOptions {
            around: None,
            services: self.services.clone(),
            dependencies: if self.no_deps {
                Dependencies::Ignored
            } else {
                Dependencies::Included
            },
            recreate,
            recreate_dependencies: match recreate {
                Recreate::Never => Recreate::Never,
                _ if self.always_recreate_deps => Recreate::Forced,
                _ => Recreate::Diverged,
            },
            anonymous: if self.renew_anon_volumes {
                Anonymous::Renewed
            } else {
                Anonymous::Inherited
            },
            changed_volumes: if self.yes {
                ChangedVolumes::Recreated
            } else {
                ChangedVolumes::Kept
            },
            orphans: apply::orphans(self.remove_orphans),
            start: if self.no_start { Start::No } else { Start::Yes },
            timeout: apply::seconds(self.timeout),
        }
    }

    fn mode(&self) -> Mode {
        if self.wait {
            return Mode::Wait(apply::seconds(self.wait_timeout));
        }
        if self.detach || self.no_start {
            return Mode::Detached;
        }
        let abort = if self.abort_on_container_failure {
            Abort::OnFailure
        } else if self.abort_on_container_exit || self.exit_code_from.is_some() {
            Abort::OnExit
        } else {
            Abort::Never
        };
        Mode::Attached(Attached {
            only: self.attach.clone(),
            except: self.no_attach.clone(),
            dependencies: self.attach_dependencies,
            colour: !self.no_color,
            prefix: !self.no_log_prefix,
            timestamps: self.timestamps,
            watch: self.watch,
            abort,
            exit_code_from: self.exit_code_from.clone(),
            timeout: apply::seconds(self.timeout),
        })
    }
}

/// Runs the verb.
pub fn run(global: &Global, args: UpArgs) -> Result<Exit, CliError> {
    up(global, args.resolve()?)
}

/// Brings the project up.
pub fn up(global: &Global, options: Up) -> Result<Exit, CliError> {
    let dependencies = match options.plan.dependencies {
        Dependencies::Included => loader::Dependencies::Include,
        Dependencies::Ignored => loader::Dependencies::Ignore,
    };
    let (session, project) = Session::loaded(global, &options.plan.services, dependencies)?;
    let mut stack = apply::lowered(global, project, &options.scale)?;
    if let Mode::Attached(attached) = &options.mode
        && !global.dry_run
    {
        attached.check(&stack)?;
        return attached::up(global, session, stack, &options, attached);
    }
    let reporter = apply::reporter(global, "Running");
    let result = bring_up(global, &*session.backend, &mut stack, &options, &|event| {
        reporter.tell(event)
    });
    let result = match (&options.mode, result) {
        (Mode::Wait(timeout), Ok(())) if !global.dry_run => {
            let services = options_services(&stack, &options.plan);
            let execution = Execution {
                backend: &*session.backend,
                project: &session.project_name,
                stack: Some(&stack),
                events: &|event| reporter.tell(event),
                parallel: global.parallel,
                cancel: &Cancel::default(),
                lock: None,
            };
            wait::wait(&execution, &stack.desired, &services, *timeout).map_err(CliError::from)
        }
        (_, result) => result,
    };
    reporter.finish();
    result?;
    Ok(Exit::Success)
}

/// The services named, with what they depend on, or all.
fn options_services(stack: &Stack, options: &UpOptions) -> Vec<String> {
    let named = stack.desired.select(&options.services).unwrap_or_default();
    match options.dependencies {
        Dependencies::Included => stack.desired.with_dependencies(&named),
        Dependencies::Ignored => named,
    }
}

/// Images, then one locked round of observing, planning and executing.
fn bring_up(
    global: &Global,
    backend: &dyn Backend,
    stack: &mut Stack,
    options: &Up,
    events: Sink<'_>,
) -> Result<(), CliError> {
    provide(global, backend, stack, options, events)?;
    let project = stack.desired.project.clone();
    let lock = apply::lock(backend, &project)?;
    let plan = if global.dry_run {
        observe_and_plan(backend, stack, options)?.1
    } else {
        plan(backend, stack, options, events)?
    };
    let execution = Execution {
        backend,
        project: &project,
        stack: Some(stack),
        events,
        parallel: global.parallel,
        cancel: &Cancel::default(),
        lock: Some(&*lock),
    };
    apply::carry_out(global, &execution, &plan)?;
    Ok(())
}

/// Pulls and builds what the services need.
pub fn provide(
    global: &Global,
    backend: &dyn Backend,
    stack: &mut Stack,
    options: &Up,
    events: Sink<'_>,
) -> Result<(), CliError> {
    let services = options_services(stack, &options.plan);
    apply::provide_images(global, backend, stack, &services, &options.images, events)
}

/// What is to be done; the project's lock must be held until it is done.
pub fn plan(
    backend: &dyn Backend,
    stack: &Stack,
    options: &Up,
    events: Sink<'_>,
) -> Result<Plan, CliError> {
    let (observed, plan) = observe_and_plan(backend, stack, options)?;
    let services = options_services(stack, &options.plan);
    tell_unchanged(&observed, &services, &plan, events);
    Ok(plan)
}

fn observe_and_plan(
    backend: &dyn Backend,
    stack: &Stack,
    options: &Up,
) -> Result<(Observed, Plan), CliError> {
    let observed = apply::observe(backend, &stack.desired.project, Some(&stack.desired))?;
    let plan = plan_up(&stack.desired, &observed, &options.plan)?;
    Ok((observed, plan))
}

/// Containers that are as they should be are told about too, as Docker Compose does.
fn tell_unchanged(observed: &Observed, services: &[String], plan: &Plan, events: Sink<'_>) {
    let touched: Vec<_> = plan
        .steps()
        .filter_map(|(_, step)| match &step.operation {
            Operation::Create { name, .. }
            | Operation::Start { name, .. }
            | Operation::Stop { name, .. }
            | Operation::Remove { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    for container in &observed.containers {
        let ours = services
            .iter()
            .any(|name| name == observed::service(container));
        if ours
            && !observed::is_one_off(container)
            && container.state.is_live()
            && !touched.contains(&container.name.as_str())
        {
            events(Event::Phase {
                kind: Kind::Container,
                name: container.name.clone(),
                phase: Phase::Running,
            });
        }
    }
}

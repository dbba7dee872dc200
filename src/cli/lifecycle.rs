//! Verbs on containers that exist: lock, observe, plan, execute.

use crate::backend::ProjectLock;
use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{self, Session};
use crate::executor::{Cancel, Execution};
use crate::loader::{self, Dependencies};
use crate::lower::Stack;
use crate::plan::lifecycle::Scope;
use crate::plan::{Desired, Observed, Plan, PlanError};

/// A project that no other command changes meanwhile, and what exists of it.
pub struct Held {
    session: Session,
    stack: Option<Stack>,
    observed: Observed,
    lock: Box<dyn ProjectLock>,
}

impl Held {
    /// The project of the flags, with its compose file or by name alone. Naming a service
    /// activates its profiles, as it does for `up`.
    pub fn take(global: &Global, services: &[String]) -> Result<Self, CliError> {
        let mut session = Session::named(global)?;
        let is_off = |name| {
            let project = session.project.as_ref();
            project.is_some_and(|project| project.disabled_services.contains_key(name))
        };
        if services.iter().any(is_off) {
            let mut options = session::options(global)?;
            options.services = services.to_vec();
            options.dependencies = Dependencies::Include;
            // Its warnings have been told.
            let loaded = loader::load(&options)
                .map_err(|problems| CliError::Load(problems.render(session::colour(global))))?;
            session.project = Some(loaded.project);
        }
        Self::of(global, session)
    }

    /// The project of a session.
    pub fn of(global: &Global, session: Session) -> Result<Self, CliError> {
        let stack = apply::known(global, &session);
        let lock = apply::lock(&*session.backend, &session.project_name)?;
        let desired = stack.as_ref().map(|stack| &stack.desired);
        let observed = apply::observe(&*session.backend, &session.project_name, desired)?;
        Ok(Self {
            session,
            stack,
            observed,
            lock,
        })
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        &self.session.project_name
    }

    /// What the compose file says, where there is one.
    pub fn stack(&self) -> Option<&Stack> {
        self.stack.as_ref()
    }

    /// What the compose file asks for, where there is one.
    pub fn desired(&self) -> Option<&Desired> {
        self.stack.as_ref().map(|stack| &stack.desired)
    }

    /// What exists.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The named services, or all.
    pub fn scope<'a>(&'a self, services: &'a [String]) -> Scope<'a> {
        Scope {
            desired: self.desired(),
            observed: &self.observed,
            services,
        }
    }

    /// Executes a plan below a title that says what is done.
    pub fn carry_out(
        &self,
        global: &Global,
        title: &'static str,
        plan: &Plan,
    ) -> Result<Exit, CliError> {
        let reporter = apply::reporter(global, title);
        let result = apply::carry_out(
            global,
            &Execution {
                backend: &*self.session.backend,
                project: self.project(),
                stack: self.stack(),
                events: &|event| reporter.tell(event),
                parallel: global.parallel,
                cancel: &Cancel::default(),
                lock: Some(&*self.lock),
            },
            plan,
        );
        reporter.finish();
        result.map(|_| Exit::Success)
    }
}

/// Runs one such verb on the named services, or all.
pub fn run(
    global: &Global,
    title: &'static str,
    services: &[String],
    plan: impl FnOnce(&Scope<'_>) -> Result<Plan, PlanError>,
) -> Result<Exit, CliError> {
    let held = Held::take(global, services)?;
    let plan = plan(&held.scope(services))?;
    held.carry_out(global, title, &plan)
}

//! Verbs on containers that exist: lock, observe, plan, execute.

use crate::cli::apply;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::Session;
use crate::executor::{Cancel, Execution};
use crate::plan::lifecycle::Scope;
use crate::plan::{Plan, PlanError};

/// Runs one such verb on the named services, or all.
pub fn run(
    global: &Global,
    services: &[String],
    plan: impl FnOnce(&Scope<'_>) -> Result<Plan, PlanError>,
) -> Result<Exit, CliError> {
    let session = Session::named(global)?;
    let stack = apply::known(global, &session);
    let project = &session.project_name;
    let lock = apply::lock(&*session.backend, project)?;
    let desired = stack.as_ref().map(|stack| &stack.desired);
    let observed = apply::observe(&*session.backend, project, desired)?;
    let scope = Scope {
        desired,
        observed: &observed,
        services,
    };
    let plan = plan(&scope)?;
    let reporter = apply::reporter(global);
    let result = apply::carry_out(
        global,
        &Execution {
            backend: &*session.backend,
            project: project,
            stack: stack.as_ref(),
            events: &|event| reporter.tell(event),
            parallel: global.parallel,
            cancel: &Cancel::default(),
            lock: Some(&*lock),
        },
        &plan,
    );
    reporter.finish();
    result.map(|_| Exit::Success)
}

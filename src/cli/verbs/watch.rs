//! `watch`: watch build context for service and rebuild/refresh containers when files are updated.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use gantry_engine::build::Patterns;

use crate::backend::{Container, ExecSpec, State};
use crate::cli::apply::{self, ImageOptions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::global::Global;
use crate::cli::session::{OneOff, Session};
use crate::cli::verbs::up::{self, Mode, Up};
use crate::cli::{interrupt, lifecycle};
use crate::loader::Dependencies;
use crate::model::{Project, WatchAction};
use crate::plan::images::Builds;
use crate::plan::lifecycle as plan_lifecycle;
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies as PlanDependencies, Recreate, Start, UpOptions,
};
use crate::ui::text::printable;
use crate::watch::{self, Action, Actions, Batch, Change, Rule, Rules, Source, SyncOp};

/// What was typed after `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Do not build & start services before watching.
    #[arg(long)]
    pub no_up: bool,
    /// Prune dangling images on rebuild.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub prune: bool,
    /// hide build output.
    #[arg(long)]
    pub quiet: bool,
    /// Services; none means all.
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Runs the verb.
pub fn run(global: &Global, args: WatchArgs) -> Result<Exit, CliError> {
    let habits = Habits {
        quiet: args.quiet,
        prune: args.prune,
    };
    let watch = Watch::prepare(global, &args.services, habits)?;
    if !args.no_up {
        let services = args.services.clone();
        let up = bring_up(services, Builds::WhenMissing, Recreate::Diverged);
        up::up(global, up)?;
    }
    let interrupted = interrupt::install().map_err(|source| CliError::Io {
        what: "listen for Ctrl-C".to_owned(),
        source,
    })?;
    watch.run(global, || interrupted.try_recv().is_ok())?;
    Ok(Exit::Success)
}

/// How changes are answered.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Nothing is said, and nothing of builds shown.
    pub quiet: bool,
    /// Images that a rebuild leaves without a name go.
    pub prune: bool,
}

/// What to watch, understood.
pub struct Watch {
    session: Session,
    rules: Rules,
    extras: Vec<Extra>,
    habits: Habits,
}

/// What a rule asks for besides its action.
struct Extra {
    /// The command of `sync+exec`.
    command: Option<ExecSpec>,
    /// `initial_sync`.
    catch_up: bool,
}

impl Watch {
    /// For the named services, or all; one of them must have something to watch.
    pub fn prepare(global: &Global, services: &[String], habits: Habits) -> Result<Self, CliError> {
        let (session, project) = Session::loaded(global, services, Dependencies::Include)?;
        let named = |service: &String| services.is_empty() || services.contains(service);
        let (rules, extras) = rules(&project, named)?;
        if rules.is_empty() {
            return Err(CliError::NotFound {
                what: "service with",
                name: "develop.watch".to_owned(),
                hint: Some(
                    "say under `develop.watch` which paths of a service to watch".to_owned(),
                ),
            });
        }
        Ok(Self {
            session,
            rules,
            extras,
            habits,
        })
    }

    /// Keeps containers in step with their source until told to stop.
    pub fn run(&self, global: &Global, mut stop: impl FnMut() -> bool) -> Result<(), CliError> {
        // Watching begins before the catch-up, so that no change falls between.
        let source = Source::new(&self.rules).map_err(CliError::Watch)?;
        let mut doer = Doer {
            global,
            watch: self,
        };
        doer.say("Watch enabled");
        self.catch_up(&mut doer);
        watch::run(&self.rules, &source, &mut doer, &mut stop).map_err(CliError::Watch)
    }

    /// `initial_sync`: everything below such a rule's path is copied as if it had just changed.
    fn catch_up(&self, doer: &mut Doer<'_>) {
        let mut changes = Vec::new();
        for (index, rule) in self.rules.iter() {
            let wanted = self.extras.get(index).is_some_and(|extra| extra.catch_up);
            if wanted && rule.action.syncs() {
                collect(&rule.path, &mut changes);
            }
        }
        if !changes.is_empty() {
            watch::apply(&Batch::collect(&self.rules, &changes), doer);
        }
    }
}

/// `up -d` of some services, without what they depend on.
fn bring_up(services: Vec<String>, builds: Builds, recreate: Recreate) -> Up {
    let dependencies = match recreate {
        Recreate::Forced => PlanDependencies::Ignored,
        _ => PlanDependencies::Included,
    };
    Up {
        plan: UpOptions {
            services,
            dependencies,
            around: None,
            recreate,
            recreate_dependencies: Recreate::Diverged,
            anonymous: Anonymous::Inherited,
            changed_volumes: ChangedVolumes::Kept,
            orphans: apply::orphans(false),
            start: Start::Yes,
            timeout: None,
        },
        images: ImageOptions {
            builds,
            pull: None,
            quiet_pull: false,
            quiet_build: false,
        },
        scale: Vec::new(),
        mode: Mode::Detached,
    }
}

/// The project's watch rules, and what they ask for besides, by index.
fn rules(
    project: &Project,
    named: impl Fn(&String) -> bool,
) -> Result<(Rules, Vec<Extra>), CliError> {
    let mut rules = Vec::new();
    let mut extras = Vec::new();
    for (name, service) in project.services.iter().filter(|(name, _)| named(name)) {
        for rule in service.develop.iter().flat_map(|develop| &develop.watch) {
            let context = service
                .build
                .as_ref()
                .map(|build| PathBuf::from(&build.context));
            rules.push(Rule {
                service: name.clone(),
                path: std::fs::canonicalize(rule.path.as_str()).map_err(|source| CliError::Io {
                    what: format!("watch `{}` of service `{name}`", rule.path.as_str()),
                    source,
                })?,
                action: action(rule.action),
                target: (!rule.target.is_empty()).then(|| rule.target.clone()),
                ignore: patterns(&rule.ignore)?,
                include: patterns(&rule.include)?,
                dockerignore: context.and_then(dockerignore),
            });
            let hook = &rule.exec;
            let command = hook.command.is_some().then(|| ExecSpec {
                argv: hook.command.clone().0.unwrap_or_default(),
                env: hook
                    .environment
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
                user: (!hook.user.is_empty()).then(|| hook.user.clone()),
                workdir: (!hook.working_dir.is_empty()).then(|| hook.working_dir.clone()),
                privileged: hook.privileged,
                ..ExecSpec::default()
            });
            extras.push(Extra {
                command,
                catch_up: rule.initial_sync,
            });
        }
    }
    Ok((Rules::new(rules), extras))
}

fn action(action: WatchAction) -> Action {
    match action {
        WatchAction::Rebuild => Action::Rebuild,
        WatchAction::Sync => Action::Sync,
        WatchAction::Restart => Action::Restart,
        WatchAction::SyncRestart => Action::SyncRestart,
        WatchAction::SyncExec => Action::SyncExec,
    }
}

fn patterns(list: &[String]) -> Result<Patterns, CliError> {
    Patterns::from_flags(list)
        .map_err(|bad| CliError::usage(format!("watch pattern `{}`: {}", bad.pattern, bad.reason)))
}

/// The context's `.dockerignore`, when there is a readable one.
fn dockerignore(context: PathBuf) -> Option<(PathBuf, Patterns)> {
    let context = std::fs::canonicalize(context).ok()?;
    let text = std::fs::read(context.join(".dockerignore")).ok()?;
    Some((context, Patterns::parse(&text).ok()?))
}

/// Every file below a path; what cannot be read is passed over.
fn collect(path: &Path, changes: &mut Vec<Change>) {
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), changes);
        }
    } else {
        changes.push(Change {
            path: path.to_owned(),
        });
    }
}

/// Carries out batches on the project's running containers.
struct Doer<'a> {
    global: &'a Global,
    watch: &'a Watch,
}

impl Doer<'_> {
    fn say(&self, text: &str) {
        if !self.watch.habits.quiet {
            eprintln!("{text}");
        }
    }

    fn running(&self, service: &str) -> Result<Vec<Container>, CliError> {
        let mut containers = self
            .watch
            .session
            .of_services(&[service.to_owned()], OneOff::Exclude)?;
        containers.retain(|container| container.state == State::Running);
        Ok(containers)
    }
}

impl Doer<'_> {
    /// Images of the services' containers.
    fn images(&self, services: &[String]) -> Result<BTreeSet<String>, CliError> {
        let containers = self.watch.session.of_services(services, OneOff::Exclude)?;
        Ok(containers.into_iter().map(|c| c.image_id).collect())
    }

    /// Removes those that have no name any more.
    fn prune(&self, former: &BTreeSet<String>) -> Result<(), CliError> {
        let backend = &self.watch.session.backend;
        for id in former {
            if backend
                .image(id)?
                .is_some_and(|image| image.tags.is_empty())
            {
                // What another container uses stays.
                let _ = backend.remove_image(id);
            }
        }
        Ok(())
    }
}

impl Actions for Doer<'_> {
    type Error = CliError;

    fn rebuild(&mut self, services: &[String]) -> Result<(), CliError> {
        self.say(&format!(
            "Rebuilding {} after changes were detected",
            services.join(", ")
        ));
        let former = self.images(services)?;
        let mut up = bring_up(services.to_vec(), Builds::Always, Recreate::Forced);
        up.images.quiet_build = self.watch.habits.quiet;
        up::up(self.global, up)?;
        if self.watch.habits.prune {
            self.prune(&former)?;
        }
        Ok(())
    }

    fn sync(&mut self, service: &str, operations: &[SyncOp]) -> Result<(), CliError> {
        let containers = self.running(service)?;
        self.say(&format!(
            "Syncing {} file(s) to {service}",
            operations.len()
        ));
        for container in &containers {
            for operation in operations {
                sync_one(&self.watch.session, container, operation)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, service: &str) -> Result<(), CliError> {
        self.say(&format!("Restarting {service}"));
        lifecycle::run(self.global, "Restarting", &[service.to_owned()], |scope| {
            plan_lifecycle::restart(scope, plan_lifecycle::Dependents::LeftAlone, None)
        })
        .map(drop)
    }

    fn exec(&mut self, service: &str, rule: usize) -> Result<(), CliError> {
        let extra = self.watch.extras.get(rule);
        let Some(command) = extra.and_then(|extra| extra.command.as_ref()) else {
            return Ok(());
        };
        for container in self.running(service)? {
            let output = self
                .watch
                .session
                .backend
                .exec_quiet(&container.id, command)?;
            let text = String::from_utf8_lossy(&output.text);
            text.lines()
                .for_each(|line| self.say(&format!("{service} -> {}", printable(line))));
            if output.code != 0 {
                return Err(CliError::usage(format!(
                    "`{}` ended with code {}",
                    command.argv.join(" "),
                    output.code
                )));
            }
        }
        Ok(())
    }

    fn failed(&mut self, service: &str, error: &CliError) {
        eprintln!("warning: {service}: the change could not be applied");
        eprint!("{}", error.render());
    }
}

/// Copies or deletes one path in one container.
fn sync_one(session: &Session, container: &Container, operation: &SyncOp) -> Result<(), CliError> {
    if operation.deleted {
        return Ok(session
            .backend
            .delete_path(&container.id, &operation.target)?);
    }
    let failed = |source| CliError::Io {
        what: format!("read `{}`", operation.source.display()),
        source,
    };
    let target = Path::new(&operation.target);
    let (Some(name), Some(directory)) = (target.file_name(), target.parent()) else {
        return Err(CliError::usage(format!(
            "cannot sync to `{}`",
            operation.target
        )));
    };
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    let metadata = match operation.source.symlink_metadata() {
        // Gone again since the batch was made; its deletion comes with the next one.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    // A directory comes with what is in it: files made before it was watched tell nothing.
    let appended = if metadata.is_dir() {
        archive.append_dir_all(name, &operation.source)
    } else {
        archive.append_path_with_name(&operation.source, name)
    };
    appended.map_err(failed)?;
    let archive = archive.into_inner().map_err(failed)?;
    session.backend.archive_put(
        &container.id,
        &directory.to_string_lossy(),
        &mut archive.as_slice(),
    )?;
    Ok(())
}
